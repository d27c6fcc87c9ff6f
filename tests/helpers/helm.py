"""Real Helm of .venv-helm (`make helm`), as the tests use it: install, upgrade, uninstall, into a look-alike.

helm-sdkpy needs Python 3.12, this project runs on 3.11 too: Helm is a child process.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
import yaml

from tests.helpers.kube_api import KubeApi

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "eureka"
PYTHON = ROOT / ".venv-helm" / "bin" / "python"

Values = dict[str, Any]
Manifest = dict[str, Any]

YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class HelmRefused(Exception):
    """What Helm said instead of doing it."""


@dataclass(slots=True)
class Release:
    """What Helm made.

    Attributes:
        manifests: what was installed, hooks left out.
        hooks: manifests of hooks.
        notes: what the operator reads.
        text: of the manifests, as it was rendered.
        hook_texts: of the hooks.
    """

    manifests: list[Manifest]
    hooks: list[Manifest]
    notes: str
    text: str
    hook_texts: list[str]

    def find(self, kind: str, name: str) -> Manifest:
        """The object of this kind whose name ends so."""
        found = [m for m in (*self.manifests, *self.hooks) if _is(m, kind, name)]
        assert len(found) == 1, f"{len(found)} of {kind} {name}"
        return found[0]

    def all(self, kind: str) -> list[Manifest]:
        """All objects of a kind."""
        return [m for m in (*self.manifests, *self.hooks) if m["kind"] == kind]


def _is(manifest: Manifest, kind: str, name: str) -> bool:
    given = manifest["metadata"]["name"]
    return manifest["kind"] == kind and (given == name or given == f"eureka-{name}")


@dataclass(slots=True)
class Helm:
    """A child process with Helm in it, and the API server that it talks to."""

    api: KubeApi
    folder: Path
    _process: subprocess.Popen[str] = field(init=False)

    def __enter__(self) -> Helm:
        kubeconfig = self.folder / "kubeconfig"
        kubeconfig.write_text(self.api.kubeconfig())
        names = ("cache", "config", "data")
        environment = {f"HELM_{name.upper()}_HOME": str(self.folder / name) for name in names}
        with (self.folder / "helm.log").open("w") as log:
            self._process = subprocess.Popen(
                [str(helm_python()), str(Path(__file__).with_name("helm_child.py")), str(kubeconfig)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={
                    "PATH": os.environ["PATH"],
                    "HELM_DRIVER": "memory",
                    "HOME": str(self.folder),
                    **environment,
                },
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()

    def install(
        self, values: Values, release: str = "eureka", namespace: str = "default", chart: Path = CHART
    ) -> Release:
        """Install; raises HelmRefused, and then nothing of it is left."""
        try:
            return self._placed("install", values, release, namespace, chart)
        except HelmRefused as error:
            if "cannot reuse a name" not in str(error):
                with suppress(HelmRefused):  # there may be no release: it was refused before
                    self.uninstall(release, namespace)
            raise

    def upgrade(
        self, values: Values, release: str = "eureka", namespace: str = "default", chart: Path = CHART
    ) -> Release:
        """Upgrade to these values alone; raises HelmRefused."""
        return self._placed("upgrade", values, release, namespace, chart)

    def uninstall(self, release: str = "eureka", namespace: str = "default") -> None:
        """Remove a release; raises HelmRefused."""
        self._ask({"action": "uninstall", "release": release, "namespace": namespace})

    @contextmanager
    def installed(
        self, values: Values, release: str = "eureka", namespace: str = "default", chart: Path = CHART
    ) -> Iterator[Release]:
        """A release that is gone afterwards."""
        placed = self.install(values, release, namespace, chart)
        try:
            yield placed
        finally:
            self.uninstall(release, namespace)

    def rendered(self, values: Values, chart: Path = CHART, namespace: str = "default") -> Release:
        """What would be installed."""
        with self.installed(values, "eureka", namespace, chart) as release:
            return release

    def lint(self, chart: Path = CHART) -> Any:
        """What `helm lint` says."""
        return self._ask({"action": "lint", "chart": str(chart)})

    def _placed(self, action: str, values: Values, release: str, namespace: str, chart: Path) -> Release:
        order = {
            "action": action,
            "release": release,
            "namespace": namespace,
            "values": values,
            "chart": str(chart),
        }
        return read_release(self._ask(order))

    def _ask(self, order: dict[str, Any]) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, (self.folder / "helm.log").read_text()[-3_000:]
        answer = json.loads(line)
        if "error" in answer:
            raise HelmRefused(answer["error"])
        return answer["result"]


def read_release(told: dict[str, Any]) -> Release:
    """What Helm tells of a release."""
    manifests = [one for one in yaml.load_all(told["manifest"], YAML) if one]
    texts = [hook["manifest"] for hook in told.get("hooks") or []]
    hooks = [yaml.load(text, YAML) for text in texts]
    return Release(manifests, hooks, told.get("info", {}).get("notes", ""), told["manifest"], texts)


def helm_python() -> Path:
    """The Python with Helm; where it is missing a skip by name, and a failure in CI."""
    if not PYTHON.exists():
        reason = "no Helm in .venv-helm: `make helm`, which needs Python 3.12 or later"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{reason} (CI=true: a skip is a failure)")
        pytest.skip(reason)
    return PYTHON


def merged_values(*parts: Values) -> Values:
    """Values as Helm lays several files over each other."""
    made: Values = {}
    for part in parts:
        for name, value in part.items():
            known = made.get(name)
            nested = isinstance(value, dict) and isinstance(known, dict)
            made[name] = merged_values(known, value) if nested else value
    return made


def values_file(name: str) -> Values:
    """One of the ready-made values files, such as `dev`."""
    found: Values = yaml.load((CHART / f"values-{name}.yaml").read_text(), YAML)
    return found
