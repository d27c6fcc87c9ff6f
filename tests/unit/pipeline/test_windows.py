import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest

from eureka.errors import InvalidAudioError, InvalidInputError
from eureka.pipeline.options import ListenerSettings, ListenOptions
from eureka.types import SAMPLE_RATE_HZ, CoverageRow, Ending, Pcm, SegmentSource, Task
from tests.helpers.tone_model import WORDS, blocks_of, say
from tests.unit.pipeline.conftest import MakeEars


def random_words(count: int) -> list[str]:
    """Words of which no two neighbours are equal: the tone model would hear one long word."""
    rng = np.random.default_rng(count)
    places = np.cumsum(rng.integers(1, len(WORDS), size=count)) % len(WORDS)
    return [WORDS[place] for place in places]


def assert_tiles(coverage: tuple[CoverageRow, ...], num_samples: int) -> None:
    edges = [row.owned.start_sample for row in coverage] + [num_samples]
    assert edges[0] == 0
    assert [row.owned.end_sample for row in coverage] == edges[1:]


@pytest.mark.parametrize("block_samples", [1_600, 7_777, 10**9])
def test_transcribe_with_pauses_gives_every_word_once(make_ears: MakeEars, block_samples: int) -> None:
    words = random_words(80)
    pcm = say(words)
    result = make_ears().listener.transcribe("a.wav", blocks_of(pcm, block_samples))
    assert result.text.split() == words
    assert len(result.coverage) > 4
    assert_tiles(result.coverage, len(pcm))
    assert {row.ending for row in result.coverage} == {Ending.STOP}
    assert result.audio_seconds == len(pcm) / SAMPLE_RATE_HZ


def test_transcribe_without_any_pause_joins_overlaps(make_ears: MakeEars) -> None:
    words = random_words(150)
    pcm = say(words, gap_seconds=0.0)
    result = make_ears().listener.transcribe("a.wav", blocks_of(pcm))
    assert result.text.split() == words
    assert_tiles(result.coverage, len(pcm))
    overlaps = [row for row in result.coverage if row.heard != row.owned]
    assert len(overlaps) == len(result.coverage)


def test_transcribe_segments_are_windows_that_tile_the_speech(make_ears: MakeEars) -> None:
    result = make_ears().listener.transcribe("a.wav", blocks_of(say(random_words(60), gap_seconds=0.0)))
    assert {segment.source for segment in result.segments} == {SegmentSource.WINDOW}
    assert " ".join(segment.text for segment in result.segments) == result.text
    ends = [segment.end_seconds for segment in result.segments]
    assert [segment.start_seconds for segment in result.segments] == [0.0, *ends[:-1]]


def test_hear_silence_is_a_row_and_is_not_sent(make_ears: MakeEars) -> None:
    silence = np.zeros(5 * SAMPLE_RATE_HZ, dtype=np.float32)
    pcm = np.concatenate([silence, say(["bravo", "charlie"]), silence])
    ears = make_ears()
    result = ears.listener.transcribe("a.wav", blocks_of(pcm))
    assert [row.ending for row in result.coverage] == [Ending.SILENCE, Ending.STOP, Ending.SILENCE]
    assert_tiles(result.coverage, len(pcm))
    heard = sum(row.heard.num_samples for row in result.coverage if row.ending is not Ending.SILENCE)
    assert sum(ears.embedder.encoded_samples) == heard
    assert result.text == "bravo charlie"


def test_hear_all_silence_has_no_text_and_asks_nothing(make_ears: MakeEars) -> None:
    ears = make_ears()
    result = ears.listener.caption("a.wav", blocks_of(np.zeros(SAMPLE_RATE_HZ * 3, np.float32)))
    assert (result.text, result.segments, ears.decoder.requests) == ("", (), [])
    assert [row.ending for row in result.coverage] == [Ending.SILENCE]


def test_hear_two_tasks_share_one_encoding(make_ears: MakeEars) -> None:
    pcm = say(random_words(40))
    ears = make_ears()
    windows = list(ears.listener.hear(blocks_of(pcm), [Task.TRANSCRIBE, Task.CAPTION]))
    assert len(ears.embedder.encoded_samples) == len(windows)
    assert len(ears.decoder.requests) == 2 * len(windows)
    for window in windows:
        spoken, heard = window.pieces[Task.TRANSCRIBE], window.pieces[Task.CAPTION]
        assert [piece.row for piece in spoken] == [piece.row for piece in heard]


def test_hear_results_stream_as_windows_end(make_ears: MakeEars) -> None:
    taken = 0

    def endless() -> Iterator[Pcm]:
        nonlocal taken
        while True:
            yield from blocks_of(say(["bravo", "charlie", "delta"]))
            taken += 1

    windows = make_ears().listener.hear(endless(), [Task.TRANSCRIBE])
    first = next(windows)
    assert first.window == 0 and first.owned.start_sample == 0
    assert taken * 3 * 0.72 < 40  # at most a few windows of 10 s are read ahead


def test_hear_memory_does_not_grow_with_length(make_ears: MakeEars) -> None:
    settings = ListenerSettings(model="tones", best_window_seconds=2.0)
    piece = say(random_words(10))  # 7.2 s

    def peak_bytes(repeats: int) -> int:
        blocks = (block for _ in range(repeats) for block in blocks_of(piece))
        windows = make_ears(settings=settings).listener.hear(blocks, [Task.TRANSCRIBE])
        tracemalloc.start()
        for _ in windows:
            pass
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    assert peak_bytes(6) < peak_bytes(2) + 200_000  # 4 more pieces are 1.8 MB


