"""H5 to H9: the encoder, the first token, saturated throughput, and times between tokens under arrivals."""

from __future__ import annotations

import itertools
import statistics
import threading
import time
from collections.abc import Iterator

import numpy as np
import torch
from pace.figures import Row, Skipped, Value, compare, in_turns, quantile
from pace.transformers_side import whisper_of

from eureka.engine.cuda.hearing import CudaEmbedder
from eureka.engine.engine import Engine
from eureka.engine.handle import RequestHandle
from eureka.engine.limits import EngineLimits
from eureka.engine.repetition import RepetitionRule
from eureka.engine.request import AUDIO_TOKEN_TYPE, Floats, Request
from eureka.types import SAMPLE_RATE_HZ, Pcm, SamplingParams
from gpu.bed import Bed, encoder_flops, prefill_flops
from gpu.decoding import step_limit

WORDS_AROUND = 25
"""Prompt tokens beside those of audio."""

_NEVER = 10**6
_numbers = itertools.count()


def encoder(bed: Bed) -> Iterator[Row]:
    """H5: eight windows of 30 s at once, against the rate of products and against WhisperEncoder."""
    config = bed.model.config.audio_encoder
    batch, num_frames = bed.size(8, 2), bed.size(2 * config.max_source_positions, 64)
    shape = (batch, config.num_mel_bins, num_frames)
    windows = torch.randn(shape, device=bed.device, dtype=bed.dtype)
    ours = bed.model.audio_encoder.speech_encoder
    flops = batch * encoder_flops(config, num_frames)
    sides = {
        "ours": lambda: bed.seconds(lambda: ours(windows)),
        "limit": lambda: flops / bed.flops_a_second(),
    }
    note = f"encoder, {batch} windows of {num_frames / 100:g} s, {bed.card}"
    with torch.inference_mode():
        if num_frames == 2 * config.max_source_positions:  # the peer takes no other length
            peer = whisper_of(bed.model).to(bed.device, bed.dtype)
            sides["peer"] = lambda: bed.seconds(lambda: peer(windows))
        spent = in_turns(sides, bed.size(7, 2), num_warm_up=2)
    yield Row("H5", compare(spent["ours"], spent["limit"], "ms", 1000), f"{note}: share of the product rate")
    if "peer" in spent:
        yield Row(
            "H5_peer", compare(spent["ours"], spent["peer"], "ms", 1000), f"{note}: against WhisperEncoder"
        )
    else:
        yield Row("H5_peer", Skipped("a quick run takes shorter windows than the peer"))


def first_token(bed: Bed) -> Iterator[Row]:
    """H6: 30 s from samples to the first token, engine idle, by the clock."""
    pcm = _noise(bed)
    embedder = bed.embedder()
    engine = _engine(bed, 1, _prompt_tokens(embedder.embed([pcm])) + 8)

    def ours() -> float:
        started = time.perf_counter()
        handle = engine.submit(_request(embedder.embed([pcm]), 2))
        while handle.take() is None:
            engine.step()
        spent = time.perf_counter() - started
        list(handle)
        return spent

    limit = _hearing_flops(bed, pcm)
    spent = in_turns({"ours": ours, "limit": lambda: limit / bed.flops_a_second()}, bed.size(15, 2), 3)
    note = f"{len(pcm) / SAMPLE_RATE_HZ:g} s to the first token, {bed.card}: limit over ours; wanted 1/3"
    yield Row("H6", compare(spent["ours"], spent["limit"], "ms", 1000), note)


def saturated(bed: Bed) -> Iterator[Row]:
    """H7: clips of 30 s without a pause, captions of 150 tokens, transcripts of 80; H8 says what it lacks."""
    for name, num_tokens in (("H7_caption", bed.size(150, 4)), ("H7_asr", bed.size(80, 3))):
        yield _saturated(bed, name, num_tokens)
    yield Row(
        "H8",
        Skipped("random weights have no tokenizer to be served with: EUREKA_BACKEND=cuda make bench-serving"),
    )


