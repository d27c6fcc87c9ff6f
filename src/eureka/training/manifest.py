"""Clips of recorded audio with what is known about them: the pack's manifest, and tar shards.

Two sources give the same `SourceClip`: a folder with manifest.jsonl, and WebDataset-style tar shards
for sets that are too large for single files (members `KEY.json` with a manifest row and
`KEY.<audio extension>`). Decoding is left to the caller.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from eureka.errors import InvalidInputError, NotFoundError

MANIFEST_NAME = "manifest.jsonl"
SPLITS = ("train", "dev")
MAX_CHILD_AGE = 14
"""Speakers up to this age in years count as children."""

_GENDERS = {"m": "m", "male": "m", "f": "f", "female": "f"}
_REQUIRED: dict[str, type | tuple[type, ...]] = {
    "path": str,
    "subset": str,
    "split": str,
    "duration_s": (int, float),
    "sample_rate": int,
    "license": str,
    "source": str,
}
_OPTIONAL: dict[str, type | tuple[type, ...]] = {
    "author": str,
    "origin": str,
    "text": str,
    "speaker": str,
    "age": int,
    "gender": str,
    "accent": str,
    "band": str,
    "intent": str,
    "slots": dict,
    "label": str,
    "fold": int,
    "active": list,
    "original_duration_s": (int, float),
    "questions": list,
}
_AUDIO_SUFFIXES = (".opus", ".ogg", ".flac", ".wav", ".mp3", ".m4a")


@dataclass(frozen=True, slots=True)
class ChoiceQuestion:
    """A listening question about a clip: its options, and which of them is right.

    Attributes:
        question: as it is asked.
        options: two or more that differ.
        answer: one of the options.
        category: what it is counted under.
    """

    question: str
    options: tuple[str, ...]
    answer: str
    category: str = ""

    def to_plain(self) -> dict[str, Any]:
        """Plain object for JSON."""
        return {
            "question": self.question,
            "options": list(self.options),
            "answer": self.answer,
            "category": self.category,
        }

    @classmethod
    def of_plain(cls, plain: Any, where: str) -> ChoiceQuestion:
        """Read the plain object; `where` names it in errors.

        Raises:
            InvalidInputError: it is no such object, or the answer is not among the options.
        """
        try:
            options = tuple(str(option) for option in plain["options"])
            row = cls(str(plain["question"]), options, str(plain["answer"]), str(plain.get("category", "")))
        except (KeyError, TypeError, AttributeError) as error:
            raise InvalidInputError(f"{where}: {plain!r} is no question with options and answer") from error
        if row.answer not in row.options or len(set(row.options)) < max(2, len(row.options)):
            raise InvalidInputError(
                f"{where}: the answer is one of two or more options that differ: {plain!r}"
            )
        return row


@dataclass(frozen=True, slots=True)
class ManifestClip:
    """One row of a manifest.

    Attributes:
        path: place of the file below the manifest's folder, with forward slashes.
        text: transcript as written in the source, None where none exists.
        gender: `m` or `f`.
        slots: slot name -> value of an order.
        label: label of a sound, words joined by underscores.
        active: parts (start, end) in seconds above the clip's silence; empty where not given.
        questions: listening questions about it, as DataFlux exports them.
    """

    path: str
    subset: str
    split: str
    duration_seconds: float
    sample_rate_hz: int
    license: str
    source: str
    author: str | None = None
    origin: str | None = None
    text: str | None = None
    speaker: str | None = None
    age: int | None = None
    gender: str | None = None
    accent: str | None = None
    intent: str | None = None
    slots: dict[str, str] = field(default_factory=dict)
    label: str | None = None
    fold: int | None = None
    active: tuple[tuple[float, float], ...] = ()
    questions: tuple[ChoiceQuestion, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceClip:
    """A manifest row with its audio: a path, or the encoded bytes."""

    clip: ManifestClip
    audio: Path | bytes


class ClipSource(Protocol):
    """Anything that gives clips one after the other, the same ones in the same order every time."""

    def __iter__(self) -> Iterator[SourceClip]: ...


@dataclass(frozen=True, slots=True)
class ManifestFolder:
    """The clips of a folder with manifest.jsonl.

    Args:
        folder: folder of the manifest; paths in it are relative to this folder.
        split: `train` or `dev`.
        subsets: only these; all when empty.
    """

    folder: Path
    split: str
    subsets: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[SourceClip]:
        for clip in read_manifest(self.folder, self.split):
            if not self.subsets or clip.subset in self.subsets:
                yield SourceClip(clip, self.folder / clip.path)


@dataclass(frozen=True, slots=True)
class TarShards:
    """The clips of WebDataset-style tar files, read front to back without unpacking.

    Args:
        paths: tar files, plain or gzip, in reading order.
        split: `train` or `dev`; rows of the other split are passed over.

    Raises:
        InvalidInputError: while iterating, on a member that is neither row nor audio, on a key
            without its other half, or on a row that is wrong.
    """

    paths: Sequence[Path]
    split: str

    def __iter__(self) -> Iterator[SourceClip]:
        for path in self.paths:
            for row, audio in _read_shard(path):
                if row.split == self.split:
                    yield SourceClip(row, audio)


def read_manifest(folder: Path, split: str | None = None) -> list[ManifestClip]:
    """Rows of `folder`/manifest.jsonl, of one split or of all.

    Raises:
        NotFoundError: the folder has no manifest.
        InvalidInputError: a line is not a row (unknown or missing field, wrong type, unknown split,
            path outside the folder), or a path stands twice.
    """
    path = folder / MANIFEST_NAME
    if not path.is_file():
        raise NotFoundError(f"no {MANIFEST_NAME} in {folder}; point the data folder at the audio pack")
    if split is not None:
        _check_split(split, "asked split")
    clips: list[ManifestClip] = []
    seen: set[str] = set()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        clip = parse_row(line, f"{path}:{number}")
        if clip.path in seen:
            raise InvalidInputError(f"{path}:{number}: path {clip.path!r} stands twice")
        seen.add(clip.path)
        clips.append(clip)
    return [clip for clip in clips if split is None or clip.split == split]


def parse_row(line: str, where: str) -> ManifestClip:
    """One JSON object of a manifest as a checked clip; `where` names the line in errors."""
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise InvalidInputError(f"{where}: not JSON: {error}") from error
    if not isinstance(row, dict):
        raise InvalidInputError(f"{where}: a row is a JSON object, not {type(row).__name__}")
    _check_fields(row, where)
    _check_split(row["split"], where)
    _check_path(row["path"], where)
    return ManifestClip(
        path=row["path"],
        subset=row["subset"],
        split=row["split"],
        duration_seconds=float(row["duration_s"]),
        sample_rate_hz=row["sample_rate"],
        license=row["license"],
        source=row["source"],
        gender=_parse_gender(row.get("gender"), where),
        slots=_parse_slots(row.get("slots", {}), where),
        active=_parse_active(row.get("active", []), float(row["duration_s"]), where),
        questions=tuple(ChoiceQuestion.of_plain(plain, where) for plain in row.get("questions", [])),
        **{
            name: row.get(name)
            for name in ("author", "origin", "text", "speaker", "age", "accent", "intent", "label", "fold")
        },
    )


def write_tar_shard(path: Path, clips: Iterable[SourceClip]) -> int:
    """Write clips into one tar shard that `TarShards` reads; returns their number.

    Rows are written from the clip's fields, so a shard needs no manifest beside it.
    """
    count = 0
    with tarfile.open(path, "w") as shard:
        for item in clips:
            key = f"{count:08d}"
            audio = item.audio if isinstance(item.audio, bytes) else item.audio.read_bytes()
            _add_member(shard, f"{key}.json", json.dumps(_row_of(item.clip)).encode("utf-8"))
            _add_member(shard, key + (PurePosixPath(item.clip.path).suffix or ".opus"), audio)
            count += 1
    return count


def _check_fields(row: dict[str, Any], where: str) -> None:
    missing = sorted(_REQUIRED.keys() - row.keys())
    unknown = sorted(row.keys() - _REQUIRED.keys() - _OPTIONAL.keys())
    if missing or unknown:
        raise InvalidInputError(f"{where}: missing fields {missing}, unknown fields {unknown}")
    for name, value in row.items():
        expected = _REQUIRED.get(name) or _OPTIONAL[name]
        if not isinstance(value, expected) or isinstance(value, bool):
            raise InvalidInputError(f"{where}: {name} has the wrong type {type(value).__name__}")


def _check_split(split: str, where: str) -> None:
    if split not in SPLITS:
        raise InvalidInputError(f"{where}: split {split!r} is none of {SPLITS}")


def _check_path(path: str, where: str) -> None:
    parts = PurePosixPath(path)
    if not path or parts.is_absolute() or ".." in parts.parts:
        raise InvalidInputError(f"{where}: path {path!r} leads out of the folder")


def _parse_gender(gender: str | None, where: str) -> str | None:
    if gender is None:
        return None
    if gender not in _GENDERS:
        raise InvalidInputError(f"{where}: gender {gender!r} is none of {sorted(_GENDERS)}")
    return _GENDERS[gender]


def _parse_slots(slots: dict[str, Any], where: str) -> dict[str, str]:
    for name, value in slots.items():
        if not isinstance(value, str):
            raise InvalidInputError(f"{where}: slot {name} has the wrong type {type(value).__name__}")
    return dict(slots)


def _parse_active(parts: list[Any], duration: float, where: str) -> tuple[tuple[float, float], ...]:
    spans = []
    last_end = 0.0
    for part in parts:
        if not (isinstance(part, list) and len(part) == 2):
            raise InvalidInputError(f"{where}: active part {part!r} is no [start, end] pair")
        start, end = float(part[0]), float(part[1])
        # The lists were made on 50 ms blocks, so the last block may end past the clip.
        if not last_end <= start < end <= duration + 0.05:
            raise InvalidInputError(f"{where}: active part {part!r} is out of order or out of the clip")
        spans.append((start, min(end, duration)))
        last_end = end
    return tuple(spans)


def _read_shard(path: Path) -> Iterator[tuple[ManifestClip, bytes]]:
    pending: dict[str, dict[str, bytes]] = {}
    with tarfile.open(path, "r|*") as shard:
        for member in shard:
            if not member.isfile():
                continue
            key, half = _split_member(member.name, path)
            content = shard.extractfile(member)
            assert content is not None  # isfile() above
            halves = pending.setdefault(key, {})
            halves[half] = content.read()
            if len(halves) == 2:
                del pending[key]
                row = parse_row(halves["row"].decode("utf-8"), f"{path}:{key}.json")
                yield row, halves["audio"]
    if pending:
        raise InvalidInputError(f"{path}: no matching row or audio for {sorted(pending)[:5]}")


def _split_member(name: str, shard: Path) -> tuple[str, str]:
    key, dot, suffix = name.rpartition(".")
    if dot + suffix == ".json":
        return key, "row"
    if dot + suffix in _AUDIO_SUFFIXES:
        return key, "audio"
    raise InvalidInputError(f"{shard}: member {name!r} is neither .json nor one of {_AUDIO_SUFFIXES}")


def _row_of(clip: ManifestClip) -> dict[str, Any]:
    row: dict[str, Any] = {
        "path": clip.path,
        "subset": clip.subset,
        "split": clip.split,
        "duration_s": clip.duration_seconds,
        "sample_rate": clip.sample_rate_hz,
        "license": clip.license,
        "source": clip.source,
    }
    for name in ("author", "origin", "text", "speaker", "age", "gender", "accent", "intent", "label", "fold"):
        value = getattr(clip, name)
        if value is not None:
            row[name] = value
    if clip.slots:
        row["slots"] = clip.slots
    if clip.active:
        row["active"] = [list(part) for part in clip.active]
    if clip.questions:
        row["questions"] = [question.to_plain() for question in clip.questions]
    return row


def _add_member(shard: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    shard.addfile(info, BytesIO(content))
