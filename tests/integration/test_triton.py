"""The models in a real Triton: equal to the same code in this process, and sound when things go wrong."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eureka.clients.triton import TritonClient, TritonOptions
from eureka.clients.triton_wire import decoder_request
from eureka.engine.choice import BackendChoice
from eureka.engine.engine import Engine
from eureka.engine.messages import DecoderCall
from eureka.engine.reference import ReferenceBackend
from eureka.engine.reference_parts import reference_embedder
from eureka.engine.request import Label
from eureka.errors import (
    AlreadyExistsError,
    CancelledError,
    InvalidAudioError,
    InvalidInputError,
    QueueFullError,
    StageUnavailableError,
)
from eureka.model.weights import load_checkpoint
from eureka.runtime.triton import TritonConfig, TritonLauncher, model_processes
from eureka.serving.encoder import FrameEncoder
from eureka.text.tokenizer import Tokenizer
from eureka.types import Ending, Pcm, SamplingParams
from tests.helpers.triton_requests import collect, ids_of, long_prompt, metrics, prompt
from tests.integration.conftest import IDLE_TIMEOUT_SECONDS, MAX_WAITING, NUM_SLOTS


@pytest.fixture(scope="session")
def tokenizer(tiny_checkpoint: Path) -> Tokenizer:
    return Tokenizer.from_folder(tiny_checkpoint)


@pytest.fixture(scope="session")
def engine(tiny_checkpoint: Path, tokenizer: Tokenizer) -> Engine:
    model, _ = load_checkpoint(tiny_checkpoint)
    penalty = model.config.repetition_penalty
    return Engine(ReferenceBackend(model.backbone, 1), tokenizer.end_id, repetition_penalty=penalty)


def noise(seconds: float, seed: int = 0) -> Pcm:
    rng = np.random.default_rng(seed)
    return (0.1 * rng.standard_normal(round(16_000 * seconds))).astype(np.float32)


async def until(holds: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not await asyncio.to_thread(holds):
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.05)


# -- equal to this process -------------------------------------------------------------------------


async def test_two_stages_fused_and_this_process_embed_alike(
    client: TritonClient, tiny_checkpoint: Path
) -> None:
    items = [noise(1.3), noise(0.01, 1), noise(12.0, 2)]  # the last one takes two windows
    frames = await client.infer_frames(items)
    staged = await client.adapt(frames)
    fused = await client.embed(items)
    own_frames = FrameEncoder.from_checkpoint(tiny_checkpoint, BackendChoice()).encode(items)
    own = reference_embedder(load_checkpoint(tiny_checkpoint)[0]).embed(items)
    np.testing.assert_array_equal(staged, fused)
    np.testing.assert_allclose(frames, own_frames, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(fused, own, rtol=1e-5, atol=1e-5)
    assert frames.shape == (4 * len(staged), 64)


async def test_batch_mates_do_not_change_frames(client: TritonClient) -> None:
    clips = [noise(seconds, seed) for seed, seconds in enumerate((0.3, 1.1, 2.0, 0.7))]
    alone = [await client.infer_frames([clip]) for clip in clips]
    together = await asyncio.gather(*(client.infer_frames([clip]) for clip in clips * 3))
    for number, frames in enumerate(together):
        np.testing.assert_array_equal(frames, alone[number % len(clips)])


async def test_shared_memory_equals_inline_and_leaves_nothing(
    triton: TritonLauncher, client: TritonClient
) -> None:
    before = set(os.listdir("/dev/shm"))
    clips = [noise(seconds, seed) for seed, seconds in enumerate((0.5, 3.0, 8.0, 29.0))]
    options = TritonOptions(transport="shared_memory", num_regions=2)
    async with TritonClient(triton.config.grpc_address, options) as shared:
        for clip in [noise(0.1), *clips]:  # the first answer comes inline and tells the width
            frames = await client.infer_frames([clip])
            np.testing.assert_array_equal(await shared.infer_frames([clip]), frames)
            np.testing.assert_array_equal(await shared.adapt(frames), await client.adapt(frames))
        embedded = await asyncio.gather(*(shared.embed([clip]) for clip in clips * 2))
        for number, found in enumerate(embedded):
            np.testing.assert_array_equal(found, await client.embed([clips[number % len(clips)]]))
        with pytest.raises(CancelledError):
            await shared.infer_frames([clips[-1]], deadline=time.monotonic() + 0.001)
        np.testing.assert_array_equal(
            await shared.infer_frames([clips[0]]), await client.infer_frames([clips[0]])
        )
    left = {name for name in set(os.listdir("/dev/shm")) - before if name.startswith(f"eureka-{os.getpid()}")}
    assert not left


async def test_generate_gives_the_greedy_ids_of_this_process(client: TritonClient, engine: Engine) -> None:
    requests = [prompt(number, num_audio=number) for number in range(6)]
    answers = await asyncio.gather(*(collect(client.generate(request)) for request in requests[:4]))
    answers += await asyncio.gather(*(collect(client.generate(request)) for request in requests[4:]))
    for request, answer in zip(requests, answers, strict=True):
        own = list(engine.submit(request))
        assert ids_of(answer) == ids_of(own)
        assert answer[-1].ending is own[-1].ending
        assert answer[-1].usage is not None and own[-1].usage is not None
        assert answer[-1].usage.prompt_tokens == own[-1].usage.prompt_tokens
        assert all(delta.ending is None for delta in answer[:-1])


async def test_generate_with_logprobs_and_stop_strings(
    client: TritonClient, engine: Engine, tokenizer: Tokenizer
) -> None:
    bans = (tokenizer.end_id,)
    request = prompt(2, sampling=SamplingParams(max_new_tokens=12, top_logprobs=2, ban_token_ids=bans))
    answer = await collect(client.generate(request))
    logprobs = [one for delta in answer for one in delta.logprobs]
    assert [one.token_id for one in logprobs] == ids_of(answer)
    own = [one for delta in engine.submit(request) for one in delta.logprobs]
    assert [one.top_ids for one in logprobs] == [one.top_ids for one in own]
    np.testing.assert_allclose([one.logprob for one in logprobs], [one.logprob for one in own], rtol=1e-5)
    text = tokenizer.decode(ids_of(answer))
    stop = SamplingParams(max_new_tokens=12, stop=(text[3:6],), ban_token_ids=bans)
    stopped = await collect(client.generate(prompt(2, sampling=stop)))
    assert stopped[-1].ending is Ending.STOP
    assert text.startswith(tokenizer.decode(ids_of(stopped)))


async def test_score_equals_this_process(client: TritonClient, engine: Engine) -> None:
    labels = [Label("cat", (310, 311)), Label("dog", (312,)), Label("rain", (313, 314, 315))]
    request = prompt(7)
    scores = await client.score(request, labels)
    own = engine.score(request, labels)
    assert scores.names == own.names
    np.testing.assert_allclose(scores.log_probabilities, own.log_probabilities, rtol=1e-5)


# -- refusals --------------------------------------------------------------------------------------


async def test_errors_keep_class_and_reason(client: TritonClient) -> None:
    for call in (client.infer_frames, client.embed):
        with pytest.raises(InvalidAudioError) as caught:
            await call([noise(0.5), np.zeros(0, np.float32)])
        assert caught.value.reason == "EMPTY_AUDIO"
    with pytest.raises(InvalidInputError, match="multiple of 4") as wrong:
        await client.adapt(np.zeros((5, 64), dtype=np.float32))
    assert wrong.value.reason == "INVALID_TENSOR"
    with pytest.raises(InvalidInputError, match="max_new_tokens"):
        await collect(client.generate(prompt(1, sampling=SamplingParams(max_new_tokens=0))))
    with pytest.raises(StageUnavailableError):
        async with TritonClient("127.0.0.1:9") as nobody:
            await nobody.embed([noise(0.1)])


async def test_deadline_reaches_the_engine(client: TritonClient, tokenizer: Tokenizer) -> None:
    request = long_prompt(3, tokenizer, deadline=time.monotonic() + 0.4)
    answer = await collect(client.generate(request))
    assert answer[-1].ending is Ending.DEADLINE
    assert len(ids_of(answer)) > 3


async def test_more_than_slots_and_queue_hold_is_refused_and_the_rest_served(
    client: TritonClient, triton: TritonLauncher, tokenizer: Tokenizer
) -> None:
    running = [client.generate(long_prompt(number, tokenizer)) for number in range(NUM_SLOTS)]
    for stream in running:
        await anext(stream)
    waiting = [client.generate(long_prompt(10 + number, tokenizer)) for number in range(MAX_WAITING)]
    firsts = [asyncio.ensure_future(anext(stream)) for stream in waiting]
    await until(lambda: metrics(triton)["eureka_requests_waiting"] == MAX_WAITING)
    with pytest.raises(QueueFullError):
        await collect(client.generate(prompt(9)))
    for first in firsts:
        first.cancel()
    await asyncio.gather(*firsts, return_exceptions=True)
    for stream in (*running, *waiting):
        await stream.aclose()
    await until(lambda: metrics(triton)["eureka_requests_running"] == 0)
    assert (await collect(client.generate(prompt(9))))[-1].ending is not None


async def test_same_id_twice_at_a_time_is_refused(client: TritonClient, tokenizer: Tokenizer) -> None:
    async with aclosing(client.generate(long_prompt(4, tokenizer, request_id="twice"))) as stream:
        await anext(stream)
        with pytest.raises(AlreadyExistsError):
            await collect(client.generate(prompt(4, request_id="twice")))


async def test_audio_that_nobody_waits_for_any_more_is_not_encoded(
    client: TritonClient, triton: TritonLauncher
) -> None:
    """Triton drops what waits in its queue; these are in the batch that runs."""
    pcm = noise(400.0)
    before = metrics(triton)["eureka_audio_seconds_total"]
    first, *mates = [asyncio.create_task(client.infer_frames([pcm])) for _ in range(6)]
    await first  # the others came meanwhile, and are one batch now
    for call in mates:
        call.cancel()
    await asyncio.gather(*mates, return_exceptions=True)
    await client.infer_frames([noise(1.0)])  # behind all of them
    await until(lambda: metrics(triton)["eureka_audio_seconds_total"] > before + 400.0)
    assert metrics(triton)["eureka_audio_seconds_total"] - before < 1_300.0


# -- streams ---------------------------------------------------------------------------------------


async def test_closing_the_iterator_frees_the_slot(
    client: TritonClient, triton: TritonLauncher, tokenizer: Tokenizer
) -> None:
    streams = [client.generate(long_prompt(n, tokenizer)) for n in range(NUM_SLOTS)]
    for stream in streams:
        await anext(stream)
    await until(lambda: metrics(triton)["eureka_kv_slots_used"] == NUM_SLOTS)
    for stream in streams:
        await stream.aclose()
    started = time.monotonic()
    answer = await collect(client.generate(prompt(1)))
    assert answer[-1].ending is not None
    assert time.monotonic() - started < 1.0
    await until(lambda: metrics(triton)["eureka_kv_slots_used"] == 0)


async def test_a_fast_decoder_sends_several_tokens_a_response(
    client: TritonClient, tokenizer: Tokenizer
) -> None:
    answer = await collect(client.generate(long_prompt(5, tokenizer, deadline=time.monotonic() + 1)))
    assert len(ids_of(answer)) > 1.5 * len(answer)
    assert len(answer[0].token_ids) <= 3  # the first one waits for no company


async def test_every_stream_has_exactly_one_final(client: TritonClient) -> None:
    bad = SamplingParams(max_new_tokens=0)
    late = time.monotonic() - 1
    for request in (prompt(1), prompt(2, sampling=bad), prompt(3, deadline=late)):
        message = decoder_request(DecoderCall(request), time.monotonic())
        finals = 0
        stream = client._stub.ModelStreamInfer(_once(message), timeout=20)
        async for reply in stream:
            finals += reply.infer_response.parameters["triton_final_response"].bool_param
            if reply.error_message or finals:
                break
        rest = [reply async for reply in stream]
        assert finals + bool(reply.error_message) >= 1
        assert not rest


async def _once(message: Any) -> AsyncGenerator[Any, None]:
    yield message


async def test_metrics_count_what_was_done(client: TritonClient, triton: TritonLauncher) -> None:
    await until(lambda: metrics(triton)["eureka_requests_running"] == 0)
    before = metrics(triton)
    await client.embed([noise(0.8)])
    answer = await collect(client.generate(prompt(6, num_audio=4)))

    def has_counted() -> bool:
        after = metrics(triton)
        experts = [name for name in after if name.startswith("eureka_expert_tokens_total")]
        grown = {name: after[name] - before.get(name, 0) for name in after}
        return (
            abs(grown["eureka_audio_seconds_total"] - 0.8) < 1e-6
            and sum(grown[name] for name in experts) == 10 * 2
            and grown["eureka_generated_tokens_total"] == len(ids_of(answer))
            and grown["eureka_prompt_tokens_total"] == 12
            and after["eureka_requests_running"] == 0
            and after["eureka_requests_waiting"] == 0
        )

    await until(has_counted)


# -- models come and go ----------------------------------------------------------------------------


async def test_killed_decoder_is_noticed_and_healed_by_loading_again(
    client: TritonClient, triton: TritonLauncher, tokenizer: Tokenizer
) -> None:
    assert triton.pid is not None
    pids = {process.model: process.pid for process in model_processes(triton.pid)}
    stream = client.generate(long_prompt(1, tokenizer))
    await anext(stream)
    os.kill(pids["llm_decoder"], signal.SIGKILL)
    started = time.monotonic()
    with pytest.raises(StageUnavailableError) as gone:
        await collect(stream)
    assert gone.value.reason == "MODEL_GONE"
    assert time.monotonic() - started < IDLE_TIMEOUT_SECONDS + 1
    with pytest.raises(StageUnavailableError) as still:
        await client.probe("llm_decoder")
    assert still.value.reason == "MODEL_GONE"
    assert await client.ready("llm_decoder")  # Triton does not notice
    await client.unload("llm_decoder")
    assert not await client.ready("llm_decoder")
    await client.load("llm_decoder")
    assert (await collect(client.generate(prompt(1))))[-1].ending is not None


async def test_killed_encoder_is_noticed_and_the_ensemble_comes_back(
    client: TritonClient, triton: TritonLauncher
) -> None:
    assert triton.pid is not None
    before = await client.embed([noise(0.5)])
    pids = {process.model: process.pid for process in model_processes(triton.pid)}
    os.kill(pids["audio_encoder"], signal.SIGKILL)
    for call in (client.infer_frames, client.embed):
        with pytest.raises(StageUnavailableError) as gone:
            await call([noise(0.5)])
        assert gone.value.reason == "MODEL_GONE"
    await client.unload("audio_encoder")
    await client.load("audio_encoder")
    await client.load("audio_frontend")
    np.testing.assert_array_equal(await client.embed([noise(0.5)]), before)
    after = {process.model: process.pid for process in model_processes(triton.pid)}
    assert after["moe_adapter"] == pids["moe_adapter"]  # loading the ensemble starts no member anew


async def test_load_takes_parameters_before_the_environment(client: TritonClient) -> None:
    await client.load("moe_adapter", {"dtype": "bfloat16"})
    rough = await client.adapt(np.ones((4, 64), dtype=np.float32))
    await client.unload("moe_adapter")  # loading what has not changed does nothing
    await client.load("moe_adapter")
    exact = await client.adapt(np.ones((4, 64), dtype=np.float32))
    assert 0 < np.abs(rough - exact).max() < 0.1 * np.abs(exact).max()


def test_busy_port_is_named_before_the_start(triton: TritonLauncher, tmp_path: Path) -> None:
    taken = triton.config.grpc_port
    config = TritonConfig(triton.config.repository, tmp_path / "log", http_port=0, grpc_port=taken)
    with pytest.raises(AlreadyExistsError, match=str(taken)) as caught:
        TritonLauncher(config).start()
    assert caught.value.reason == "PORT_IN_USE"
