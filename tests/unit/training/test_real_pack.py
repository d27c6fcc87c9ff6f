from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from eureka.audio.log_mel import raw_log_mel
from eureka.training.feature_pack import FeaturePack
from eureka.training.manifest import ManifestFolder, SourceClip, TarShards, write_tar_shard
from eureka.training.real_pack import build_real_pack, decode_clip, main, plain_words

soundfile = pytest.importorskip("soundfile")

BASE = {"subset": "tones", "sample_rate": 16000, "license": "CC0-1.0", "source": "made here"}


def _folder(folder: Path) -> Path:
    """Two train clips, one of them at 8 kHz, and one dev clip."""
    rows = [
        {"path": "a.wav", "split": "train", "duration_s": 1.0, "label": "beep"},
        {"path": "b.wav", "split": "train", "duration_s": 0.5, "text": "Don't, stop!", "gender": "female"},
        {"path": "c.wav", "split": "dev", "duration_s": 0.5, "label": "rain", "active": [[0.1, 0.3]]},
    ]
    for row, hz in zip(rows, (16_000, 8_000, 16_000), strict=True):
        times = np.arange(int(row["duration_s"] * hz)) / hz  # type: ignore[operator]
        loud = np.where(times < 0.3, 0.3, 0.0)
        soundfile.write(folder / str(row["path"]), loud * np.sin(2 * np.pi * 440 * times), hz)
    (folder / "manifest.jsonl").write_text("".join(json.dumps(BASE | row) + "\n" for row in rows))
    return folder


def test_real_pack_of_a_split_holds_its_clips_at_16_khz(tmp_path: Path) -> None:
    counts = build_real_pack(ManifestFolder(_folder(tmp_path), "train"), tmp_path / "train")
    pack = FeaturePack(tmp_path / "train")
    assert counts == {"tones": 2}
    beep, said = pack.clips
    assert (beep.id, beep.kind, beep.label, beep.split) == ("a.wav", "tones", "beep", "train")
    assert beep.active is not None and beep.active[0] == pytest.approx((0.0, 0.3), abs=0.03)
    assert said.text == "don't stop" and said.about["gender"] == "f"
    assert beep.num_frames == 104 and said.num_frames == 56
    tones = [pack.mel(index)[10].astype(np.float32).argmax() for index in range(2)]
    assert tones[0] == tones[1]  # 440 Hz whatever the file's rate


def test_real_pack_frames_are_the_raw_log_mel_of_the_decoded_clip(tmp_path: Path) -> None:
    source = ManifestFolder(_folder(tmp_path), "train")
    build_real_pack(source, tmp_path / "train")
    expected = raw_log_mel(decode_clip(next(iter(source))), 80).T
    np.testing.assert_allclose(FeaturePack(tmp_path / "train").mel(0), expected, atol=6e-3)


def test_real_pack_given_parts_stay_as_they_are(tmp_path: Path) -> None:
    build_real_pack(ManifestFolder(_folder(tmp_path), "dev"), tmp_path / "dev")
    assert FeaturePack(tmp_path / "dev").clips[0].active == ((0.1, 0.3),)


def test_real_pack_of_a_killed_run_is_gone_on_with(tmp_path: Path) -> None:
    source = ManifestFolder(_folder(tmp_path), "train")
    _first_of(source, tmp_path / "train")
    assert build_real_pack(source, tmp_path / "train") == {"tones": 1}
    build_real_pack(source, tmp_path / "whole")
    np.testing.assert_array_equal(FeaturePack(tmp_path / "train").mels, FeaturePack(tmp_path / "whole").mels)
    assert build_real_pack(source, tmp_path / "train") == {}


def _first_of(source: ManifestFolder, folder: Path) -> None:
    build_real_pack(list(islice(source, 1)), folder)


def test_real_pack_of_tar_shards_equals_that_of_the_folder(tmp_path: Path) -> None:
    source = ManifestFolder(_folder(tmp_path), "train")
    write_tar_shard(tmp_path / "0.tar", source)
    build_real_pack(TarShards([tmp_path / "0.tar"], "train"), tmp_path / "shards")
    build_real_pack(source, tmp_path / "train")
    shards, train = FeaturePack(tmp_path / "shards"), FeaturePack(tmp_path / "train")
    np.testing.assert_array_equal(shards.mels, train.mels)
    assert [clip.id for clip in shards.clips] == [clip.id for clip in train.clips]


def test_real_pack_command_keeps_the_splits_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(_folder(tmp_path)), str(tmp_path / "packs")])
    for split, count in (("train", 2), ("dev", 1)):
        clips = FeaturePack(tmp_path / "packs" / split).clips
        assert [clip.split for clip in clips] == [split] * count
    assert "train" in capsys.readouterr().out


def test_decode_clip_of_the_pack_is_as_long_as_the_manifest_says(data_folder: Path) -> None:
    for subset in ("fsdd", "esc10", "wake_words"):
        item: SourceClip = next(iter(ManifestFolder(data_folder, "train", (subset,))))
        assert len(decode_clip(item)) / 16_000 == pytest.approx(item.clip.duration_seconds, abs=0.03)


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("Printing, in the only SENSE", "printing in the only sense"),
        ("it's the dogs' 'bone'", "it's the dogs bone"),
        ("well-known \u2019tis", "well known tis"),
        ("", ""),
    ],
)
def test_plain_words_keep_apostrophes_inside_words(written: str, spoken: str) -> None:
    assert plain_words(written) == spoken
