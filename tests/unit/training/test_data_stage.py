from __future__ import annotations

from pathlib import Path

import numpy as np

from eureka.training.data_stage import is_whole_pack, tokenizer_texts
from eureka.training.feature_pack import CLIPS_NAME, MELS_NAME, FeaturePackWriter
from tests.helpers.training_packs import clip_meta, write_training_folder


def _pack(folder: Path, count: int = 3) -> Path:
    with FeaturePackWriter(folder) as writer:
        for number in range(count):
            writer.add(np.ones(4000, np.float32), clip_meta("fsdd", number, text="one"))
    return folder


def test_whole_pack_has_all_clips_and_frames(tmp_path: Path) -> None:
    assert is_whole_pack(_pack(tmp_path), 3)
    assert not is_whole_pack(tmp_path, 4)


def test_whole_pack_not_begun_is_none(tmp_path: Path) -> None:
    assert not is_whole_pack(tmp_path / "none", 3)
    (tmp_path / "parts-1").mkdir()
    assert not is_whole_pack(tmp_path, 3)


def test_whole_pack_killed_while_joining_is_none(tmp_path: Path) -> None:
    _pack(tmp_path)
    mels, clips = tmp_path / MELS_NAME, tmp_path / CLIPS_NAME
    whole, lines = mels.read_bytes(), clips.read_text()
    mels.write_bytes(whole[:-200])
    assert not is_whole_pack(tmp_path, 3)
    mels.write_bytes(b"\0" * 128 + whole[128:])  # a header is written last
    assert not is_whole_pack(tmp_path, 3)
    mels.write_bytes(whole)
    clips.write_text(lines[:-20])
    assert not is_whole_pack(tmp_path, 3)
    clips.write_text(lines)
    assert is_whole_pack(tmp_path, 3)


def test_tokenizer_texts_hold_transcripts_questions_and_answers(tmp_path: Path) -> None:
    write_training_folder(tmp_path, clips_of_a_kind=2)
    texts = list(tokenizer_texts(tmp_path, seed=1, num_generated=20, num_asked=60))
    assert any("badi" in text or "kelo" in text for text in texts)
    assert "coffee drink: mocha; size: small" in texts
    assert "dog bark" in texts and "rain" in texts
    assert list(tokenizer_texts(tmp_path, seed=1, num_generated=20, num_asked=60)) == texts
