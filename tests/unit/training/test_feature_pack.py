from pathlib import Path

import numpy as np
import pytest

from eureka.audio.log_mel import raw_log_mel
from eureka.errors import InvalidInputError, NotFoundError
from eureka.training.feature_pack import CLIPS_NAME, MELS_NAME, FeaturePack, FeaturePackWriter, join_packs


def _noise(seed: int, num_samples: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, num_samples).astype(np.float32)


def _meta(number: int, **more: object) -> dict[str, object]:
    return {"id": f"clip-{number}", "kind": "speech", "split": "train", **more}


def _write(folder: Path, numbers: range) -> None:
    with FeaturePackWriter(folder) as writer:
        for number in numbers:
            writer.add(_noise(number, 3000 + 700 * number), _meta(number, text=f"text {number}"))


def test_pack_written_then_read_gives_the_raw_log_mel(tmp_path: Path) -> None:
    pcm = _noise(1, 5000)
    with FeaturePackWriter(tmp_path) as writer:
        writer.add(pcm, _meta(0, text="one two", phones=[[3, 2, 9]], active=[[0.1, 0.2]], voice="m1"))
    pack = FeaturePack(tmp_path)
    clip = pack.clips[0]
    assert len(pack) == 1
    assert clip.num_frames == 32  # 5,000 samples are four audio tokens
    assert pack.mel(0).shape == (32, 80)
    assert pack.mel(0).dtype == np.float16
    padded = np.pad(pcm, (0, 4 * 1280 - 5000))
    np.testing.assert_allclose(pack.mel(0), raw_log_mel(padded, 80).T, atol=0.01)
    assert clip.text == "one two"
    assert clip.phones is not None and clip.phones.tolist() == [[3, 2, 9]]
    assert clip.active == ((0.1, 0.2),)
    assert clip.about == {"voice": "m1"}


def test_pack_of_several_clips_keeps_each_apart(tmp_path: Path) -> None:
    _write(tmp_path, range(5))
    pack = FeaturePack(tmp_path)
    assert [clip.text for clip in pack.clips] == [f"text {n}" for n in range(5)]
    assert sum(clip.num_frames for clip in pack.clips) == len(pack.mels)
    for number in range(5):
        pcm = _noise(number, 3000 + 700 * number)
        np.testing.assert_allclose(pack.mel(number), raw_log_mel(pcm, 80).T, atol=0.01)


def test_writer_after_a_kill_goes_on_after_the_last_whole_clip(tmp_path: Path) -> None:
    _write(tmp_path / "whole", range(4))
    _write(tmp_path / "cut", range(3))
    mels = tmp_path / "cut" / MELS_NAME
    mels.write_bytes(mels.read_bytes()[:-100])  # the third clip's frames did not all reach the disk
    with (tmp_path / "cut" / CLIPS_NAME).open("a", encoding="utf-8") as lines:
        lines.write('{"id": "clip-3", "ki')
    with FeaturePackWriter(tmp_path / "cut") as writer:
        assert writer.num_clips == 2
        for number in (2, 3):
            writer.add(_noise(number, 3000 + 700 * number), _meta(number, text=f"text {number}"))
    for name in (MELS_NAME, CLIPS_NAME):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_joined_packs_equal_one_pack(tmp_path: Path) -> None:
    _write(tmp_path / "a", range(2))
    _write(tmp_path / "b", range(2, 4))
    _write(tmp_path / "whole", range(4))
    join_packs([tmp_path / "a", tmp_path / "b"], tmp_path / "joined")
    for name in (MELS_NAME, CLIPS_NAME):
        assert (tmp_path / "joined" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_writer_given_odd_frames_refuses(tmp_path: Path) -> None:
    with FeaturePackWriter(tmp_path) as writer, pytest.raises(InvalidInputError, match="frames by 8"):
        writer.add_mel(np.zeros((80, 12), np.float32), _meta(0))


def test_pack_without_files_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"mels\.npy"):
        FeaturePack(tmp_path)
