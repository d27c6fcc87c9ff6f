"""The served stack gives the greedy ids of this process, by both embedding paths, for real recordings.

Equal means the same ids. A step at which they differ is a tie for the reference: led along the served answer,
its two best logits lie less than 1e-3 apart; fewer than 0.1 % of all steps may be such.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import chain, zip_longest
from pathlib import Path
from typing import TypeVar

import pytest

from eureka.audio.decode import decode_all
from eureka.clients.channels import ChannelConfig, open_channel
from eureka.clients.gateway_async import AsyncGatewayClient
from eureka.clients.stages import EmbeddingPath, StageClients
from eureka.types import (
    AudioPart,
    CallContext,
    Ending,
    Instruction,
    Pcm,
    SamplingParams,
    Task,
    TextPart,
    TextRequest,
    Turn,
)
from tests.helpers.reference_ids import AnsweredIds, ReferenceIds, with_rows
from tests.helpers.stack_user import StackUser

NUM_CLIPS = 50
QUESTION = "What do you hear?"
SAMPLING = SamplingParams(max_new_tokens=24)
NUM_AT_ONCE = 4
"""As many as there are slots, so that each answer has other batch mates."""

MAX_GAP = 1e-3
MAX_SHARE = 1e-3

Answered = TypeVar("Answered")

PATHS: tuple[EmbeddingPath, ...] = ("fused", "two_stage")


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """A recording with a question about it, and the answer of this process.

    Attributes:
        path: of the file.
        pcm: all of it.
        request: with the embeddings of this process.
        own: the answer.
    """

    path: Path
    pcm: Pcm
    request: TextRequest
    own: AnsweredIds

    def without_end(self, reference: ReferenceIds) -> Clip:
        """The same with a long answer."""
        request = reference.without_end(self.request)
        return Clip(self.path, self.pcm, request, reference.answer(request))


@pytest.fixture(scope="module")
def reference(checkpoint_folder: Path) -> ReferenceIds:
    return ReferenceIds(checkpoint_folder)


@pytest.fixture(scope="module")
def clips(data_folder: Path, user: StackUser, reference: ReferenceIds) -> list[Clip]:
    """Skipped before anything is computed where the stack cannot run."""
    return [_clip(path, reference) for path in _dev_files(data_folder)]


@pytest.fixture(scope="module")
def stack(clips: list[Clip], user: StackUser) -> StackUser:
    user.run("up", "--detach")
    return user


@pytest.fixture(scope="module")
def long_clips(clips: list[Clip], reference: ReferenceIds) -> list[Clip]:
    """Answers of eureka-nano to a question are a few tokens; these go on without end, up to the limit."""
    return [clip.without_end(reference) for clip in clips]


def test_reference_agrees_with_itself_when_led_along(long_clips: list[Clip], reference: ReferenceIds) -> None:
    for clip in long_clips[:5]:
        steps = reference.forced(clip.request, clip.own)
        assert len(steps) == clip.own.num_steps
        assert all(step.is_same for step in steps)
        other = replace(clip.own, ids=(*clip.own.ids[:-1], clip.own.ids[-1] ^ 1))
        assert [step.is_same for step in reference.forced(clip.request, other)].count(False) == 1


@pytest.mark.parametrize("path", PATHS)
async def test_stages_give_the_ids_of_this_process(
    stack: StackUser,
    clips: list[Clip],
    long_clips: list[Clip],
    reference: ReferenceIds,
    path: EmbeddingPath,
) -> None:
    asked = [*clips, *long_clips]
    async with _stages(stack, path) as stages:
        served = await _each(asked, lambda clip: _served(stages, clip))

    _check(f"{path} stages", asked, served, reference)


async def test_gateway_gives_the_text_of_this_process(stack: StackUser, clips: list[Clip]) -> None:
    """Where a text differs, ids do, which the test above allows for ties only."""
    async with _stages(stack, "fused") as stages, AsyncGatewayClient(_address(stack, "gateway")) as client:
        texts = await _each(clips, lambda clip: _asked(client, clip))
        differing = [clip for clip, text in zip(clips, texts, strict=True) if text != clip.own.text]
        served = await _each(differing, lambda clip: _served(stages, clip))

    print(f"gateway: {len(differing)} of {len(clips)} texts differ from those of this process")
    assert all(answer.ids != clip.own.ids for clip, answer in zip(differing, served, strict=True))


def _check(name: str, clips: Sequence[Clip], served: Sequence[AnsweredIds], reference: ReferenceIds) -> None:
    """Lead the reference along those answers that are not its own; an equal one has no step that differs."""
    others = [
        (clip, answer) for clip, answer in zip(clips, served, strict=True) if answer.ids != clip.own.ids
    ]
    steps = [step for clip, answer in others for step in reference.forced(clip.request, answer)]
    gaps = [step.gap for step in steps if not step.is_same]
    num_steps = sum(answer.num_steps for answer in served)
    print(
        f"{name}: {len(clips) - len(others)} of {len(clips)} answers equal,"
        f" {len(gaps)} of {num_steps} steps differ, by gaps of {gaps}"
    )
    assert len(gaps) >= len(others), "an answer differs by a step at least"
    assert all(gap < MAX_GAP for gap in gaps)
    assert len(gaps) < MAX_SHARE * num_steps


def _dev_files(folder: Path) -> list[Path]:
    """Dev clips, one of each subset in turn."""
    by_subset: defaultdict[str, list[Path]] = defaultdict(list)
    for line in (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["split"] == "dev":
            by_subset[row["subset"]].append(folder / row["path"])
    # The steps through a subset reach all of it, so that a clip is not always of the same speaker or label.
    spread = [files[:: max(1, len(files) // NUM_CLIPS)] for _, files in sorted(by_subset.items())]
    in_turn = chain.from_iterable(zip_longest(*spread))
    return [path for path in in_turn if path is not None][:NUM_CLIPS]


def _clip(path: Path, reference: ReferenceIds) -> Clip:
    pcm = decode_all(path)
    rows = reference.embed(pcm)
    turn = Turn("user", (AudioPart(len(rows)), TextPart(QUESTION)))
    request = TextRequest(Instruction(Task.ASK, turns=(turn,)), rows, SAMPLING)
    return Clip(path, pcm, request, reference.answer(request))


async def _served(stages: StageClients, clip: Clip) -> AnsweredIds:
    context = CallContext(f"same-ids-{clip.path.stem}", deadline=time.monotonic() + 60)
    rows = await stages.embed([clip.pcm], context)
    deltas = [delta async for delta in stages.generate(with_rows(clip.request, rows), context)]
    ids = tuple(token_id for delta in deltas for token_id in delta.token_ids)
    return AnsweredIds(ids, "".join(delta.text for delta in deltas), deltas[-1].ending)


async def _asked(client: AsyncGatewayClient, clip: Clip) -> str:
    answer = await client.ask(QUESTION, clip.path, sampling=SAMPLING)
    assert answer.ending in {Ending.STOP, Ending.LENGTH, Ending.REPETITION}
    return answer.text


async def _each(clips: Sequence[Clip], ask: Callable[[Clip], Awaitable[Answered]]) -> list[Answered]:
    """Answers about all clips, a few at a time."""
    places = asyncio.Semaphore(NUM_AT_ONCE)

    async def one(clip: Clip) -> Answered:
        async with places:
            return await ask(clip)

    return list(await asyncio.gather(*(one(clip) for clip in clips)))


@asynccontextmanager
async def _stages(stack: StackUser, path: EmbeddingPath) -> AsyncIterator[StageClients]:
    channels = [
        open_channel(ChannelConfig(_address(stack, name))) for name in ("encoder", "adapter", "decoder")
    ]
    stages = StageClients(*channels, path)
    try:
        yield stages
    finally:
        await stages.close()


def _address(stack: StackUser, name: str) -> str:
    address: str = stack.components()[name]["address"]
    return address
