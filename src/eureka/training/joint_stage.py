"""Third stage: encoder, adapter and decoder learn together, frame losses kept at a lower weight."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from eureka.model.config import EurekaConfig
from eureka.model.encoder import stack_frames
from eureka.training.batch_stream import BatchMaker
from eureka.training.decoder_stage import TrainedModel, answer_figures
from eureka.training.joint_batches import JointBatch, JointBatchMaker
from eureka.training.loop import take_up_weights
from eureka.training.losses import frame_event_loss, frame_phone_loss
from eureka.training.recipe import Recipe


class JointTrainer:
    """The trainer of the joint stage."""

    def __init__(self, recipe: Recipe, config: EurekaConfig, tokenizer: Path) -> None:
        self.recipe = recipe
        self._tokenizer = tokenizer
        torch.manual_seed(recipe.seed)
        self._model = TrainedModel(config)
        take_up_weights(self._model, recipe.sibling(recipe.starts_from))
        self._model.audio_encoder.speech_encoder.embed_positions.weight.requires_grad_(False)
        for name in recipe.frozen:
            self._model.get_submodule(name).requires_grad_(False)
        self._model.to(getattr(torch, recipe.dtype))
        self.module: nn.Module = self._model

    def rate_of(self, name: str) -> float:
        """The encoder moves slower than what reads it."""
        return self.recipe.encoder_rate if name.startswith("audio_encoder.") else 1.0

    def batches(self) -> Callable[[], BatchMaker]:
        """Batches over the newest alignment."""
        return partial(JointBatchMaker, self.recipe, self._tokenizer)

    def losses(self, batch: JointBatch) -> tuple[Tensor, dict[str, float]]:
        """Next token, balance, phones and events."""
        audio, weights = batch.audio, self.recipe.loss
        dtype = self._model.backbone.model.embed_tokens.weight.dtype
        mels, num_frames = torch.from_numpy(audio.log_mel).to(dtype), torch.from_numpy(audio.num_frames)
        frames = self._model.audio_encoder(mels, num_frames)
        stacked = stack_frames(frames, self._model.config.stack_frames)  # (B, A, 4*D)
        tokens = stacked[torch.from_numpy(batch.token_mask)]  # (N, 4*D)
        parts = self._model.answer_losses(
            torch.from_numpy(batch.input_ids),
            torch.from_numpy(batch.is_audio),
            torch.from_numpy(batch.targets),
            tokens,
        )
        phones, events = self._model.heads(frames)
        phone_loss = frame_phone_loss(phones, torch.from_numpy(audio.phones), weights.label_smoothing)
        mask = torch.from_numpy(audio.event_mask)
        event_loss = frame_event_loss(events, torch.from_numpy(audio.events), mask)
        total = parts[0] + weights.balance * parts[1]
        total = total + weights.phones * phone_loss + weights.events * audio.events.shape[-1] * event_loss
        figures = {"phone_loss": phone_loss.item(), "event_loss": event_loss.item()}
        return total, answer_figures(parts) | figures

    def before_step(self, share: float) -> bool:
        """Nothing changes during this stage."""
        return False

    def state(self) -> dict[str, Any]:
        """Nothing beside the weights."""
        return {}

    def resume(self, state: dict[str, Any]) -> None:
        """Nothing to take up."""
