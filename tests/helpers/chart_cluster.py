"""What an operator has beside the chart: Secrets, a volume, values; and copies of the chart with a fault."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.helpers.helm import CHART, Values, values_file
from tests.helpers.kube_api import KubeApi

SECRETS = {
    "eureka-keys": ["keys.jsonl"],
    "eureka-test-key": ["key"],
    "outer-queue": ["url"],
    "outer-storage": ["access-key", "secret-key"],
    "outer-tls": ["tls.crt", "tls.key", "ca.crt"],
    "webhooks": ["secret"],
}
"""What the operator makes beforehand: names and their keys."""


def make_secrets(api: KubeApi) -> None:
    """Secrets and the volume that values files name."""
    for name, keys in SECRETS.items():
        contents = {key: "of the tests" for key in keys}
        api.put({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": contents})
    spec = {"accessModes": ["ReadOnlyMany"], "resources": {"requests": {"storage": "10Gi"}}}
    claim = {"kind": "PersistentVolumeClaim", "metadata": {"name": "eureka-checkpoints"}, "spec": spec}
    api.put({"apiVersion": "v1", **claim})


def operated(name: str) -> Values:
    """A values file with the operator's names in it: those in it are also those of the bundled parts."""
    values = values_file(name)
    if name != "dev":
        values["queue"]["existingSecret"] = "outer-queue"
        values["storage"]["existingSecret"] = "outer-storage"
    return values


def chart_copy(folder: Path, path: str, old: str, new: str) -> Path:
    """A copy of the chart with one thing broken in it."""
    copy = folder / "eureka"
    shutil.copytree(CHART, copy)
    text = (copy / path).read_text()
    assert text.count(old) >= 1, f"{path} does not say {old!r}"
    (copy / path).write_text(text.replace(old, new))
    return copy
