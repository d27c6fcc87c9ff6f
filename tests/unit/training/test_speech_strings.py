from __future__ import annotations

import numpy as np
import pytest

from eureka.training.augment import LOWEST
from eureka.training.feature_pack import FeaturePack
from eureka.training.speech_strings import SpeechStrings, SpokenClip, join_spoken
from tests.helpers.training_packs import write_training_folder


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> FeaturePack:
    return FeaturePack(write_training_folder(tmp_path_factory.mktemp("packs")) / "synthetic")


def _clips(pack: FeaturePack) -> list[SpokenClip]:
    return [SpokenClip(pack, i, clip.text or "", clip.phones) for i, clip in enumerate(pack.clips)]


def test_join_spoken_lays_clips_with_pauses_and_moves_phones(pack: FeaturePack) -> None:
    first, second = _clips(pack)[:2]
    joined = join_spoken([first, second], [0, 16])
    start = first.num_frames + 16
    np.testing.assert_array_equal(joined.raw[: first.num_frames], pack.mel(0))
    assert (joined.raw[first.num_frames : start] == LOWEST).all()
    np.testing.assert_array_equal(joined.raw[start:], pack.mel(1))
    assert joined.words == f"{first.words} {second.words}"
    assert joined.phones is not None and second.phones is not None
    np.testing.assert_array_equal(joined.phones[-1], second.phones[-1] + [0, start, start])


def test_join_spoken_with_an_unaligned_clip_has_no_phones(pack: FeaturePack) -> None:
    known = _clips(pack)[0]
    assert join_spoken([known, SpokenClip(pack, 1, "one", None)], [0, 0]).phones is None


def test_strings_fit_and_hold_several_clips(pack: FeaturePack) -> None:
    strings = SpeechStrings({"a": _clips(pack)}, {"a": 1.0, "absent": 1.0}, mixed=True)
    rng = np.random.default_rng(0)
    drawn = [strings.draw(600, rng) for _ in range(40)]
    assert all(len(string.raw) <= 600 for string in drawn)
    shortest = min(clip.num_frames for clip in _clips(pack))
    assert sum(len(string.raw) > 2 * shortest for string in drawn) > 20


def test_strings_of_one_group_stay_within_it(pack: FeaturePack) -> None:
    clips = _clips(pack)
    groups = {"a": [SpokenClip(pack, c.index, "left", None) for c in clips[:4]]}
    groups["b"] = [SpokenClip(pack, c.index, "right", None) for c in clips[4:8]]
    strings = SpeechStrings(groups, {"a": 0.5, "b": 0.5}, mixed=False)
    rng = np.random.default_rng(1)
    words = [set(strings.draw(900, rng).words.split()) for _ in range(30)]
    assert all(len(seen) == 1 for seen in words) and {"left"} in words and {"right"} in words


def test_strings_where_nothing_fits_are_the_shortest_clip(pack: FeaturePack) -> None:
    strings = SpeechStrings({"a": _clips(pack)}, {"a": 1.0}, mixed=True)
    shortest = min(clip.num_frames for clip in _clips(pack))
    assert len(strings.draw(8, np.random.default_rng(0)).raw) == shortest


def test_strings_without_clips_are_false() -> None:
    assert not SpeechStrings({}, {"a": 1.0}, mixed=True)
