from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from eureka.audio.log_mel import normalise_log_mel
from eureka.training.augment import Augmented
from eureka.training.encoder_batches import EncoderBatchMaker, EncoderRows, SampleAugmenter, frame_phones
from eureka.training.events import Event
from eureka.training.losses import IGNORED
from eureka.training.recipe import BatchConfig, DataConfig, Recipe
from eureka.training.samples import Sample, SampleBook, Truth
from eureka.training.sound_labels import EVENT_CLASS_INDEX, EVENT_CLASSES
from tests.helpers.training_packs import write_training_folder

PHONES = np.array([[5, 10, 20], [7, 20, 26], [9, 40, 60]], np.int32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_training_folder(tmp_path_factory.mktemp("packs"))


def _sample(phones: np.ndarray | None = PHONES, events: tuple[Event, ...] | None = ()) -> Sample:
    return Sample(np.zeros((80, 80), np.float32), phones, Truth("fsdd", "one", events))


def _recipe(folder: Path, **mix: float) -> Recipe:
    batch = BatchConfig(buckets=(80, 160, 320), rows=640)
    return Recipe(stage="encoder", name="first", mix=mix, batch=batch, data=DataConfig(str(folder)))


@pytest.mark.parametrize("time_scale", [1.0, 1.15, 0.87])
def test_frame_phones_follow_the_time_scale(time_scale: float) -> None:
    labels = frame_phones(_sample(), time_scale, 40)
    for frame, label in enumerate(labels):
        middle = (frame + 0.5) * 2 / time_scale  # in mel frames of the clip as it was
        wanted = next((int(p) for p, start, end in PHONES if start <= middle < end), 0)
        borders = (PHONES[:, 1:] * time_scale / 2).ravel()
        assert label == wanted or np.abs(borders - frame - 0.5).min() <= 0.5


def test_frame_phones_of_unknown_speech_are_ignored() -> None:
    assert frame_phones(_sample(phones=None), 1.0, 5).tolist() == [IGNORED] * 5


def test_encoder_rows_pad_every_label_to_the_length() -> None:
    rows = EncoderRows(length=160)
    mel = np.random.default_rng(0).normal(size=(96, 80)).astype(np.float32)
    rows.add(_sample(events=(Event("dog bark", 0.2, 0.4),)), Augmented(mel, time_scale=1.2), 30)
    rows.add(_sample(events=None), Augmented(mel[:80]), 0)
    batch = rows.batch()
    assert batch.log_mel.shape == (2, 80, 160) and batch.log_mel.dtype == np.float32
    np.testing.assert_array_equal(batch.log_mel[0, :, :96], mel.T)
    assert not batch.log_mel[0, :, 96:].any()
    assert batch.num_frames.tolist() == [96, 80] and batch.position_offset.tolist() == [30, 0]
    assert (batch.phones[0, 48:] == IGNORED).all() and (batch.phones[0, :48] != IGNORED).all()
    dog = EVENT_CLASS_INDEX["dog bark"]
    assert np.flatnonzero(batch.events[0, :, dog]).tolist() == list(range(12, 24))  # 0.24 to 0.48 s
    assert batch.event_mask[0].sum() == 48 * len(EVENT_CLASSES)
    assert not batch.event_mask[1].any()


def test_encoder_rows_under_recorded_noise_know_no_events() -> None:
    rows = EncoderRows(length=80)
    rows.add(
        _sample(events=(Event("dog bark", 0.0, 0.4),)),
        Augmented(np.zeros((80, 80), np.float32), 1.0, "rain"),
        0,
    )
    batch = rows.batch()
    assert not batch.event_mask.any() and (batch.phones[0] == frame_phones(_sample(), 1.0, 40)).all()


def test_encoder_rows_of_a_speaker_of_unknown_kind_leave_the_kinds_open() -> None:
    rows = EncoderRows(length=80)
    rows.add(
        _sample(events=(Event("person speaking", 0.0, 0.4),)), Augmented(np.zeros((80, 80), np.float32)), 0
    )
    mask = rows.batch().event_mask[0, 0]
    assert mask.sum() == len(EVENT_CLASSES) - 3


def test_augmenter_never_gives_more_frames_than_fit(folder: Path) -> None:
    book = SampleBook(folder)
    augmenter = SampleAugmenter(book)
    for seed in range(30):
        rng = np.random.default_rng(seed)
        sample = book.get("speechocean762", seed % 8, rng)
        assert len(augmenter.augment(sample, len(sample.raw), rng).mel) <= len(sample.raw)


def test_augmenter_keeps_recorded_noise_from_sounds(folder: Path) -> None:
    book = SampleBook(folder)
    augmenter = SampleAugmenter(book)
    labels: dict[str, set[str | None]] = {"sounds": set(), "scenes": set(), "quiet": set(), "fsdd": set()}
    for kind, found in labels.items():
        for seed in range(40):
            rng = np.random.default_rng(seed)
            found.add(augmenter.augment(book.get(kind, seed % 8, rng), 2000, rng).noise_label)
    assert labels == {"sounds": {None}, "scenes": {None}, "quiet": {None}, "fsdd": {None, "rain"}}


def test_encoder_batch_of_a_number_is_always_the_same(folder: Path) -> None:
    recipe = _recipe(folder, synthetic_speech=0.6, scenes=0.2, sounds=0.2)
    first, again = (EncoderBatchMaker(recipe, 0).make(4) for _ in range(2))
    other = EncoderBatchMaker(recipe, 0).make(5)
    np.testing.assert_array_equal(first.log_mel, again.log_mel)
    np.testing.assert_array_equal(first.phones, again.phones)
    assert first.log_mel.shape != other.log_mel.shape or (first.log_mel != other.log_mel).any()


def test_encoder_batches_have_the_shapes_of_the_recipe(folder: Path) -> None:
    maker = EncoderBatchMaker(_recipe(folder, synthetic_speech=1.0, sounds=1.0), 0)
    shapes = {maker.make(number).log_mel.shape for number in range(12)}
    assert shapes <= {(8, 80, 80), (4, 80, 160), (2, 80, 320)} and len(shapes) > 1


def test_encoder_batches_teach_with_what_they_hold(folder: Path) -> None:
    batch = EncoderBatchMaker(_recipe(folder, synthetic_speech=1.0), 0).make(0)
    frames = batch.num_frames // 2
    for row, count in enumerate(frames):
        assert (batch.phones[row, :count] != IGNORED).all()
        assert len(set(batch.phones[row, :count].tolist())) >= 4  # a word and its pauses


def test_encoder_batch_clip_that_never_fits_is_cut(folder: Path) -> None:
    book = SampleBook(folder)
    sample = book.get("speechocean762", 0, np.random.default_rng(0))
    mel = SampleAugmenter(book).augment(sample, 40, np.random.default_rng(0)).mel
    assert mel.shape == (40, 80)
    assert normalise_log_mel(sample.raw[:40]).max() == pytest.approx(mel.max())
