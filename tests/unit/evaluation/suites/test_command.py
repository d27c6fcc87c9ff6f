"""`eureka evaluate` on published suites, from the command line."""

from __future__ import annotations

import json

import pytest

from eureka.cli.main import main
from eureka.evaluation.report import read_report
from eureka.evaluation.suites.command import default_output
from tests.helpers import public_sets
from tests.helpers.small_pack import write_small_pack
from tests.helpers.tiny_checkpoint import write_tiny_checkpoint


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_tiny_checkpoint(tmp_path_factory.mktemp("tiny"))


def test_suite_is_measured_compared_and_laid_into_one_table(checkpoint, tmp_path, capsys):
    public_sets.write_librispeech(tmp_path / "data")
    path = tmp_path / "out" / "a.json"
    words = ["evaluate", "librispeech", "--data-folder", str(tmp_path / "data"), "--output", str(path)]
    assert main([*words, "--checkpoint", str(checkpoint), "--max-new-tokens", "8"]) == 0
    out = capsys.readouterr().out
    assert "| LibriSpeech, test-clean, WER ↓ |" in out and "1.33 Kimi-Audio-7B-Instruct" in out
    assert "Whisper's English normaliser" in out
    assert read_report(path).facts["items"] == 2
    assert main(["evaluate", "compare", str(path), str(path)]) == 0
    assert "No difference in any of 1 rows" in capsys.readouterr().out
    assert main(["evaluate", "table", str(path)]) == 0
    assert capsys.readouterr().out.count("| LibriSpeech") == 1


def test_suite_goes_where_runs_go_when_no_output_is_named(checkpoint, tmp_path, monkeypatch, capsys):
    public_sets.write_esc50(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    words = ["evaluate", "esc50", "--data-folder", "data", "--split", "esc10", "--format", "json"]
    assert main([*words, "--checkpoint", str(checkpoint)]) == 0
    assert json.loads(capsys.readouterr().out)["split"] == "esc10"
    assert (tmp_path / "runs" / "evaluate" / checkpoint.name / "esc50-esc10.items.jsonl").is_file()
    assert (
        default_output("aishell2", "iOS/test", "gateway a:1")
        .as_posix()
        .endswith("gateway a-1/aishell2-iOS-test.json")
    )


def test_throughput_counts_tokens_behind_the_first(checkpoint, tmp_path, capsys):
    write_small_pack(tmp_path / "pack")
    words = ["evaluate", "decode-throughput", "--data-folder", str(tmp_path / "pack"), "--limit", "6"]
    assert main([*words, "--checkpoint", str(checkpoint), "--format", "json"]) == 0
    report = json.loads(capsys.readouterr().out)
    mean, whole = report["rows"]
    assert mean["value"] > 0 and whole["value"] > 0
    assert mean["paper"]["instruct"] == 269.7
    assert report["facts"]["max_new_tokens"] == 2_000


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["mmau"], "NO_DATA_FOLDER"),
        (["mmau", "--data-folder", "nowhere"], "DATASET_NOT_FOUND"),
        (["mmau", "a.json"], "INVALID_INPUT"),
        (["table"], "INVALID_INPUT"),
        (["mmau-caption", "--data-folder", ".", "--judge", "http://127.0.0.1:1/v1"], "INVALID_INPUT"),
        (["decode-throughput", "--gateway", "127.0.0.1:1"], "NOT_AT_A_GATEWAY"),
        (["decode-throughput", "--data-folder", "nowhere"], "DATASET_NOT_FOUND"),
    ],
)
def test_wrong_arguments_get_one_line_with_a_reason(words, reason, checkpoint, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EUREKA_CHECKPOINT", str(checkpoint))
    assert main(["evaluate", *words]) == 2
    err = capsys.readouterr().err
    assert reason in err and len(err.strip().splitlines()) == 1
