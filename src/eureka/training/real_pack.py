"""Feature packs of recorded clips: decode, resample, log-mel, write, one split a folder.

Run it as `python -m eureka.training.real_pack DATA_FOLDER OUT_FOLDER [--split train|dev|both]`.
Decoding and resampling are those of serving, so that training hears what serving will hear.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

from eureka.audio.decode import DecodeLimits, decode_all
from eureka.audio.log_mel import pad_to_token, raw_log_mel
from eureka.training.activity import active_parts
from eureka.training.feature_pack import FeaturePackWriter
from eureka.training.manifest import (
    SPLITS,
    ClipSource,
    ManifestClip,
    ManifestFolder,
    SourceClip,
)
from eureka.types import Pcm

NUM_MEL_BINS = 80
"""Mel bins of the nano's encoder."""


def decode_clip(item: SourceClip, limits: DecodeLimits | None = None) -> Pcm:
    """Samples (S,) float32 of a clip at 16 kHz, through the decoder that serving uses."""
    return decode_all(item.audio, limits or DecodeLimits())


def build_real_pack(source: ClipSource, folder: Path, num_mel_bins: int = NUM_MEL_BINS) -> Counter[str]:
    """Write the feature pack of all clips of a source; returns the clips written, by subset.

    A pack that a killed run left is gone on with; a finished one stays as it is.

    Args:
        source: clips of one split; a pack never holds two.
        folder: folder of the pack, made when absent.
        num_mel_bins: mel bins M of the encoder that will be trained.
    """
    counts: Counter[str] = Counter()
    with FeaturePackWriter(folder, num_mel_bins) as writer:
        for item in islice(source, writer.num_clips, None):
            pcm = decode_clip(item)
            writer.add(pcm, describe_clip(item.clip, pcm, num_mel_bins))
            counts[item.clip.subset] += 1
    return counts


def describe_clip(clip: ManifestClip, pcm: Pcm, num_mel_bins: int = NUM_MEL_BINS) -> dict[str, Any]:
    """Fields of a clip as they stand in clips.jsonl; `kind` is the manifest's subset.

    Parts above silence are taken from the manifest where given, else measured on the mels.
    """
    given: dict[str, Any] = {
        "id": clip.path,
        "kind": clip.subset,
        "split": clip.split,
        "text": plain_words(clip.text) if clip.text is not None else None,
        "label": clip.label,
        "slots": clip.slots or None,
        "speaker": clip.speaker,
        "gender": clip.gender,
        "age": clip.age,
        "questions": [question.to_plain() for question in clip.questions] or None,
        "active": [list(part) for part in clip.active or _measure_active(pcm, num_mel_bins)],
    }
    return {name: value for name, value in given.items() if value is not None}


def plain_words(text: str) -> str:
    """Transcript in lower case, without punctuation but with apostrophes inside words."""
    spaced = re.sub(r"[^a-z0-9' ]+", " ", text.lower().replace("\u2019", "'"))
    return " ".join(word.strip("'") for word in spaced.split() if word.strip("'"))


def _measure_active(pcm: Pcm, num_mel_bins: int) -> tuple[tuple[float, float], ...]:
    seconds = len(pcm) / 16_000
    parts = active_parts(raw_log_mel(pad_to_token(pcm), num_mel_bins).T)
    return tuple((round(start, 2), round(min(end, seconds), 2)) for start, end in parts)


def main(arguments: list[str] | None = None) -> None:
    """Build the packs of the asked splits below one folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data_folder", type=Path)
    parser.add_argument("out_folder", type=Path)
    parser.add_argument("--split", choices=(*SPLITS, "both"), default="both")
    chosen = parser.parse_args(arguments)
    for split in SPLITS if chosen.split == "both" else (chosen.split,):
        counts = build_real_pack(ManifestFolder(chosen.data_folder, split), chosen.out_folder / split)
        print(f"{split}: {dict(counts)}")


if __name__ == "__main__":
    main()