def arrivals(bed: Bed) -> Iterator[Row]:
    """H9: 64 streams that ask again as soon as they have their answer: p99 over p50 between deliveries."""
    num_streams, num_answers = bed.size(64, 3), bed.size(256, 6)
    embeddings = _embeddings(bed, bed.embedder())
    engine = _engine(bed, num_streams, _prompt_tokens(embeddings) + 200)
    lengths = np.random.default_rng(0).integers(bed.size(80, 3), bed.size(180, 6), num_answers).tolist()
    running: dict[RequestHandle, float] = {}
    gaps: list[float] = []
    while lengths or running:
        while lengths and len(running) < num_streams:
            running[engine.submit(_request(embeddings, lengths.pop()))] = 0.0
        engine.step()
        now = time.perf_counter()
        for handle in list(running):
            gaps += _delivered(handle, running, now)
    tail = quantile(gaps, 0.99) / quantile(gaps, 0.5)
    note = f"{num_streams} streams with arrivals, p50 {statistics.median(gaps) * 1000:.2f} ms, {bed.card}"
    yield Row("H9", Value(tail, "p99 over p50", 4.0), note)


def _delivered(handle: RequestHandle, running: dict[RequestHandle, float], now: float) -> list[float]:
    """The gap before what was delivered now, if there was something before it."""
    found = False
    while (delta := handle.take()) is not None:
        found = True
        if delta.ending is not None:
            last = running.pop(handle)
            return [now - last] if last else []
    if not found:
        return []
    last, running[handle] = running[handle], now
    return [now - last] if last else []


def _saturated(bed: Bed, name: str, num_tokens: int) -> Row:
    num_slots, num_clips = bed.size(256, 2), bed.size(1024, 4)
    pcm, embedder = _noise(bed), bed.embedder()
    num_prompt = _prompt_tokens(embedder.embed([pcm]))
    engine = _engine(bed, num_slots, num_prompt + num_tokens)
    handles: list[RequestHandle] = []

    def hear(count: int) -> None:
        for _ in range(count):
            handles.append(engine.submit(_request(embedder.embed([pcm]), num_tokens)))

    num_threads = bed.size(8, 2)
    hearers = [threading.Thread(target=hear, args=(num_clips // num_threads,)) for _ in range(num_threads)]
    started = time.perf_counter()
    for thread in hearers:
        thread.start()
    while (is_heard := any(thread.is_alive() for thread in hearers)) | (has_work := engine.step()):
        if is_heard and not has_work:
            time.sleep(1e-4)  # leaves the interpreter to those that hear
    seconds = (time.perf_counter() - started) / num_clips
    assert sum(len(delta.token_ids) for one in handles for delta in one) == num_clips * num_tokens
    steps = num_tokens * step_limit(bed, engine.backend, num_slots, num_prompt + num_tokens // 2) / num_slots
    limit = _hearing_flops(bed, pcm) / bed.flops_a_second() + steps
    rate = len(pcm) / SAMPLE_RATE_HZ / seconds
    note = (
        f"{num_tokens} tokens, {num_slots} slots: {rate:.4g} audio-s/s, {bed.card}: share of the serial bound"
    )
    return Row(name, compare([seconds], [limit], "ms a clip", 1000), note)


def _hearing_flops(bed: Bed, pcm: Pcm) -> float:
    """Encoder and prefill of a clip; the adapter is below 2 % of them."""
    config = bed.model.config
    frames = len(pcm) // 160
    num_prompt = frames // 8 + WORDS_AROUND
    return encoder_flops(config.audio_encoder, frames) + prefill_flops(config.backbone, num_prompt)


def _engine(bed: Bed, num_slots: int, context: int) -> Engine:
    """Answers end by length only."""
    backend = bed.backend(num_slots, context)
    limits = EngineLimits(
        max_step_prefill_tokens=2048, prefix_cache_bytes=0, repetition=RepetitionRule(min_tokens=_NEVER)
    )
    return Engine(backend, backend.vocab_size, limits=limits)


def _noise(bed: Bed) -> Pcm:
    rng = np.random.default_rng(0)
    return (0.1 * rng.standard_normal(SAMPLE_RATE_HZ * bed.size(30, 1))).astype(np.float32)


def _embeddings(bed: Bed, embedder: CudaEmbedder) -> Floats:
    return embedder.embed([_noise(bed)])


def _prompt_tokens(embeddings: Floats) -> int:
    return len(embeddings) + WORDS_AROUND


def _request(embeddings: Floats, num_tokens: int) -> Request:
    """Audio amid words; answers of exactly so many greedy tokens with the release's penalty."""
    num_audio = len(embeddings)
    types = np.zeros(num_audio + WORDS_AROUND, np.int64)
    types[5 : 5 + num_audio] = AUDIO_TOKEN_TYPE
    ids = np.where(types == AUDIO_TOKEN_TYPE, 0, np.arange(len(types)) % 64)
    return Request(f"gpu-{next(_numbers)}", ids, types, embeddings, sampling=SamplingParams(num_tokens))
