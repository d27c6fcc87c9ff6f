"""The stage before all training: feature packs of recorded and synthetic clips, and the tokenizer."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from eureka.errors import EurekaError, NotFoundError
from eureka.training.feature_pack import FeaturePack
from eureka.training.instruments import build_instrument_pack
from eureka.training.manifest import ManifestFolder, TarShards
from eureka.training.nano import VOCABULARY_SIZE
from eureka.training.questions import answerable_questions
from eureka.training.real_pack import build_real_pack
from eureka.training.recipe import Recipe
from eureka.training.run_state import RunFolder
from eureka.training.samples import FLUX_KIND, SampleBook
from eureka.training.synthetic_pack import make_pack
from eureka.training.text_generator import TextGenerator
from eureka.training.tokenizer_recipe import train_tokenizer

NUM_GENERATED = 20_000
"""Generated texts that the tokenizer sees."""

NUM_ASKED = 6_000
"""Samples of which it sees what is asked and answered."""


def tokenizer_folder(recipe: Recipe) -> Path:
    """Where the run's tokenizer lies."""
    return Path(recipe.data.folder) / "tokenizer"


def run_data_stage(recipe: Recipe, recordings: Path) -> None:
    """Make what is missing of: packs of the train split, of synthetic speech and of instruments; tokenizer.

    Args:
        recipe: names the folder and the number of synthetic clips.
        recordings: the audio pack with its manifest.
    """
    folder = Path(recipe.data.folder)
    # The two builders go on with what a killed run left, and leave a whole pack as it is.
    build_real_pack(ManifestFolder(recordings, "train"), folder / "train")
    build_instrument_pack(folder / "instruments")
    build_flux_pack(recipe.data.dataflux, folder / FLUX_KIND)
    synthetic, count = folder / "synthetic", recipe.data.synthetic_clips
    if not is_whole_pack(synthetic, count):
        make_pack(synthetic, count, recipe.num_threads, recipe.seed, recordings)
    target = tokenizer_folder(recipe)
    if not (target / "tokenizer.json").exists():
        train_tokenizer(tokenizer_texts(folder, recipe.seed), target, VOCABULARY_SIZE)
    RunFolder(recipe.folder).finish({"folder": str(folder)})


def build_flux_pack(exports: Sequence[str], folder: Path) -> None:
    """The pack of listening questions out of the shards of exports; another choice of them makes it anew.

    Raises:
        NotFoundError: an export holds no shards.
    """
    shards = [path for export in exports for path in sorted(Path(export).glob("*.tar"))]
    empty = [export for export in exports if not list(Path(export).glob("*.tar"))]
    if empty:
        raise NotFoundError(f"no *.tar in {empty}; run `eureka dataflux export` first")
    digest = _digest_of(shards)
    note = folder / "shards.sha256"
    if (note.read_text(encoding="utf-8") if note.exists() else "") == digest or not shards:
        return
    shutil.rmtree(folder, ignore_errors=True)
    build_real_pack(TarShards(shards, "train"), folder)
    note.write_text(digest, encoding="utf-8")


def _digest_of(paths: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def is_whole_pack(folder: Path, num_clips: int) -> bool:
    """Whether a pack holds that many clips and all of their frames; a killed run may leave less."""
    try:
        pack = FeaturePack(folder)
    except (EurekaError, OSError, ValueError):  # nothing there, half a header, half a line
        return False
    frames = sum(clip.num_frames for clip in pack.clips)
    return len(pack) == num_clips and len(pack.mels) == frames


def tokenizer_texts(
    folder: Path, seed: int, num_generated: int = NUM_GENERATED, num_asked: int = NUM_ASKED
) -> Iterator[str]:
    """Texts in the proportions of training: transcripts, generated texts, questions and answers."""
    pack = FeaturePack(folder / "train")
    read = [clip.text for clip in pack.clips if clip.text]
    rng = np.random.default_rng((seed, 9))
    generator = TextGenerator(list(dict.fromkeys(read)))
    yield from read
    for _ in range(num_generated):
        yield generator.draw(rng)[0]
    book = SampleBook(folder)
    kinds = [kind for kind in ("sounds", "scenes", "coffee_orders", "speechocean762") if kind in book.lengths]
    for _ in range(num_asked):
        kind = kinds[int(rng.integers(len(kinds)))]
        truth = book.get(kind, int(rng.integers(len(book.lengths[kind]))), rng).truth
        yield " ".join(event.phrase for event in truth.events or ())
        for asked in answerable_questions(rng, truth.events, truth.words, truth.slots):
            yield asked.question
            yield asked.answer
