"""Aligns the recorded clips of the train split with the encoder as it stands, and writes the result."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from eureka.audio.log_mel import normalise_log_mel
from eureka.model.encoder import AudioEncoder
from eureka.training.alignment import Alignment, align_batch, worst_dropped
from eureka.training.feature_pack import FeaturePack
from eureka.training.heads import FrameHeads
from eureka.training.lexicon import Lexicon
from eureka.training.phones import PHONES
from eureka.training.process_group import tensor_on
from eureka.training.recipe import Recipe

ALIGNED_KINDS = ("speechocean762", "fsdd", "wake_words", "ljspeech")
LEXICON_NAME = "lexicon.json"
"""Pronunciations in the data folder, where somebody put them; other words are asked of espeak-ng."""

_ROWS = 19_200
"""Mel frames of a batch, padding included."""

_PRIOR_CLIPS = 4_000


@dataclass(frozen=True, slots=True)
class _Job:
    clip: int
    words: list[list[int]]


def align_real_clips(encoder: AudioEncoder, heads: FrameHeads, recipe: Recipe, number: int) -> None:
    """Align all recorded clips with transcripts and write alignment `number`; the worst are left out."""
    folder = Path(recipe.data.folder)
    pack = FeaturePack(folder / "train")
    jobs = _jobs(pack, Lexicon(folder / LEXICON_NAME))
    prior = phone_log_prior(FeaturePack(folder / "synthetic"))
    results: dict[int, Alignment | None] = {}
    for batch in _batches(pack, jobs):
        posteriors, num_frames = _posteriors(encoder, heads, pack, batch)
        aligned = align_batch(posteriors, num_frames, [j.words for j in batch], prior)
        results.update(zip((j.clip for j in batch), aligned, strict=True))
    _write(recipe.alignment(number), pack, results, recipe.align.dropped)


def phone_log_prior(pack: FeaturePack) -> NDArray[np.float32]:
    """Log share of frames of each phone in synthetic speech, (C,)."""
    counts = np.ones(len(PHONES))
    for clip in pack.clips[:_PRIOR_CLIPS]:
        if clip.phones is not None:
            spans = clip.phones[:, 2] - clip.phones[:, 1]
            np.add.at(counts, clip.phones[:, 0], spans)
            counts[0] += max(0, clip.num_frames - int(spans.sum()))
    log_prior: NDArray[np.float32] = np.log(counts / counts.sum()).astype(np.float32)
    return log_prior


def _jobs(pack: FeaturePack, lexicon: Lexicon) -> list[_Job]:
    jobs = []
    for index, clip in enumerate(pack.clips):
        if clip.kind in ALIGNED_KINDS and clip.text:
            jobs.append(_Job(index, [list(word) for word in lexicon.pronounce(clip.text)]))
    return sorted(jobs, key=lambda job: pack.clips[job.clip].num_frames)


def _batches(pack: FeaturePack, jobs: list[_Job]) -> Iterator[list[_Job]]:
    batch: list[_Job] = []
    for job in jobs:
        if batch and (len(batch) + 1) * pack.clips[job.clip].num_frames > _ROWS:
            yield batch
            batch = []
        batch.append(job)
    if batch:
        yield batch


@torch.inference_mode()
def _posteriors(
    encoder: AudioEncoder, heads: FrameHeads, pack: FeaturePack, batch: list[_Job]
) -> tuple[NDArray[np.float32], list[int]]:
    """Log posteriors (B, T, C) at 50 frames/s and the true frames of each clip."""
    clips = [pack.clips[job.clip] for job in batch]
    longest = max(c.num_frames for c in clips)
    mels = np.zeros((len(batch), pack.mels.shape[1], longest), np.float32)
    for row, job in enumerate(batch):
        raw = pack.mel(job.clip).astype(np.float32)
        mels[row, :, : len(raw)] = normalise_log_mel(raw).T
    weight = encoder.conv1.weight
    lengths = torch.tensor([c.num_frames for c in clips], device=weight.device)
    frames = encoder(tensor_on(mels, weight.device).to(weight.dtype), lengths)
    phones, _ = heads(frames)
    posteriors: NDArray[np.float32] = phones.float().log_softmax(-1).cpu().numpy()
    return posteriors, [c.num_frames // 2 for c in clips]


def _write(path: Path, pack: FeaturePack, results: dict[int, Alignment | None], dropped: float) -> None:
    clips = list(results)
    kept = worst_dropped([results[c] for c in clips], dropped)
    beside = path.with_suffix(".new")
    with beside.open("w", encoding="utf-8") as out:
        for place in kept:
            alignment = results[clips[place]]
            assert alignment is not None
            rows = [[p, 2 * s, 2 * e] for p, s, e in alignment.phones]  # 50 -> 100 frames/s
            line = {"id": pack.clips[clips[place]].id, "score": round(alignment.score, 3), "phones": rows}
            out.write(json.dumps(line, separators=(",", ":")) + "\n")
    beside.replace(path)
