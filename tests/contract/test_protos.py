"""The protos: generated code is fresh, everything is explained, every public method asks for a scope."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from eureka.api.v1 import audio_service_pb2, job_service_pb2, model_service_pb2
from eureka.runtime.interceptors import METHOD_SCOPES

DECLARATION = re.compile(
    r"^\s*(service|rpc|message|enum|oneof)\s|^\s+(repeated |optional )?[\w.]+ \w+ = \d+;"
)
PROTOS = sorted((Path(__file__).resolve().parents[2] / "protos" / "eureka").rglob("*.proto"))


def test_generated_code_is_fresh(repo_root: Path) -> None:
    command = [sys.executable, "protos/generate.py", "--check"]
    done = subprocess.run(command, cwd=repo_root, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", PROTOS, ids=lambda path: path.name)
def test_every_declaration_has_a_comment(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, (before, line) in enumerate(pairwise(lines), 2):
        if DECLARATION.match(line):
            assert before.lstrip().startswith("//"), f"{path.name}:{number} has no comment: {line.strip()}"


def test_protos_are_found() -> None:
    assert {path.name for path in PROTOS} >= {"audio_service.proto", "tensor.proto"}


def test_released_contract_holds_every_method(repo_root: Path) -> None:
    """What it lacks may break unseen."""
    released = FileDescriptorSet.FromString((repo_root / "protos" / "released.binpb").read_bytes())
    services = [(file.package, service) for file in released.file for service in file.service]
    known = {f"/{package}.{one.name}/{method.name}" for package, one in services for method in one.method}
    assert set(METHOD_SCOPES) <= known


def test_every_public_method_asks_for_a_scope() -> None:
    files = (audio_service_pb2, model_service_pb2, job_service_pb2)
    services = [service for file in files for service in file.DESCRIPTOR.services_by_name.values()]
    methods = {f"/{service.full_name}/{method.name}" for service in services for method in service.methods}
    assert methods == set(METHOD_SCOPES)
