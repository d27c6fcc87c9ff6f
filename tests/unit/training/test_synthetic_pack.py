from pathlib import Path

import pytest

from eureka.training.feature_pack import CLIPS_NAME, MELS_NAME, FeaturePack
from eureka.training.speech_synthesis import TEST_ESPEAK_VARIANTS, TEST_FLITE_VOICES
from eureka.training.synthetic_pack import (
    PartOrder,
    make_pack,
    make_part,
    synthetic_test_items,
    synthetic_test_speech,
)
from eureka.training.text_generator import is_held_out
from tests.helpers.speech_engines import espeak_or_skip, skip_without_flite


@pytest.fixture(autouse=True)
def engines() -> None:
    espeak_or_skip()
    skip_without_flite()


def _data_folder(folder: Path) -> Path:
    clip = '{"subset": "speechocean762", "split": "%s", "text": "%s"}\n'
    lines = clip % ("train", "the bird sat on the gate") + clip % ("dev", "this must not be seen")
    (folder / "manifest.jsonl").write_text(lines, encoding="utf-8")
    return folder


def test_pack_does_not_depend_on_the_number_of_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eureka.training.synthetic_pack.PART_CLIPS", 2)
    data_folder = _data_folder(tmp_path)
    make_pack(tmp_path / "two", 4, 2, 3, data_folder)
    make_pack(tmp_path / "one", 4, 1, 3, data_folder)
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == [CLIPS_NAME, MELS_NAME]
    for name in (MELS_NAME, CLIPS_NAME):
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
    assert len(FeaturePack(tmp_path / "one")) == 4


def test_part_that_is_there_is_not_made_again(tmp_path: Path) -> None:
    order = PartOrder(tmp_path / "part", 0, 2, 4, ())
    (tmp_path / "part.draft").mkdir()
    (tmp_path / "part.draft" / CLIPS_NAME).write_text("{}\n", encoding="utf-8")  # a stopped run left it
    assert make_part(order) == 2
    made = (tmp_path / "part" / MELS_NAME).stat()
    assert make_part(order) == 2
    assert (tmp_path / "part" / MELS_NAME).stat() == made
    assert [clip.id for clip in FeaturePack(tmp_path / "part").clips] == ["synthetic-4-0", "synthetic-4-1"]


def test_pack_clips_carry_phones_within_their_frames(tmp_path: Path) -> None:
    make_part(PartOrder(tmp_path / "part", 0, 12, 5, ()))
    for clip in FeaturePack(tmp_path / "part").clips:
        assert clip.phones is not None and len(clip.phones) > 0
        assert (clip.phones[:, 1] < clip.phones[:, 2]).all()
        assert (clip.phones[1:, 1] >= clip.phones[:-1, 2]).all()
        assert clip.phones[-1, 2] <= clip.num_frames
        assert {"voice", "engine", "rate", "pitch", "speed"} <= clip.about.keys()


def test_test_items_are_unheard_texts_in_unheard_voices() -> None:
    items = synthetic_test_items(11, 60)
    assert items == synthetic_test_items(11, 60)
    for item in items:
        assert is_held_out(item.text.text)
        variant = item.voice.name.partition("+")[2]
        assert item.voice.name in TEST_FLITE_VOICES or variant in TEST_ESPEAK_VARIANTS


def test_test_speech_is_the_same_every_time() -> None:
    items = synthetic_test_items(12, 4)
    for first, second in zip(synthetic_test_speech(items, 12), synthetic_test_speech(items, 12), strict=True):
        assert (first.pcm == second.pcm).all()
