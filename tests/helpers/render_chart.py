"""`make render`: each ready-made values file of the chart, rendered by Helm to build/chart/NAME.yaml.

Helm renders what it installs: it installs into a look-alike of an API server, which checks each manifest.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.helpers.helm import CHART, PYTHON, ROOT, Helm, values_file
from tests.helpers.kube_api import KubeApi

FOLDER = ROOT / "build" / "chart"


def render_all(folder: Path) -> list[Path]:
    """Write one file for each values-NAME.yaml; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    names = sorted(path.stem.removeprefix("values-") for path in CHART.glob("values-*.yaml"))
    written = []
    # The Secrets that values name belong to the operator: here nobody has made them.
    with (
        tempfile.TemporaryDirectory() as scratch,
        KubeApi(refuses_dangling=False) as api,
        Helm(api, Path(scratch)) as helm,
    ):
        for name in names:
            path = folder / f"{name}.yaml"
            release = helm.rendered(values_file(name))
            path.write_text(release.text + "".join(f"---\n{text}\n" for text in release.hook_texts))
            written.append(path)
    return written


def main() -> int:
    """Render; the exit status."""
    if not PYTHON.exists():
        print("no Helm in .venv-helm: it needs Python 3.12 or later", file=sys.stderr)
        return 1
    for path in render_all(FOLDER):
        print(path.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
