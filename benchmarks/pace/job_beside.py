"""Callers who wait beside a bulk job: the time to their first token, against that of an idle stack.

It may be twice that of the idle stack and the time for which one window of the job holds the encoder.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from serving_sides import make_clip, through_gateway, timed_embed, wav_of
from serving_stack import RunningStack

from eureka.clients.channels import ChannelConfig, open_channel
from eureka.clients.gateway import GatewayClient
from eureka.clients.gateway_async import AsyncGatewayClient
from eureka.clients.gateway_job_types import JobLane, JobOptions
from eureka.clients.stages import StageClients
from eureka.model.load_plan import plan_load
from eureka.runtime.settings import Settings
from eureka.types import Pcm
from pace.figures import Row, Value, quantile
from pace.job_work import client_of, job_stack, longest_window_seconds

CLIP_SECONDS, NUM_CLIPS = 5.0, 4
NUM_TOKENS = 4
NUM_EMBEDS = 15
SHARE = 0.99
MILLISECONDS = 1_000.0
POLL_SECONDS = 0.5


def rows_beside(settings: Settings, audio: Path, folder: Path, num_questions: int) -> list[Row]:
    """The tails of an idle stack and beside a bulk job, and what one window of it takes in the encoder."""
    window_seconds = longest_window_seconds(plan_load(settings.checkpoint).config)
    clip = make_clip(window_seconds, 0)
    with job_stack(settings, 1, folder) as stack, client_of(stack) as client:
        idle, beside, window = asyncio.run(_measure(stack, client, audio, clip, num_questions))
    tails = [quantile(one, SHARE) * MILLISECONDS for one in (idle, beside)]
    middles = tuple(statistics.median(one) * MILLISECONDS for one in (idle, beside))
    limit = 2 * tails[0] + window * MILLISECONDS
    note = (
        f"p99 of the time to first token of {len(beside)} questions about {CLIP_SECONDS:.0f} s, one at a "
        f"time, beside a bulk job (median {middles[1]:.0f} ms); limit: twice the idle p99 and one window"
    )
    window_note = f"one window of {window_seconds:g} s through the stages' Embed on an idle stack"
    return [
        Row("J1_beside_bulk", Value(tails[1], "ms", limit), note),
        Row(
            "J1_beside_idle",
            Value(tails[0], "ms"),
            f"the same without a job (median {middles[0]:.0f} ms)",
            False,
        ),
        Row("J1_bulk_window", Value(window * MILLISECONDS, "ms"), window_note, is_goal=False),
    ]


async def _measure(
    stack: RunningStack, client: GatewayClient, audio: Path, clip: Pcm, num_questions: int
) -> tuple[list[float], list[float], float]:
    """Seconds to the first token, idle and beside a job, and of one window's embedding."""
    files = [wav_of(make_clip(CLIP_SECONDS, seed)) for seed in range(NUM_CLIPS)]
    async with AsyncGatewayClient(stack.address("gateway")) as questions:
        side = through_gateway(questions, files)
        await side.answers(1, 5, NUM_TOKENS)
        window = await _embed_seconds(stack, clip)
        idle = await side.answers(1, num_questions, NUM_TOKENS)
        async with _bulk_jobs(client, audio):
            beside = await side.answers(1, num_questions, NUM_TOKENS)
    return [one.first_seconds for one in idle], [one.first_seconds for one in beside], window


async def _embed_seconds(stack: RunningStack, clip: Pcm) -> float:
    names = ("encoder", "adapter", "decoder")
    stages = StageClients(*(open_channel(ChannelConfig(stack.address(name))) for name in names))
    try:
        return statistics.median([await timed_embed(stages, clip) for _ in range(NUM_EMBEDS + 1)][1:])
    finally:
        await stages.close()


@asynccontextmanager
async def _bulk_jobs(client: GatewayClient, audio: Path) -> AsyncIterator[None]:
    """One bulk job after another while the block lasts, the first one in its windows."""
    made: list[str] = []

    def create() -> None:
        made.append(client.create_job(audio, JobOptions(lane=JobLane.BULK)).name)

    async def keep_busy() -> None:
        while True:
            if (await asyncio.to_thread(client.get_job, made[-1])).state.is_final:
                await asyncio.to_thread(create)
            await asyncio.sleep(POLL_SECONDS)

    await asyncio.to_thread(create)
    await _until(lambda: client.get_job(made[0]).num_ended > 0)
    keeping = asyncio.create_task(keep_busy())
    try:
        yield
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


async def _until(holds: Callable[[], bool]) -> None:
    while not await asyncio.to_thread(holds):
        await asyncio.sleep(0.05)
