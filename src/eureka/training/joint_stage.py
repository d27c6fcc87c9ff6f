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
from eureka.training.process_group import tensor_on, training_device
from eureka.training.recipe import Recipe


class JointTrainer:
    """The trainer of the joint stage."""

    def __init__(self, recipe: Recipe, config: EurekaConfig, tokenizer: Path) -> None:
        self.recipe = recipe
        self._tokenizer = tokenizer
        self._device = training_device()
        torch.manual_seed(recipe.seed)
        self._model = TrainedModel(config)
        take_up_weights(self._model, recipe.sibling(recipe.starts_from))
        self._model.audio_encoder.speech_encoder.embed_positions.weight.requires_grad_(False)
        for name in recipe.frozen:
            self._model.get_submodule(name).requires_grad_(False)
        self._model.to(self._device, getattr(torch, recipe.dtype))
        self.module: nn.Module = self._model

    def rate_of(self, name: str) -> float:
        """The encoder moves slower than what reads it."""
        return self.recipe.encoder_rate if name.startswith("audio_encoder.") else 1.0

    def batches(self) -> Callable[[], BatchMaker]:
        """Batches over the newest alignment."""
        return partial(JointBatchMaker, self.recipe, self._tokenizer, self._model.config)

    def losses(self, batch: JointBatch) -> tuple[Tensor, dict[str, float]]:
        """Next token, balance, phones and events."""
        audio, weights = batch.audio, self.recipe.loss
        dtype = self._model.backbone.model.embed_tokens.weight.dtype
        mels = tensor_on(audio.log_mel, self._device).to(dtype)
        frames = self._model.audio_encoder(mels, tensor_on(audio.num_frames, self._device))
        stacked = stack_frames(frames, self._model.config.stack_frames)  # (B, A, 4*D)
        tokens = stacked[tensor_on(batch.token_mask, self._device)]  # (N, 4*D)
        parts = self._model.answer_losses(
            tensor_on(batch.input_ids, self._device),
            tensor_on(batch.is_audio, self._device),
            tensor_on(batch.targets, self._device),
            tokens,
        )
        phones, events = self._model.heads(frames)
        labels = tensor_on(audio.phones, self._device)
        phone_loss = frame_phone_loss(phones, labels, weights.label_smoothing)
        mask = tensor_on(audio.event_mask, self._device)
        event_loss = frame_event_loss(events, tensor_on(audio.events, self._device), mask)
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
