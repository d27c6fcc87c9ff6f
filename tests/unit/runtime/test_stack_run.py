"""The start of a stack that cannot start, where no Triton is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from eureka.errors import StageUnavailableError
from eureka.runtime.stack_run import start_detached
from eureka.runtime.stack_state import StackFolder


def _own(folder: StackFolder) -> dict[str, str]:
    names = ("GATEWAY", "ENCODER", "ADAPTER", "DECODER")
    return {f"EUREKA_{name}__PORT": "0" for name in names} | {"EUREKA_STACK__FOLDER": str(folder.path)}


def test_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(StageUnavailableError, match="Not a directory") as caught:
        start_detached(StackFolder(tmp_path / "state"), None)
    assert caught.value.reason == "STACK_NOT_STARTED"


def test_detached_supervisor_tells_the_systems_reason(tmp_path: Path) -> None:
    folder = StackFolder(tmp_path)
    (tmp_path / "stack.lock").mkdir()
    with pytest.raises(StageUnavailableError, match=r"did not start.*stack\.lock") as caught:
        start_detached(folder, None, _own(folder))
    assert caught.value.reason == "STACK_NOT_STARTED"
