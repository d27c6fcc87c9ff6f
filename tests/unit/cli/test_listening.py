import argparse
import io
from collections.abc import Iterator

import numpy as np
import pytest

from eureka.cli.listening import hear_file
from eureka.cli.progress import Progress
from eureka.cli.writer import OutcomeWriter
from eureka.errors import CancelledError, InvalidAudioError
from eureka.pipeline.export import ExportFormat, FileFailure
from eureka.types import CoverageRow, Ending, HearingResult, Pcm, Span, Task, Usage


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def result_of(path: str, ending: Ending = Ending.STOP) -> HearingResult:
    span = Span(0, 16_000)
    rows = (CoverageRow(0, span, span, ending),)
    return HearingResult(path, Task.TRANSCRIBE, "hello", (), rows, 1.0, "tiny", Usage())


def blocks() -> Iterator[Pcm]:
    yield from [np.zeros(16_000, np.float32)] * 61


def test_hear_file_that_raises_becomes_its_failure() -> None:
    def refuse() -> HearingResult:
        raise InvalidAudioError("no audio in it", reason="NO_AUDIO")

    failure = hear_file("a.wav", refuse)
    assert failure == FileFailure("a.wav", "INVALID_ARGUMENT", "NO_AUDIO", "no audio in it")


def test_hear_file_on_a_bug_tells_nothing_of_the_inside() -> None:
    def crash() -> HearingResult:
        raise ZeroDivisionError("secret")

    failure = hear_file("a.wav", crash)
    assert isinstance(failure, FileFailure)
    assert failure.code == "INTERNAL" and "secret" not in failure.message


def test_hear_file_with_a_window_that_failed_is_a_failure() -> None:
    failure = hear_file("a.wav", lambda: result_of("a.wav", Ending.DEADLINE))
    assert isinstance(failure, FileFailure)
    assert (failure.code, failure.reason) == (CancelledError.code, "DEADLINE_EXCEEDED")


def test_progress_on_a_terminal_draws_and_clears_one_line() -> None:
    stream = Terminal()
    progress = Progress(3, stream)
    assert sum(len(block) for block in progress.follow("a.wav", blocks())) == 61 * 16_000
    progress.clear()
    assert "[1/3] 0:00:01 a.wav" in stream.getvalue()
    assert "\n" not in stream.getvalue() and stream.getvalue().endswith("\x1b[K")


def test_progress_line_fits_the_terminal_whatever_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    stream = Terminal()
    list(Progress(1, stream).follow("/a/very/long\n\x1b[2Jpath/" + "b" * 80 + "/end.wav", blocks()))
    drawn = stream.getvalue().removeprefix("\r\x1b[K")
    assert len(drawn) < 40 and drawn.isprintable() and drawn.endswith("/end.wav")


def test_progress_elsewhere_draws_nothing() -> None:
    stream = io.StringIO()
    progress = Progress(1, stream)
    list(progress.follow("a.wav", blocks()))
    progress.clear()
    assert stream.getvalue() == ""


def test_writer_of_lines_writes_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with OutcomeWriter(ExportFormat.JSONL, 2) as writer:
        writer.write(result_of("a.wav"))
        assert '"path": "a.wav"' in capsys.readouterr().out
        writer.write(FileFailure("b.wav", "NOT_FOUND", "FILE_NOT_FOUND", "no such file"))
        assert '"error"' in capsys.readouterr().out


def test_writer_of_subtitles_keeps_failures_off_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    with OutcomeWriter(ExportFormat.VTT, 2) as writer:
        writer.write(FileFailure("b.wav", "NOT_FOUND", "FILE_NOT_FOUND", "no such file"))
        writer.write(result_of("a.wav"))
    streams = capsys.readouterr()
    assert streams.out == "WEBVTT\n" and "b.wav" in streams.err


def test_writer_left_by_an_error_writes_no_half_document(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt), OutcomeWriter(ExportFormat.JSON, 2) as writer:
        writer.write(result_of("a.wav"))
        raise KeyboardInterrupt
    assert capsys.readouterr().out == ""


def test_label_list_takes_blanks_off() -> None:
    from eureka.cli.arguments import label_list

    assert label_list(" a b ,c_d") == ("a b", "c_d")
    with pytest.raises(argparse.ArgumentTypeError):
        label_list("a,")
