"""docs/deploy.md: its commands run, its Secrets are those that the chart wants, its values install."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.helpers.chart_cluster import make_secrets
from tests.helpers.helm import CHART, Helm, Values, merged_values, values_file
from tests.helpers.kube_api import KubeApi

BLOCK = re.compile(r"(?:<!-- (?P<mark>\w+) -->\n\n)?(?P<block>(?:^    .*\n|^\n(?=    ))+)", re.MULTILINE)


def blocks(repo_root: Path, mark: str | None) -> list[str]:
    """Indented blocks of the document with this mark before them; None: those without one."""
    text = (repo_root / "docs" / "deploy.md").read_text()
    found = [match for match in BLOCK.finditer(text) if match["mark"] == mark]
    return [re.sub(r"^    ", "", match["block"], flags=re.MULTILINE).strip() for match in found]


def commands(repo_root: Path) -> list[str]:
    return [line for block in blocks(repo_root, None) for line in block.splitlines() if line]


def secrets(repo_root: Path) -> dict[str, list[str]]:
    """Names and keys of the Secrets that the document makes."""
    found: dict[str, list[str]] = {}
    for line in commands(repo_root):
        if match := re.match(r"kubectl create secret generic (\S+) (.*)", line):
            found[match[1]] = re.findall(r"--from-(?:file|literal)=([a-z.-]+)=", match[2])
        if match := re.match(r"kubectl create secret tls (\S+) ", line):
            found[match[1]] = ["tls.crt", "tls.key"]
    return found


def test_marked_commands_run(repo_root: Path, tmp_path: Path) -> None:
    marked = blocks(repo_root, "runs")
    assert len(marked) >= 2
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    for block in marked:
        command = ["bash", "-euo", "pipefail", "-c", block]
        done = subprocess.run(command, cwd=repo_root, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{block}\n{done.stderr}"
        assert done.stdout.strip()


def test_checksum_of_the_document_is_the_one_that_pods_compare(repo_root: Path) -> None:
    from eureka.runtime.checkpoint_fetch import folder_sha256

    block = next(block for block in blocks(repo_root, "runs") if "sha256sum" in block)
    done = subprocess.run(["bash", "-c", block], cwd=repo_root, capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == folder_sha256(repo_root / "checkpoints" / "eureka-nano")


def test_every_other_command_is_of_helm_kubectl_make_or_ours(repo_root: Path) -> None:
    known = {"helm", "kubectl", "make", "eureka", ".venv/bin/eureka", "docker-compose", "docker", "cp"}
    for line in commands(repo_root):
        assert line.split()[0] in known, line
        for path in re.findall(r"-f (helm/\S+)", line):
            assert (repo_root / path).is_file()


@pytest.fixture
def values(repo_root: Path) -> list[Values]:
    return [yaml.safe_load(block) for block in blocks(repo_root, "values")]


def test_values_install_with_the_secrets_of_the_document(
    repo_root: Path, values: list[Values], tmp_path: Path
) -> None:
    """What is missing then is what cert-manager makes."""
    mine, canary = values
    with KubeApi(refuses_dangling=False) as api, Helm(api, tmp_path) as helm:
        make_secrets(api)
        for one in api.objects.all("Secret"):
            helm.api.objects.delete(_secret(one["metadata"]["name"]))
        for name, keys in secrets(repo_root).items():
            contents = dict.fromkeys(keys, "x")
            api.put(
                {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": contents}
            )
        with helm.installed(merged_values(values_file("production"), mine)) as release:
            assert api.objects.dangling() == []
            assert release.find("Ingress", "gateway")
            helm.upgrade(merged_values(values_file("production"), mine, canary))
            assert api.objects.dangling() == []
            assert len([o for o in api.objects.all("Deployment") if "canary" in o["metadata"]["name"]]) == 3


def _secret(name: str):  # type: ignore[no-untyped-def]
    from tests.helpers.kube.kinds import Address, kind_of

    kind = kind_of("v1", "Secret")
    assert kind is not None
    return Address(kind, "default", name)


def test_values_that_the_document_names_exist(repo_root: Path) -> None:
    text = (repo_root / "docs" / "deploy.md").read_text()
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    named = {match for match in re.findall(r"`([a-z]\w+(?:\.\w+)+)(?:: [\w-]+)?`", text)}
    for path in sorted(named - {"values.yaml", "mine.yaml", "keys.jsonl", "key.txt"}):
        found = defaults
        words = path.split(".")
        if words[0] in ("drain", "triton"):  # of each stage
            words = ["decoder", *words]
        for word in words:
            assert word in found or word == "LANE", f"{path} is no value"
            found = found.get(word, found.get("bulk"))
