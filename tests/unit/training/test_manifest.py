from __future__ import annotations

import json
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from eureka.errors import InvalidInputError, NotFoundError
from eureka.training.manifest import ManifestFolder, SourceClip, TarShards, read_manifest, write_tar_shard

ROW: dict[str, Any] = {
    "path": "sounds/dog.opus",
    "subset": "sounds",
    "split": "train",
    "duration_s": 5.0,
    "sample_rate": 16000,
    "license": "CC0-1.0",
    "source": "a source",
    "label": "dog_bark",
    "active": [[0.1, 0.4], [0.9, 5.04]],
}


def _write(folder: Path, *rows: dict[str, Any]) -> Path:
    (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_manifest_with_both_splits_gives_the_asked_one(tmp_path: Path) -> None:
    folder = _write(tmp_path, ROW, ROW | {"path": "b.opus", "split": "dev"})
    assert [clip.path for clip in read_manifest(folder, "dev")] == ["b.opus"]
    assert len(read_manifest(folder)) == 2


def test_manifest_active_part_past_the_end_is_cut_to_the_clip(tmp_path: Path) -> None:
    assert read_manifest(_write(tmp_path, ROW))[0].active == ((0.1, 0.4), (0.9, 5.0))


@pytest.mark.parametrize(("written", "read"), [("m", "m"), ("male", "m"), ("f", "f"), ("female", "f")])
def test_manifest_gender_in_either_spelling_is_one_letter(tmp_path: Path, written: str, read: str) -> None:
    assert read_manifest(_write(tmp_path, ROW | {"gender": written}))[0].gender == read


@pytest.mark.parametrize(
    "change",
    [
        {"colour": "red"},
        {"split": "holdout"},
        {"path": "../secret.opus"},
        {"path": "/etc/passwd"},
        {"duration_s": "five"},
        {"sample_rate": True},
        {"gender": "x"},
        {"slots": {"size": 3}},
        {"active": [[0.5, 0.2]]},
        {"active": [[0.1, 0.4], [0.2, 0.6]]},
        {"active": [[4.0, 5.2]]},
        {"active": [[1.0]]},
    ],
    ids=str,
)
def test_manifest_wrong_row_names_its_line(tmp_path: Path, change: dict[str, Any]) -> None:
    folder = _write(tmp_path, ROW | {"path": "first.opus"}, ROW | change)
    with pytest.raises(InvalidInputError, match=r"manifest\.jsonl:2"):
        read_manifest(folder)


def test_manifest_without_a_required_field_is_refused(tmp_path: Path) -> None:
    row = {name: value for name, value in ROW.items() if name != "license"}
    with pytest.raises(InvalidInputError, match="license"):
        read_manifest(_write(tmp_path, row))


@pytest.mark.parametrize("line", ["{", "[]", '"text"'])
def test_manifest_line_that_is_no_object_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "manifest.jsonl").write_text(line + "\n")
    with pytest.raises(InvalidInputError):
        read_manifest(tmp_path)


def test_manifest_with_a_path_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="twice"):
        read_manifest(_write(tmp_path, ROW, ROW))


def test_manifest_absent_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        read_manifest(tmp_path)


def test_manifest_asked_for_an_unknown_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="test"):
        read_manifest(_write(tmp_path, ROW), "test")


def test_manifest_folder_with_subsets_gives_only_those(tmp_path: Path) -> None:
    folder = _write(tmp_path, ROW, ROW | {"path": "s.opus", "subset": "speech"})
    given = list(ManifestFolder(folder, "train", ("speech",)))
    assert [item.audio for item in given] == [folder / "s.opus"]


def _clips(folder: Path) -> list[SourceClip]:
    rows = [
        ROW,
        ROW | {"path": "o.wav", "slots": {"size": "small"}, "intent": "orderDrink", "label": "rain"},
        ROW | {"path": "d.flac", "split": "dev", "text": "hello", "gender": "f", "age": 9},
    ]
    return [SourceClip(clip, clip.path.encode()) for clip in read_manifest(_write(folder, *rows))]


def test_tar_shard_written_and_read_gives_the_same_clips(tmp_path: Path) -> None:
    clips = _clips(tmp_path)
    assert write_tar_shard(tmp_path / "0.tar", clips) == 3
    shards = [tmp_path / "0.tar"]
    assert list(TarShards(shards, "train")) == clips[:2]
    assert list(TarShards(shards, "dev")) == clips[2:]


def test_tar_shards_several_are_read_in_order(tmp_path: Path) -> None:
    clips = _clips(tmp_path)
    write_tar_shard(tmp_path / "0.tar", clips[1:])
    write_tar_shard(tmp_path / "1.tar", clips[:1])
    paths = [item.clip.path for item in TarShards([tmp_path / "0.tar", tmp_path / "1.tar"], "train")]
    assert paths == ["o.wav", "sounds/dog.opus"]


@pytest.mark.parametrize("name", ["readme.txt", "00.json", "00.opus"])
def test_tar_shard_with_a_stray_member_is_refused(tmp_path: Path, name: str) -> None:
    content = json.dumps(ROW).encode()
    with tarfile.open(tmp_path / "0.tar", "w") as shard:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        shard.addfile(info, BytesIO(content))
    with pytest.raises(InvalidInputError):
        list(TarShards([tmp_path / "0.tar"], "train"))


def test_manifest_of_the_pack_reads_whole(data_folder: Path) -> None:
    clips = read_manifest(data_folder)
    assert len(clips) > 8_000
    assert {clip.split for clip in clips} == {"train", "dev"}
