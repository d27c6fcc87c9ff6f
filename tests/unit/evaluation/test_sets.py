import numpy as np
import pytest

from eureka.errors import NotFoundError
from eureka.evaluation import sets
from eureka.evaluation.sets import EvaluationClip
from eureka.types import SAMPLE_RATE_HZ
from tests.helpers.small_pack import write_small_pack


def clip_of(number: int, seconds: float, speaker: str = "ann") -> EvaluationClip:
    pcm = np.full(int(seconds * SAMPLE_RATE_HZ), (number + 1) / 1000, dtype=np.float32)
    return EvaluationClip(f"clip-{number}", pcm, text=f"word{number}", speaker=speaker)


@pytest.fixture(scope="module")
def small_pack(tmp_path_factory):
    return write_small_pack(tmp_path_factory.mktemp("pack"))


def test_load_subset_keeps_split_and_spells_labels_with_spaces(small_pack):
    clips = sets.load_subset(small_pack, "esc10", "dev")
    assert len(clips) == 8
    assert clips[0].label == "dog bark"
    assert "rooster" not in {clip.label for clip in clips}
    assert clips[0].seconds == 2.0


def test_load_subset_with_limit_is_a_part_and_repeats(small_pack):
    few = [clip.clip_id for clip in sets.load_subset(small_pack, "esc10", "dev", limit=2)]
    assert few == [clip.clip_id for clip in sets.load_subset(small_pack, "esc10", "dev", limit=2)]
    assert len(few) == 2


def test_load_subset_without_manifest_is_not_found(tmp_path):
    with pytest.raises(NotFoundError):
        sets.load_subset(tmp_path, "esc10", "dev")


def test_digit_strings_hold_four_digits_of_one_speaker_and_repeat_by_seed():
    pool = [clip_of(i, 0.4, speaker) for i, speaker in enumerate(["ann", "bob"] * 5)]
    strings = sets.digit_strings(pool, 8, seed=1)
    by_id = {clip.clip_id: clip for clip in pool}
    for string in strings:
        assert len(string.parts) == len((string.text or "").split()) == 4
        assert {by_id[part].speaker for part in string.parts} == {string.speaker}
        assert 4 * 0.4 <= string.seconds <= 4 * 0.4 + 3 * sets.MAX_GAP_SECONDS
    again = sets.digit_strings(pool, 8, seed=1)
    assert [s.parts for s in strings] == [s.parts for s in again]
    assert [s.parts for s in strings] != [s.parts for s in sets.digit_strings(pool, 8, seed=2)]


def test_joined_windows_are_20_to_30_seconds_of_whole_clips_used_once():
    draw = np.random.default_rng(0)
    pool = [clip_of(i, draw.uniform(0.4, 8)) for i in range(120)]
    windows = sets.joined_windows(pool, 10, seed=3)
    assert len(windows) == 10
    assert all(18 <= window.seconds <= 30 for window in windows)
    used = [part for window in windows for part in window.parts]
    assert len(used) == len(set(used))
    assert windows[0].text == " ".join(part.replace("clip-", "word") for part in windows[0].parts)


def test_joined_windows_of_too_few_clips_end_early():
    assert sets.joined_windows([clip_of(0, 3.0)], 5, seed=0) == []


def test_join_clips_keeps_every_sample():
    joined = sets.join_clips([clip_of(0, 0.5), clip_of(1, 0.25)], np.random.default_rng(0), "both")
    assert np.count_nonzero(joined.pcm) == int(0.75 * SAMPLE_RATE_HZ)


def test_spread_over_labels_deals_labels_in_turn():
    clips = [EvaluationClip(str(i), np.zeros(1, np.float32), label="ab"[i // 5]) for i in range(10)]
    assert [clip.label for clip in sets.spread_over_labels(clips, 4)] == ["a", "b", "a", "b"]


def test_quiet_clips_hold_silence_and_noise_within_full_scale():
    clips = sets.quiet_clips(10, seed=0)
    kinds = {clip.label: float(np.abs(clip.pcm).max()) for clip in clips}
    assert kinds.keys() == {"silence", "white", "pink", "brown", "faint"}
    assert kinds["silence"] == 0
    assert kinds["faint"] == pytest.approx(1e-3, rel=1e-3)
    assert all(0.5 <= clip.seconds <= 8 and clip.text == "" for clip in clips)
    assert all(np.abs(clip.pcm).max() <= 1 for clip in clips)
