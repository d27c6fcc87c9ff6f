"""The GPU's benchmark: its way through all parts with a tiny model, and its word where there is no GPU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from gpu import bench_gpu
from gpu.bed import body_parameters, encoder_flops, kv_bytes, prefill_flops

from eureka.model.config import DecoderConfig, EncoderConfig

GOALS = {"H1", "H2", "H3", "H4", "H5", "H6", "H7_asr", "H7_caption", "H9"}


def test_quick_run_goes_through_all_parts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "results.json"
    assert bench_gpu.main(["--quick", "--output", str(output)]) == 0
    report = json.loads(output.read_text(encoding="utf-8"))
    assert set(report["goals"]) == GOALS
    skipped = {row["name"]: row["skipped"] for row in report["rows"] if "skipped" in row}
    assert set(skipped) == {"H8", "H5_peer"}
    assert not any(reason.startswith("failed") for reason in skipped.values())
    assert "| H1 |" in capsys.readouterr().out
    profile = (tmp_path / "gpu-step-quick.md").read_text(encoding="utf-8")
    assert "| kernel | launches a step | us a step | share |" in profile
    assert profile.count("\n| `") > 5


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is there")
def test_without_a_gpu_one_line_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench_gpu.main([]) == 1
    assert capsys.readouterr().err == bench_gpu.NO_GPU + "\n"


def test_part_that_does_not_exist_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench_gpu.main(["--quick", "--only", "H1,H77"]) == 2
    assert "H77" in capsys.readouterr().err


def test_work_of_the_released_shape_is_what_is_known_of_it() -> None:
    decoder, encoder = DecoderConfig(), EncoderConfig()
    assert body_parameters(decoder) == pytest.approx(1_409.3e6, rel=1e-3)
    assert kv_bytes(decoder, 2) == 112 * 1024
    assert encoder_flops(encoder, 3000) == pytest.approx(2.27e12, rel=0.01)
    assert prefill_flops(decoder, 400) == pytest.approx(1.15e12, rel=0.02)
