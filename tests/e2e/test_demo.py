"""The demo from arguments to picture, on a seeded checkpoint: what it hears is nonsense, the way is real."""

import wave

import numpy as np
import pytest

from eureka.cli import demo
from eureka.engine.audio_parts import RoutedTokens
from eureka.types import SAMPLE_RATE_HZ, CoverageRow, Ending, HearingResult, Span, Task, Usage
from tests.helpers.tiny_checkpoint import write_tiny_checkpoint


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_tiny_checkpoint(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def bare_machine(monkeypatch, tmp_path):
    """No data pack anywhere near."""
    monkeypatch.setenv("EUREKA_DATA_FOLDER", str(tmp_path / "nothing"))


def test_demo_by_seed_prints_truth_and_answer_and_writes_picture_and_sample(
    checkpoint, bare_machine, tmp_path, capsys
):
    words = ["--seed", "4", "--checkpoint", str(checkpoint), "--output", str(tmp_path / "out")]
    assert demo.main(words) == 0
    printed = capsys.readouterr().out
    for start in ("said ", "sounds ", "heard ", "classify ", "took ", "picture ", "sample "):
        assert any(line.startswith(start) for line in printed.splitlines()), start
    assert "word error rate" in printed
    assert "(computed)" in printed
    assert "SEED=4" in printed
    assert (tmp_path / "out" / "demo.png").read_bytes().startswith(b"\x89PNG")
    with wave.open(str(tmp_path / "out" / "sample.wav")) as reader:
        assert reader.getframerate() == SAMPLE_RATE_HZ
        assert 4 < reader.getnframes() / SAMPLE_RATE_HZ < 10


def test_demo_of_a_longer_file_hears_all_and_draws_the_beginning(checkpoint, bare_machine, tmp_path, capsys):
    path = tmp_path / "long.wav"
    noise = 0.1 * np.random.default_rng(0).normal(size=34 * SAMPLE_RATE_HZ)
    demo.write_wav(path, noise.astype(np.float32))
    words = ["--audio", str(path), "--checkpoint", str(checkpoint), "--output", str(tmp_path)]
    assert demo.main(words) == 0
    printed = capsys.readouterr().out
    assert "34.0 s of audio" in printed
    assert "said" not in printed and "error" not in printed
    assert (tmp_path / "demo.png").is_file()


def test_demo_without_checkpoint_or_audio_says_so_and_fails(checkpoint, bare_machine, tmp_path, capsys):
    assert demo.main(["--checkpoint", str(tmp_path / "none"), "--output", str(tmp_path)]) == 2
    assert "no checkpoint folder" in capsys.readouterr().err
    words = [
        "--audio",
        str(tmp_path / "none.wav"),
        "--checkpoint",
        str(checkpoint),
        "--output",
        str(tmp_path),
    ]
    assert demo.main(words) == 2
    assert "none.wav" in capsys.readouterr().err


def test_expert_shares_lie_where_their_windows_were_heard():
    def row(window, start, end, ending=Ending.STOP):
        return CoverageRow(window, Span(start, end), Span(start, end), ending)

    token = 1280
    coverage = (
        row(0, 0, 2 * token),
        row(1, 2 * token, 5 * token, Ending.SILENCE),
        row(2, 5 * token, 7 * token),
    )
    result = HearingResult("", Task.TRANSCRIBE, "", (), coverage, 0.56, "tiny", Usage())
    gates = np.ones((2, 1), dtype=np.float32)
    passes = [RoutedTokens(gates, np.full((2, 1), expert), gates) for expert in (0, 1)]
    shares = demo.expert_shares_in_time(passes, 2, result, 7 * token - 100)
    assert shares.argmax(axis=1)[shares.sum(axis=1) > 0].tolist() == [0, 0, 1, 1]
    assert shares.sum(axis=1).tolist() == [1, 1, 0, 0, 0, 1, 1]
