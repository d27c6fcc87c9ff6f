"""What a run of the benchmarks is told, and the prompts that its decoders are given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eureka.text.prompts import PromptBuilder
from eureka.text.tokenizer import Tokenizer
from pace.sides import Asked, torch_model


@dataclass(frozen=True, slots=True)
class Suite:
    """A run.

    Attributes:
        checkpoint: folder of the model.
        data_folder: pack of recordings.
        is_quick: few rounds, to see that all runs; the figures mean nothing.
    """

    checkpoint: Path
    data_folder: Path
    is_quick: bool = False

    def rounds(self, usual: int) -> int:
        """Rounds of a measurement."""
        return 2 if self.is_quick else usual

    def size(self, usual: int, quick: int) -> int:
        """Clips, tokens or requests of a measurement."""
        return quick if self.is_quick else usual


def random_rows(num_rows: int, width: int, seed: int = 0) -> np.ndarray:
    """Rows (A, W) of unit deviation, as the adapter's last norm gives them."""
    return np.random.default_rng(seed).normal(size=(num_rows, width)).astype(np.float32)


def transcribe_prompt(folder: Path, num_audio_tokens: int, seed: int = 0) -> Asked:
    """The transcribe layout around audio rows that are drawn, for timings."""
    model = torch_model(folder)
    prompts = PromptBuilder(Tokenizer.from_folder(folder), model.config)
    rows = random_rows(num_audio_tokens, model.config.backbone.hidden_size, seed)
    return Asked(prompts.transcribe(num_audio_tokens), rows)