def test_caption_events_have_the_files_times(make_ears: MakeEars) -> None:
    result = make_ears().listener.caption("a.wav", blocks_of(say(["bravo", "foxtrot"])))
    assert result.text == "bravo, foxtrot"
    assert [segment.source for segment in result.segments] == [SegmentSource.MODEL] * 2
    assert result.segments[1].start_seconds == pytest.approx(0.72, abs=0.2)


def test_caption_event_over_a_seam_is_one_segment(make_ears: MakeEars) -> None:
    tone = say(["delta"])[:7_680]
    pcm = np.tile(tone[:7_600], 60)  # 190 whole periods: one tone of 28.5 s
    result = make_ears().listener.caption("a.wav", blocks_of(pcm))
    assert len(result.coverage) > 2
    assert [segment.text for segment in result.segments] == ["delta"]
    assert result.segments[0].start_seconds == 0.0
    assert result.segments[0].end_seconds == pytest.approx(28.5, abs=0.2)
    assert result.text == "delta"


def test_caption_nothing_heard_is_said_only_when_nothing_else_is(make_ears: MakeEars) -> None:
    rng = np.random.default_rng(7)
    noise = (3e-3 * rng.standard_normal(8 * SAMPLE_RATE_HZ)).astype(np.float32)
    alone = make_ears().listener.caption("a.wav", blocks_of(noise))
    assert (alone.text, alone.segments) == ("silence", ())
    both = make_ears().listener.caption("a.wav", blocks_of(np.concatenate([noise, say(["bravo"]), noise])))
    assert both.text == "bravo"


def test_options_bound_the_windows(make_ears: MakeEars) -> None:
    pcm = say(random_words(40))
    options = ListenOptions(max_window_seconds=4.0)
    result = make_ears().listener.transcribe("a.wav", blocks_of(pcm), options)
    assert max(row.heard.num_samples for row in result.coverage) <= 4 * SAMPLE_RATE_HZ


@pytest.mark.parametrize(
    ("task", "has_time_tokens", "seconds"),
    [
        (Task.CAPTION, True, None),
        (Task.CAPTION, False, 8.0),
        (Task.TRANSCRIBE, True, 8.0),
        (Task.TRANSCRIBE, False, 8.0),
    ],
)
def test_options_for_subtitles_are_short_where_the_model_gives_no_times(
    task: Task, has_time_tokens: bool, seconds: float | None
) -> None:
    assert ListenOptions().for_subtitles(task, has_time_tokens).max_window_seconds == seconds
    assert ListenOptions(max_window_seconds=5.0).for_subtitles(task, False).max_window_seconds == 5.0


def test_transcribe_no_samples_is_an_error(make_ears: MakeEars) -> None:
    with pytest.raises(InvalidAudioError) as caught:
        make_ears().listener.transcribe("a.wav", [])
    assert caught.value.reason == "EMPTY_AUDIO"


def test_transcribe_unknown_language_is_refused_before_decoding(make_ears: MakeEars) -> None:
    def never() -> Iterator[Pcm]:
        raise AssertionError("the audio was opened")
        yield

    with pytest.raises(InvalidInputError) as caught:
        make_ears().listener.transcribe("a.wav", never(), ListenOptions(language="xx"))
    assert caught.value.reason == "UNSUPPORTED_LANGUAGE"


def test_transcribe_language_hint_is_in_each_prompt(make_ears: MakeEars) -> None:
    plain, hinted = make_ears(), make_ears()
    plain.listener.transcribe("a.wav", blocks_of(say(["bravo"])))
    hinted.listener.transcribe("a.wav", blocks_of(say(["bravo"])), ListenOptions(language="en"))
    lengths = [len(ears.decoder.prompts[0].prompt_ids) for ears in (plain, hinted)]
    assert lengths[1] > lengths[0]


@pytest.mark.parametrize("ending", [Ending.DEADLINE, Ending.CANCELLED])
def test_hear_after_the_deadline_no_window_is_tried(make_ears: MakeEars, ending: Ending) -> None:
    ears = make_ears(lambda request, number: (["bravo"], ending) if number >= 2 else None)
    pcm = say(random_words(60))
    result = ears.listener.transcribe("a.wav", blocks_of(pcm))
    endings = [row.ending for row in result.coverage]
    assert endings == [Ending.STOP] + [ending] * (len(endings) - 1)
    assert len(ears.decoder.requests) == 2
    assert_tiles(result.coverage, len(pcm))


def test_usage_counts_all_windows_and_stages(make_ears: MakeEars) -> None:
    ears = make_ears(settings=ListenerSettings(model="tones", best_window_seconds=5.0))
    result = ears.listener.transcribe("a.wav", blocks_of(say(random_words(30))))
    assert set(result.usage.seconds) == {"decode", "embed", "generate"}
    assert result.usage.prompt_tokens == sum(len(prompt.prompt_ids) for prompt in ears.decoder.prompts)
    assert result.usage.generated_tokens >= 30
    assert result.model == "tones"
