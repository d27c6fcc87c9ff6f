"""Between encoder and decoder stage: align real clips once more, then cache augmented encoder outputs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from eureka.errors import InvalidInputError
from eureka.model.config import EncoderConfig
from eureka.training.align_clips import align_real_clips
from eureka.training.encoder_batches import SampleAugmenter
from eureka.training.encoder_cache import EncoderCacheWriter
from eureka.training.encoder_stage import EncoderWithHeads
from eureka.training.loop import take_up_weights
from eureka.training.process_group import tensor_on, training_device
from eureka.training.recipe import Recipe
from eureka.training.run_state import RunFolder
from eureka.training.samples import SampleBook, Truth


@dataclass(slots=True)
class _Waiting:
    """Augmented clips that wait for a full batch of one padded length."""

    mels: list[NDArray[np.float32]] = field(default_factory=list)
    truths: list[Truth] = field(default_factory=list)
    phones: list[NDArray[np.int64] | None] = field(default_factory=list)


def run_cache_stage(recipe: Recipe, config: EncoderConfig) -> None:
    """Write the cache of a run into the stage's folder."""
    model = EncoderWithHeads(config)
    take_up_weights(model, recipe.sibling(recipe.starts_from), leave_out=("audio_moe_adaptor", "backbone"))
    model.to(training_device(), getattr(torch, recipe.dtype)).eval()
    run = RunFolder(recipe.folder)
    if not recipe.alignment(1).exists():
        align_real_clips(model.encoder, model.heads, recipe, 1)
    book = SampleBook(Path(recipe.data.folder), recipe.alignment(1))
    draws = _draws(recipe, book)
    longest = max(recipe.batch.buckets)
    lengths = book.lengths
    total = sum(min(longest, round(lengths[k][n] * 1.25) + 16) for k, n in draws)
    writer = EncoderCacheWriter(recipe.folder, total // 2, config.d_model)
    for waiting in _full_batches(recipe, book, draws):
        _encode(model, waiting, writer)
    writer.close()
    run.finish({"clips": len(draws), "frames": writer.num_frames})


def _draws(recipe: Recipe, book: SampleBook) -> list[tuple[str, int]]:
    """Places to cache: each kind's clips over and over, in a shuffled order, up to its count."""
    rng = np.random.default_rng((recipe.seed, 5))
    longest = max(recipe.batch.buckets)
    draws: list[tuple[str, int]] = []
    lengths = book.lengths
    for kind, count in recipe.cache.clips.items():
        places = np.flatnonzero(lengths.get(kind, np.array([])) <= longest)
        if not len(places):
            message = f"[cache] clips names {kind}, of which there is no clip of at most {longest} mel frames"
            raise InvalidInputError(message, reason="UNKNOWN_KIND")
        rounds = -(-count // len(places))
        order = np.concatenate([rng.permutation(places) for _ in range(rounds)])[:count]
        draws += [(kind, int(number)) for number in order]
    return [draws[i] for i in rng.permutation(len(draws))]


def _full_batches(recipe: Recipe, book: SampleBook, draws: list[tuple[str, int]]) -> Iterator[_Waiting]:
    augmenter = SampleAugmenter(book, recipe.augmentation)
    buckets = np.array(recipe.batch.buckets)
    waiting = [_Waiting() for _ in buckets]
    for number, (kind, place) in enumerate(draws):
        rng = np.random.default_rng((recipe.seed, 6, number))
        sample = book.get(kind, place, rng)
        augmented = augmenter.augment(sample, int(buckets[-1]), rng)
        bucket = int(np.searchsorted(buckets, len(augmented.mel)))
        row = waiting[bucket]
        row.mels.append(augmented.mel)
        row.truths.append(sample.truth.heard(augmented.time_scale, augmented.noise_label))
        row.phones.append(None if sample.phones is None else _scaled(sample.phones, augmented.time_scale))
        if len(row.mels) * buckets[bucket] >= recipe.batch.rows:
            yield row
            waiting[bucket] = _Waiting()
        if number % 2000 == 0:
            print(f"cache: {number} of {len(draws)} clips", flush=True)
    yield from (row for row in waiting if row.mels)


def _scaled(phones: NDArray[np.int32], time_scale: float) -> NDArray[np.int64]:
    scaled = phones.astype(np.int64)
    scaled[:, 1:] = np.rint(phones[:, 1:] * (time_scale / 2))
    return scaled


@torch.inference_mode()
def _encode(model: EncoderWithHeads, waiting: _Waiting, writer: EncoderCacheWriter) -> None:
    longest = max(len(mel) for mel in waiting.mels)
    batch = np.zeros((len(waiting.mels), waiting.mels[0].shape[1], longest), np.float32)
    for row, mel in enumerate(waiting.mels):
        batch[row, :, : len(mel)] = mel.T
    weight = model.encoder.conv1.weight
    lengths = torch.tensor([len(mel) for mel in waiting.mels], device=weight.device)
    frames = model.encoder(tensor_on(batch, weight.device).to(weight.dtype), lengths).float().cpu().numpy()
    for row, mel in enumerate(waiting.mels):
        count = len(mel) // 2
        phones = waiting.phones[row]
        if phones is not None:
            phones = np.minimum(phones, [np.iinfo(np.int64).max, count, count])
        writer.add(frames[row, :count].astype(np.float16), waiting.truths[row], phones)
