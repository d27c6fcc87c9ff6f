from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from eureka.errors import InvalidInputError
from eureka.training.augment import LOWEST
from eureka.training.events import Event
from eureka.training.feature_pack import FeaturePack, FeaturePackWriter
from eureka.training.samples import SampleBook, Truth, read_alignment
from tests.helpers.training_packs import SLOTS, clip_meta, write_training_folder

COMPOSED = ("scenes", "digit_strings", "speech_strings", "quiet")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_training_folder(tmp_path_factory.mktemp("packs"))


@pytest.fixture(scope="module")
def book(folder: Path) -> SampleBook:
    return SampleBook(folder)


def _rng() -> np.random.Generator:
    return np.random.default_rng(3)


def test_book_has_every_kind_with_its_lengths(book: SampleBook, folder: Path) -> None:
    lengths = book.lengths
    assert {k: len(v) for k, v in lengths.items() if k not in COMPOSED} == {
        **{"synthetic_speech": 16, "speechocean762": 8, "fsdd": 8, "coffee_orders": 8},
        **{"esc10": 8, "ambience": 8, "sounds": 16},
    }
    synthetic = FeaturePack(folder / "synthetic")
    assert lengths["synthetic_speech"].tolist() == [clip.num_frames for clip in synthetic.clips]
    assert lengths["scenes"].min() >= 200 and lengths["scenes"].max() <= 1000
    assert not (lengths["scenes"] % 8).any()


@pytest.mark.parametrize("where", ["train", "synthetic"])
def test_book_with_a_dev_clip_is_refused(tmp_path: Path, where: str) -> None:
    write_training_folder(tmp_path, clips_of_a_kind=2)
    with FeaturePackWriter(tmp_path / where) as writer:
        writer.add(np.ones(8000, np.float32), clip_meta("fsdd", 99, text="one") | {"split": "dev"})
    with pytest.raises(InvalidInputError, match="dev clip fsdd/99") as caught:
        SampleBook(tmp_path)
    assert caught.value.reason == "NOT_TRAIN"


def test_book_without_sounds_is_refused(tmp_path: Path) -> None:
    with FeaturePackWriter(tmp_path / "train") as writer:
        writer.add(np.ones(8000, np.float32), clip_meta("fsdd", 0, text="one"))
    with pytest.raises(InvalidInputError, match="labelled clip"):
        SampleBook(tmp_path)


def test_book_gives_what_is_known_of_each_kind(book: SampleBook) -> None:
    speech = book.get("speechocean762", 0, _rng()).truth
    assert speech.words and len(speech.words.split()) == 3 and speech.label is None
    assert [event.phrase for event in speech.events or ()] == ["woman speaking"]
    order = book.get("coffee_orders", 0, _rng()).truth
    assert order.words is None and order.slots == SLOTS and order.label is None
    sound = book.get("esc10", 1, _rng()).truth
    assert sound.words == "" and sound.label == "dog bark"
    assert sound.events == (Event("dog bark", 0.0, 1.0),)


def test_book_synthetic_clip_says_when_somebody_speaks_by_its_phones(book: SampleBook, folder: Path) -> None:
    clip = FeaturePack(folder / "synthetic").clips[2]
    assert clip.phones is not None
    sample = book.get("synthetic_speech", 2, _rng())
    assert sample.phones is not None
    np.testing.assert_array_equal(sample.phones, clip.phones)
    [event] = sample.truth.events or ()
    assert (event.start_seconds, event.end_seconds) == (clip.phones[0, 1] / 100, clip.phones[-1, 2] / 100)


def test_book_needing_phones_leaves_out_speech_without(folder: Path, tmp_path: Path) -> None:
    alignment = tmp_path / "alignment.jsonl"
    lines = [{"id": f"fsdd/{n}", "score": -1.0, "phones": [[3, 0, 10], [4, 10, 30]]} for n in (1, 5)]
    alignment.write_text("".join(json.dumps(line) + "\n" for line in lines))
    kinds = SampleBook(folder, alignment, needs_phones=True)
    assert len(kinds.lengths["fsdd"]) == 2
    assert "speechocean762" not in kinds.lengths and "coffee_orders" not in kinds.lengths
    assert len(kinds.lengths["sounds"]) == 16
    np.testing.assert_array_equal(kinds.get("fsdd", 1, _rng()).phones, read_alignment(alignment)["fsdd/5"])


def test_book_scene_of_the_same_draw_is_the_same(book: SampleBook) -> None:
    first, again = (book.get("scenes", 7, _rng()) for _ in range(2))
    np.testing.assert_array_equal(first.raw, again.raw)
    assert first.truth == again.truth
    assert len(first.raw) == book.lengths["scenes"][7]


def test_book_digit_strings_are_clips_of_one_speaker_within_their_length(
    tmp_path: Path,
) -> None:
    write_training_folder(tmp_path, clips_of_a_kind=3)
    rows = [[7, 8, 16], [2, 16, 24]]
    with FeaturePackWriter(tmp_path / "train") as writer:
        for number, (speaker, word) in enumerate([("a", "up"), ("a", "on"), ("b", "by")], start=50):
            pcm = np.full(6000, 0.1 * number, np.float32)
            meta = clip_meta("fsdd", number, text=word, speaker=speaker, phones=rows)
            writer.add(pcm, meta)
        long = clip_meta("fsdd", 60, text="long", speaker="b", phones=rows)
        writer.add(np.ones(40_000, np.float32), long)
    book = SampleBook(tmp_path)
    of_speaker = {"a": {"up", "on"}, "b": {"by"}}
    counts = set()
    for number in range(60):
        sample = book.get("digit_strings", number, np.random.default_rng(number))
        assert len(sample.raw) <= book.lengths["digit_strings"][number]
        assert len(sample.raw) % 8 == 0
        words = (sample.truth.words or "").split()
        counts.add(len(words))
        if any(set(words) <= own for own in of_speaker.values()):
            assert sample.phones is not None
            assert sample.phones[:, 0].tolist() == [7, 2] * len(words)
            assert (np.diff(sample.phones[:, 1:].ravel()) >= 0).all()
        else:
            assert not set(words) & {"up", "on", "by", "long"}
    assert len(counts) > 3


def test_book_quiet_has_no_words_and_events_only_where_silent(book: SampleBook) -> None:
    kinds = set()
    for seed in range(30):
        sample = book.get("quiet", seed, np.random.default_rng(seed))
        is_silent = bool((sample.raw == LOWEST).all())
        assert sample.truth.words == "" and sample.phones is None
        assert sample.truth.events == (() if is_silent else None)
        kinds.add(is_silent)
    assert kinds == {True, False}


def test_truth_heard_slower_moves_its_events() -> None:
    truth = Truth("esc10", "", (Event("dog bark", 1.0, 2.0),), "dog bark")
    assert truth.heard(1.5, None).events == (Event("dog bark", 1.5, 3.0),)
    assert truth.heard(1.5, "rain").events is None
    assert Truth("fsdd", "one").heard(1.5, None).events is None


def test_truth_survives_json() -> None:
    truth = Truth("scenes", "one", (Event("rain", 0.0, 2.5),), None, {"size": "small"}, "f", 9)
    assert Truth.from_dict(json.loads(json.dumps(truth.to_dict()))) == truth
    assert Truth.from_dict(json.loads(json.dumps(Truth("quiet", "").to_dict()))) == Truth("quiet", "")
