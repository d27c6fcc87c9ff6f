"""Two checkpoints behind one gateway, over real stages: a share of the calls, or a name, picks one."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import pytest
import pytest_asyncio

from eureka.api.v1 import audio_service_pb2 as api
from eureka.api.v1 import model_service_pb2
from eureka.runtime.triton import TritonLauncher
from tests.helpers.gateway_stack import (
    Caller,
    conversation,
    inline,
    noise,
    running_stack,
    stack_settings,
    started_stages,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

CLIP = noise(1.1, 1)
NEW = "tiny-new"
"""Name of the canary."""


def renamed(checkpoint: Path, folder: Path) -> Path:
    """The same checkpoint by another name."""
    copy = Path(shutil.copytree(checkpoint, folder / NEW))
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "name": NEW}))
    return copy


@pytest_asyncio.fixture(loop_scope="module", scope="module", params=["fused", "two_stage"])
async def caller(
    triton: TritonLauncher,
    tiny_checkpoint: Path,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> AsyncIterator[Caller]:
    folder = tmp_path_factory.mktemp("canary")
    address = triton.config.grpc_address
    async with AsyncExitStack() as opened:
        targets = await started_stages(opened, stack_settings(renamed(tiny_checkpoint, folder), address))
        canary = {f"canary_{name}": target for name, target in targets.items()}
        stack = await opened.enter_async_context(
            running_stack(address, tiny_checkpoint, folder / "uploads", canary_percent=100, **canary)
        )
        found = stack.fused if request.param == "fused" else stack.two_stage
        while len((await found.models.List(model_service_pb2.ListRequest())).models) < 2:
            await asyncio.sleep(0.1)
        yield found


async def test_both_are_listed_the_default_one_first(caller: Caller) -> None:
    names = [model.name for model in (await caller.models.List(model_service_pb2.ListRequest())).models]
    assert len(names) == 2 and names[1] == NEW


async def test_calls_without_a_name_go_by_share_and_with_one_by_name(caller: Caller) -> None:
    first = (await caller.models.List(model_service_pb2.ListRequest())).models[0].name
    answered = [
        (await caller.audio.Caption(api.CaptionRequest(model=name, audio=inline(CLIP)))).model
        for name in ("", first, NEW)
    ]
    assert answered == [NEW, first, NEW]


async def test_streams_go_the_same_way(caller: Caller) -> None:
    request = api.GenerateRequest(conversation=conversation("what is it", inline(CLIP)))
    messages = [message async for message in caller.audio.Generate(request)]
    assert messages[-1].end.model == NEW


async def test_unknown_name_is_refused(caller: Caller) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match=r"served: .*tiny-new"):
        await caller.audio.Caption(api.CaptionRequest(model="nobody", audio=inline(CLIP)))
