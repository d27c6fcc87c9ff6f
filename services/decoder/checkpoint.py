"""What the decoder service reads of a checkpoint: tokenizer, layouts and card; no weights, no torch."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from eureka.errors import InvalidCheckpointError, NotFoundError
from eureka.model.config import EurekaConfig
from eureka.text.prompts import PromptBuilder
from eureka.text.tokenizer import Tokenizer
from eureka.types import ModelCard

ENGINE_CONTEXT_TOKENS = 4096
"""Longest prompt and answer of the model llm_decoder, as `DecoderOptions.context_tokens`."""


@dataclass(frozen=True, slots=True, eq=False)
class TextCheckpoint:
    """The text side of a checkpoint.

    Attributes:
        tokenizer: of the checkpoint.
        prompts: its layouts.
        card: what callers may know.
    """

    tokenizer: Tokenizer
    prompts: PromptBuilder
    card: ModelCard


def read_checkpoint(folder: Path, numerics: str = "exact") -> TextCheckpoint:
    """Read a checkpoint folder; the weights are only hashed.

    Args:
        folder: of the checkpoint.
        numerics: mode that its models compute in.

    Raises:
        NotFoundError: there is no such folder (CHECKPOINT_NOT_FOUND).
        InvalidCheckpointError: the folder does not fit.
    """
    if not folder.is_dir():
        message = f"there is no checkpoint folder {folder}; set EUREKA_CHECKPOINT"
        raise NotFoundError(message, reason="CHECKPOINT_NOT_FOUND")
    config = EurekaConfig.from_folder(folder)
    tokenizer = Tokenizer.from_folder(folder)
    return TextCheckpoint(tokenizer, PromptBuilder(tokenizer, config), _card(config, folder, numerics))


def weights_sha256(folder: Path) -> str:
    """SHA-256 of the weights, hex; of several files in the order of their names.

    Raises:
        InvalidCheckpointError: there is no weights file, or it cannot be read.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise InvalidCheckpointError(f"{folder} holds no *.safetensors")
    digest = hashlib.sha256()
    try:
        for path in files:
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
    except OSError as error:
        raise InvalidCheckpointError(f"cannot read the weights in {folder}: {error.strerror}") from error
    return digest.hexdigest()


def _card(config: EurekaConfig, folder: Path, numerics: str) -> ModelCard:
    return ModelCard(
        name=config.name,
        languages=dict(config.languages),
        context_tokens=min(ENGINE_CONTEXT_TOKENS, config.backbone.max_position_embeddings),
        best_window_seconds=config.best_window_seconds,
        time_step_seconds=config.time_step_seconds,
        repetition_penalty=config.repetition_penalty,
        weights_sha256=weights_sha256(folder),
        numerics=numerics,
    )
