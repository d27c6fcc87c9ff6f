"""WenetSpeech: Mandarin of the net and of meetings, as spans of long recordings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from eureka.errors import InvalidInputError
from eureka.evaluation.report import PaperFigure
from eureka.evaluation.suites.items import Item, ItemAudio
from eureka.evaluation.suites.speech import mandarin_suite

SPLITS = {"test-net": "TEST_NET", "test-meeting": "TEST_MEETING", "dev": "DEV"}
"""Split -> the subset's name in the manifest."""

_BLOCK_CHARS = 1 << 20
"""Read at once when nobody says otherwise."""

_GAP_CHARS = 1_000
"""Blanks between two audios at most."""


def load(folder: Path, split: str, block_chars: int = _BLOCK_CHARS) -> list[Item]:
    """Segments of the subset, out of WenetSpeech.json, of which `block_chars` are read at once."""
    subset = SPLITS[split]
    with open(folder / "WenetSpeech.json", encoding="utf-8") as file:
        return [
            _item(folder, audio, segment)
            for audio in _audios(file, block_chars)
            for segment in audio["segments"]
            if subset in segment["subsets"]
        ]


def _item(folder: Path, audio: dict[str, Any], segment: dict[str, Any]) -> Item:
    place = ItemAudio(folder / audio["path"], float(segment["begin_time"]), float(segment["end_time"]))
    return Item(segment["sid"], place, segment["text"])


def _audios(file: TextIO, block_chars: int) -> Iterator[dict[str, Any]]:
    """Elements of the list `audios`, one after another: the whole manifest has gigabytes."""
    decoder, text, start = json.JSONDecoder(), "", -1
    while start < 0:
        text += _more(file, block_chars)
        start = text.find("[", text.find('"audios"')) if '"audios"' in text else -1
    place = start + 1
    while True:
        place += len(text[place : place + _GAP_CHARS]) - len(
            text[place : place + _GAP_CHARS].lstrip(" \t\r\n,")
        )
        if text.startswith("]", place):
            return
        try:
            audio, place = decoder.raw_decode(text, place)
        except json.JSONDecodeError:
            text, place = text[place:] + _more(file, block_chars), 0
            continue
        yield audio


def _more(file: TextIO, block_chars: int) -> str:
    block = file.read(block_chars)
    if not block:
        raise InvalidInputError("WenetSpeech.json ends before its list of audios does", reason="BAD_DATASET")
    return block


SUITE = mandarin_suite(
    name="wenetspeech",
    title="WenetSpeech",
    source="wenet.org.cn/WenetSpeech",
    licence="CC BY 4.0, non-commercial use of the audio, on application",
    layout="WenetSpeech.json and audio/test_net, audio/test_meeting",
    splits=tuple(SPLITS),
    load=load,
    paper={
        ("test-meeting", "cer"): PaperFigure(9.14, 10.37, 5.43, "Step-Audio-2-mini 8B"),
        ("test-net", "cer"): PaperFigure(7.55, 8.63, 5.29, "Qwen3-Omni-30B-A3B"),
    },
)
