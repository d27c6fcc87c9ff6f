import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from eureka.cli.main import main

FIELDS = {"path", "task", "text", "segments", "coverage", "audio_seconds", "model", "usage"}


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of a command in this process."""
    status = main([str(each) for each in arguments])
    streams = capsys.readouterr()
    return status, streams.out, streams.err


def test_parser_is_built_without_heavy_imports() -> None:
    script = (
        "import sys; from eureka.cli.main import build_parser; build_parser(); "
        "print(sorted({'torch', 'numpy', 'av', 'tokenizers', 'pydantic'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "command",
    [[], ["transcribe"], ["caption"], ["ask"], ["classify"], ["model", "check"], ["train"], ["evaluate"]],
    ids=" ".join,
)
def test_help_ends_well(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0
    assert "usage: eureka" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["sing"],
        ["transcribe", "a.wav", "--format", "xml"],
        ["transcribe", "a.wav", "--max-new-tokens", "0"],
        ["classify", "a.wav"],
        ["classify", "a.wav", "--labels", "a,,b"],
        ["classify", "a.wav", "--labels", "a,a"],
        ["classify", "a.wav", "--labels", "a,b", "--abstain-below", "1.5"],
        ["jobs", "sing"],
    ],
    ids=" ".join,
)
def test_wrong_arguments_are_refused_before_anything_starts(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2


def test_command_elsewhere_writes_results_in_order_and_goes_on_after_bad_files(
    checkpoint: Path, clip: Path, tmp_path: Path
) -> None:
    (tmp_path / "here.wav").write_bytes(clip.read_bytes())
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    (tmp_path / "empty.wav").touch()
    command = [Path(sys.executable).parent / "eureka", "transcribe", "here.wav", "missing.wav", "."]
    command += ["--checkpoint", checkpoint, "--format", "jsonl", "picture.png", "empty.wav", clip]
    found = subprocess.run(
        [str(each) for each in command], cwd=tmp_path, capture_output=True, text=True, timeout=100
    )
    objects = [json.loads(line) for line in found.stdout.splitlines()]
    assert found.returncode == 1, found.stderr
    assert [each["path"] for each in objects] == [
        "here.wav", "missing.wav", ".", "picture.png", "empty.wav", str(clip)
    ]  # fmt: skip
    assert ["error" in each for each in objects] == [False, True, True, True, True, False]
    for each in objects[1:5]:
        assert set(each) == {"path", "error"} and set(each["error"]) == {"code", "reason", "message"}
    assert objects[1]["error"]["code"] == "NOT_FOUND"
    assert set(objects[0]) == FIELDS
    assert found.stderr.splitlines() == ["eureka: no server is running; working in this process"]


def test_command_takes_paths_of_any_bytes_and_tells_of_damaged_files(
    checkpoint: Path, clip: Path, tmp_path: Path
) -> None:
    odd = b"caf\xe9.wav"  # Latin-1: no UTF-8
    (tmp_path / os.fsdecode(odd)).write_bytes(clip.read_bytes())
    (tmp_path / "half.wav").write_bytes(clip.read_bytes()[:24_000])
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbfhalf.wav\r\n" + odd + b"\n")
    command = [Path(sys.executable).parent / "eureka", "classify", "--labels", "a,b", "--local"]
    command += ["--checkpoint", checkpoint, "--format", "jsonl", "--files-from", "list.txt", "--", "zoë.wav"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii:strict"}
    found = subprocess.run(
        [str(each) for each in command], cwd=tmp_path, capture_output=True, timeout=100, env=environment
    )
    objects = [json.loads(line) for line in found.stdout.decode("utf-8").splitlines()]
    assert [os.fsencode(each["path"]) for each in objects] == ["zoë.wav".encode(), b"half.wav", odd]
    assert ["error" in each for each in objects] == [True, False, False]
    [told] = found.stderr.decode().splitlines()
    assert told.startswith("eureka: half.wav: ") and "1.5 s" in told and "0.7 s" in told


def test_transcribe_json_of_one_file_is_one_object(
    capsys: pytest.CaptureFixture[str], checkpoint: Path, long_clip: Path
) -> None:
    status, out, err = run(
        capsys, "transcribe", long_clip, "--local", "--checkpoint", checkpoint, "--format", "json"
    )
    result = json.loads(out)
    assert status == 0 and err == ""
    assert set(result) == FIELDS
    assert result["task"] == "transcribe" and result["model"] == "tiny" and result["audio_seconds"] == 19
    assert all(set(segment) == {"start", "end", "text", "source"} for segment in result["segments"])
    rows = result["coverage"]
    assert [row["start"] for row in rows] == [0.0, *(row["end"] for row in rows[:-1])]
    assert rows[-1]["end"] == 19
    assert all(0 < row["heard_end"] - row["heard_start"] <= 10 for row in rows)
    assert set(result["usage"]) == {"prompt_tokens", "generated_tokens", "seconds"}


def test_json_of_several_files_is_one_list(
    capsys: pytest.CaptureFixture[str], checkpoint: Path, clip: Path, tmp_path: Path
) -> None:
    paths = tmp_path / "list.txt"
    paths.write_text(f"{tmp_path / 'missing.wav'}\n\n{clip}\n", encoding="utf-8")
    status, out, _ = run(
        capsys, "caption", clip, "--files-from", paths, "--checkpoint", checkpoint, "--format", "json"
    )
    results = json.loads(out)["results"]
    assert status == 1
    assert [each["path"] for each in results] == [str(clip), str(tmp_path / "missing.wav"), str(clip)]
    assert results[0]["text"] == results[2]["text"]


def test_text_of_several_files_names_each_and_failures_go_to_stderr(
    capsys: pytest.CaptureFixture[str], checkpoint: Path, clip: Path
) -> None:
    status, out, err = run(capsys, "transcribe", clip, "missing.wav", "--local", "--checkpoint", checkpoint)
    assert status == 1
    assert out.startswith(f"{clip}: ") and len(out.splitlines()) == 1
    assert "missing.wav" in err and "FILE_NOT_FOUND" in err


@pytest.mark.parametrize(
    ("form", "start"), [("srt", "1\n00:00:00,000 --> "), ("vtt", "WEBVTT\n\n00:00:00.000 --> ")]
)
def test_subtitles_have_cues_of_at_most_8_seconds(
    capsys: pytest.CaptureFixture[str], checkpoint: Path, long_clip: Path, form: str, start: str
) -> None:
    command = ["transcribe", long_clip, "--local", "--checkpoint", checkpoint, "--format", form]
    status, out, _ = run(capsys, *command)
    times = re.findall(r"00:00:(\d\d)[,.](\d{3}) --> 00:00:(\d\d)[,.](\d{3})", out)
    assert status == 0 and out.startswith(start) and len(times) > 1
    assert all(float(f"{c}.{d}") - float(f"{a}.{b}") <= 8 for a, b, c, d in times)


def test_max_new_tokens_bounds_the_answer(
    capsys: pytest.CaptureFixture[str], checkpoint: Path, clip: Path
) -> None:
    command = ["ask", clip, "what is it", "--checkpoint", checkpoint, "--max-new-tokens", 1]
    _, out, _ = run(capsys, *command, "--format", "json")
    result = json.loads(out)
    assert result["task"] == "ask"
    assert result["usage"]["generated_tokens"] == 1 and result["coverage"][0]["ending"] == "LENGTH"


@pytest.mark.parametrize("kind", ["--choices", "--regex", "--json-schema"])
def test_ask_under_a_constraint_answers_as_told(
    capsys: pytest.CaptureFixture[str], checkpoint: Path, clip: Path, tmp_path: Path, kind: str
) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "array", "items": {"enum": ["rain"]}, "minItems": 1, "maxItems": 1}')
    value = {"--choices": "dog bark,rain", "--regex": "[0-9]{2}", "--json-schema": schema}[kind]
    command = ["ask", clip, "what is it", "--checkpoint", checkpoint, "--format", "json"]
    status, out, _ = run(capsys, *command, kind, value)
    text = json.loads(out)["text"]
    assert status == 0
    assert text in ("dog bark", "rain", '["rain"]') or re.fullmatch("[0-9]{2}", text)


def test_ask_under_a_constraint_that_cannot_be_read_says_why(
    capsys: pytest.CaptureFixture[str], checkpoint: Path, clip: Path, tmp_path: Path
) -> None:
    command = ["ask", clip, "what is it", "--checkpoint", checkpoint, "--format", "json"]
    status, out, _ = run(capsys, *command, "--regex", "(")
    assert status == 1 and json.loads(out)["error"]["reason"] == "INVALID_CONSTRAINT"
    status, _, err = run(capsys, *command, "--json-schema", tmp_path / "nowhere.json")
    assert status == 2 and "FILE_NOT_FOUND" in err


def test_classify_scores_every_label_and_abstains_on_demand(
    capsys: pytest.CaptureFixture[str], checkpoint: Path, clip: Path
) -> None:
    command = ["classify", clip, "--labels", "dog, sea_waves,cat", "--checkpoint", checkpoint]
    command += ["--format", "json"]
    status, out, _ = run(capsys, *command)
    result = json.loads(out)
    assert status == 0 and set(result) == FIELDS | {"label", "scores"}
    assert list(result["scores"]) == ["dog", "sea_waves", "cat"]
    assert sum(result["scores"].values()) == pytest.approx(1)
    assert result["label"] == max(result["scores"], key=result["scores"].get)
    _, out, _ = run(capsys, *command, "--abstain-below", "0.999999")
    assert json.loads(out)["label"] is None


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["transcribe"], "NO_FILES"),
        (["ask", "only the question"], "NO_FILES"),
        (["transcribe", "a.wav", "--files-from", "no list"], "FILE_NOT_FOUND"),
        (["transcribe", "a.wav", "--checkpoint", "nowhere"], "CHECKPOINT_NOT_FOUND"),
        (["model", "inspect", "nowhere"], "INVALID_CHECKPOINT"),
        (["train", "nowhere.toml"], "INVALID_RECIPE"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_what_cannot_start_says_why_and_ends_with_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
) -> None:
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (2, "")
    assert f"({reason})" in err.splitlines()[-1]


def test_unknown_setting_stops_the_start(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, clip: Path
) -> None:
    monkeypatch.setenv("EUREKA_CHEKPOINT", "x")
    status, out, err = run(capsys, "transcribe", clip)
    assert (status, out) == (2, "")
    assert "EUREKA_CHECKPOINT" in err


def test_model_inspect_tells_the_shape(capsys: pytest.CaptureFixture[str], checkpoint: Path) -> None:
    status, out, _ = run(capsys, "model", "inspect", checkpoint, "--format", "json")
    assert status == 0 and json.loads(out)["adapter"]["num_experts"] == 4
    status, out, _ = run(capsys, "model", "inspect", checkpoint)
    assert status == 0 and out.startswith("tiny")


def test_model_check_tries_what_is_open(
    capsys: pytest.CaptureFixture[str], checkpoint: Path, clip: Path, tmp_path: Path
) -> None:
    for file in checkpoint.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    del config["adapter"]["top_k"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    command = ["model", "check", tmp_path, "--pair", clip, "mato", "--format", "json"]
    status, out, _ = run(capsys, *command)
    found = json.loads(out)
    assert status == 0 and found["num_trials"] == 4
    written = json.loads((tmp_path / "adapter_override.json").read_text())
    assert written["top_k"] == found["fields"]["top_k"]
