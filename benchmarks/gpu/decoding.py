"""H1 to H4: decode steps, one stream and many, against what a step must read, and against transformers."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator

import torch
from pace.figures import Row, Skipped, compare, in_turns, middle
from pace.transformers_side import qwen_of

from eureka.engine.backend import StepChoice
from eureka.engine.cuda.backend import CudaBackend
from eureka.engine.cuda.step import MAX_STEPS
from gpu.bed import Bed, body_parameters, kv_bytes

PROMPT_TOKENS = 400
"""A transcription of 30 s: 375 audio tokens and the words around them."""

NO_END = -1
_ROUNDS = 7


def single_stream(bed: Bed) -> Iterator[Row]:
    """H1, H2 and H3: 192 tokens behind 400, all sides in turns in one run."""
    num_prompt, num_tokens = bed.size(PROMPT_TOKENS, 8), bed.size(3 * MAX_STEPS, 4)
    context = num_prompt + num_tokens + 1
    full, int8 = bed.backend(1, context), bed.backend(1, context, "int8")
    step_bytes = full.step_bytes + kv_bytes(bed.model.config.backbone, bed.dtype.itemsize) * (
        num_prompt + num_tokens // 2
    )
    sides: dict[str, Callable[[], float]] = {
        "ours": lambda: step_seconds(bed, full, 1, num_prompt, num_tokens),
        "int8": lambda: step_seconds(bed, int8, 1, num_prompt, num_tokens),
        "limit": lambda: step_bytes / bed.bytes_a_second(),
    }
    if bed.has_fp8:
        fp8 = bed.backend(1, context, "fp8")
        sides["fp8"] = lambda: step_seconds(bed, fp8, 1, num_prompt, num_tokens)
    sides["transformers"] = _transformers(bed, num_prompt, num_tokens)
    spent = in_turns(sides, bed.size(_ROUNDS, 2))
    unit = "ms a step"
    note = f"one stream behind {num_prompt} tokens, {bed.card}"
    yield Row(
        "H1", compare(spent["ours"], spent["limit"], unit, 1000), f"{note}: share of its copy bandwidth"
    )
    yield Row("H2", compare(spent["ours"], spent["transformers"], unit, 1000), f"{note}: against generate")
    yield Row("H3", compare(spent["int8"], spent["ours"], unit, 1000), f"{note}: int8 weights against ours")
    if bed.has_fp8:
        fp8_row = compare(spent["fp8"], spent["ours"], unit, 1000)
        yield Row("H3_fp8", fp8_row, f"{note}: fp8 weights against ours", is_goal=False)
    else:
        yield Row("H3_fp8", Skipped(f"{bed.card} does not know the type"))


def many_streams(bed: Bed) -> Iterator[Row]:
    """H4: 128 streams whose contexts lie around 475 tokens."""
    num_streams, num_tokens = bed.size(128, 3), bed.size(MAX_STEPS, 3)
    num_prompt = bed.size(475, 8) - num_tokens // 2
    backend = bed.backend(num_streams, num_prompt + num_tokens + 1)
    middle_context = num_prompt + num_tokens // 2
    spent = in_turns(
        {
            "ours": lambda: step_seconds(bed, backend, num_streams, num_prompt, num_tokens),
            "limit": lambda: step_limit(bed, backend, num_streams, middle_context),
        },
        bed.size(_ROUNDS, 2),
    )
    note = f"{num_streams} streams at {middle_context} tokens, {bed.card}: share of the limit"
    yield Row("H4", compare(spent["ours"], spent["limit"], "ms a step", 1000), note)


def paper_protocol(bed: Bed) -> Iterator[Row]:
    """Decoded tokens a second, the mean over answers of at most 2,000 tokens, one after another."""
    num_clips, num_tokens = bed.size(20, 2), bed.size(2000, 4)
    num_prompt = bed.size(PROMPT_TOKENS, 8)
    backend = bed.backend(1, num_prompt + num_tokens + 1)
    rates = []
    for _ in range(num_clips):
        rates.append(1 / step_seconds(bed, backend, 1, num_prompt, num_tokens))
    note = f"mean over {num_clips} answers of {num_tokens} tokens, prefill apart, {bed.card}"
    figure = middle([statistics.fmean(rates)], "tokens a second")
    yield Row("H_paper", figure, note, is_goal=False)


def step_limit(bed: Bed, backend: CudaBackend, num_streams: int, context: int) -> float:
    """Seconds that a step must take: its bytes at the measured bandwidth, or its products at the rate."""
    config = bed.model.config.backbone
    own = kv_bytes(config, bed.dtype.itemsize) * context
    flops = 2 * num_streams * (body_parameters(config) + config.vocab_size * config.hidden_size)
    num_bytes = backend.step_bytes + num_streams * own
    return max(num_bytes / bed.bytes_a_second(), flops / bed.flops_a_second())


def step_seconds(bed: Bed, backend: CudaBackend, num_streams: int, num_prompt: int, num_tokens: int) -> float:
    """Mean time of a greedy step of all streams, several a call, prompts apart."""
    slots = list(range(num_streams))
    for slot in slots:
        backend.prefill([bed.prompt(slot, num_prompt, slot)])
    last = [slot + 1 for slot in slots]
    spent, left = 0.0, num_tokens
    while left:
        count = min(left, MAX_STEPS)
        choices = [StepChoice(0.0, 0, (0.0,) * count)] * num_streams
        answers: list[list[int]] = []

        def call(last: list[int] = last, choices: list[StepChoice] = choices, to: list = answers) -> None:
            to += backend.decode_steps(slots, last, choices, NO_END)

        spent += bed.seconds(call)
        for slot, answer in zip(slots, answers, strict=True):
            backend.keep_steps(slot, len(answer))
        last = [answer[-1] for answer in answers]
        left -= count
    for slot in slots:
        backend.release(slot)
    return spent / num_tokens


def _transformers(bed: Bed, num_prompt: int, num_tokens: int) -> Callable[[], float]:
    """Seconds of a step of `Qwen3ForCausalLM.generate`: a long answer less a short one."""
    decoder = qwen_of(bed.model.backbone).to(bed.device)  # its tables are made on the CPU
    ids = torch.from_numpy(bed.prompt(0, num_prompt).prompt_ids)[None].to(bed.device)

    @torch.inference_mode()
    def generate(count: int) -> float:
        bed.wait()
        started = time.perf_counter()
        decoder.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=count,
            min_new_tokens=count,
            do_sample=False,
            pad_token_id=0,
            eos_token_id=None,
            disable_compile=True,
        )
        bed.wait()
        return time.perf_counter() - started

    return lambda: max(1e-9, generate(num_tokens) - generate(1)) / (num_tokens - 1)
