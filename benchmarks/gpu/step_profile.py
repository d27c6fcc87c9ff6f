"""One decode step by kernel: where its time goes, as Markdown."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from eureka.engine.backend import StepChoice
from gpu.bed import Bed
from gpu.decoding import NO_END, PROMPT_TOKENS

_STEPS = 16


def write_profile(bed: Bed, path: Path) -> None:
    """Kernels of a step of one stream, most expensive first; the mean of several steps of a graph."""
    num_prompt = bed.size(PROMPT_TOKENS, 8)
    backend = bed.backend(1, num_prompt + 2 * _STEPS + 1)
    backend.prefill([bed.prompt(0, num_prompt)])
    choices = [StepChoice(0.0, 0, (0.0,) * _STEPS)]
    backend.decode_steps([0], [1], choices, NO_END)
    is_cuda = bed.device.type == "cuda"
    with profile(activities=[ProfilerActivity.CUDA if is_cuda else ProfilerActivity.CPU]) as found:
        backend.decode_steps([0], [1], choices, NO_END)
        bed.wait()
    rows = [
        (event.key, event.count / _STEPS, _microseconds(event, is_cuda) / _STEPS)
        for event in found.key_averages()
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_markdown(bed, sorted(rows, key=lambda row: -row[2]), num_prompt), encoding="utf-8")


def _microseconds(event: object, is_cuda: bool) -> float:
    name = "self_device_time_total" if is_cuda else "self_cpu_time_total"
    return float(getattr(event, name))


def _markdown(bed: Bed, rows: list[tuple[str, float, float]], num_prompt: int) -> str:
    total = sum(row[2] for row in rows) or 1.0
    lines = [
        "# A decode step by kernel",
        "",
        f"One stream behind {num_prompt} tokens on {bed.card}, torch {torch.__version__},"
        f" {datetime.now(UTC):%Y-%m-%d}, by `make bench-gpu`; {total:.1f} us of kernels a step.",
        "",
        "| kernel | launches a step | us a step | share |",
        "|---|---|---|---|",
        *(
            f"| `{name[:80]}` | {count:g} | {spent:.1f} | {100 * spent / total:.1f} % |"
            for name, count, spent in rows
            if spent > 0
        ),
    ]
    return "\n".join(lines) + "\n"
