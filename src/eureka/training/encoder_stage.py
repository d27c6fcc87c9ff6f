"""First stage: the encoder learns frame phones and frame events; real speech is aligned by itself.

Until the first alignment only synthetic speech has phone times. Then the encoder aligns the real clips,
which join under the same loss; later alignments replace the first.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from eureka.model.config import EncoderConfig
from eureka.model.encoder import AudioEncoder
from eureka.training.align_clips import align_real_clips
from eureka.training.batch_stream import BatchMaker
from eureka.training.encoder_batches import EncoderBatch, EncoderBatchMaker
from eureka.training.heads import FrameHeads
from eureka.training.losses import IGNORED, frame_event_loss, frame_phone_loss
from eureka.training.process_group import ProcessGroup, tensor_on, training_device
from eureka.training.recipe import Recipe


class EncoderWithHeads(nn.Module):
    """Encoder and heads under the names that the whole model uses."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.audio_encoder = nn.ModuleDict({"speech_encoder": AudioEncoder(config)})
        self.heads = FrameHeads(config.d_model)

    @property
    def encoder(self) -> AudioEncoder:
        """The audio encoder."""
        encoder = self.audio_encoder["speech_encoder"]
        assert isinstance(encoder, AudioEncoder)
        return encoder

    def forward(self, batch: EncoderBatch) -> tuple[Tensor, Tensor]:
        """Phone and event logits of a batch."""
        weight = self.encoder.conv1.weight
        mels = tensor_on(batch.log_mel, weight.device).to(weight.dtype)
        num_frames = tensor_on(batch.num_frames, weight.device)
        frames = self.encoder(mels, num_frames, tensor_on(batch.position_offset, weight.device))
        phones, events = self.heads(frames)
        return phones, events


@torch.no_grad()
def scale_stem(encoder: AudioEncoder, log_mel: Tensor) -> None:
    """Scale both stem convolutions so that each gives unit spread on this batch (B, M, F)."""
    frames = log_mel.transpose(1, 2)
    for convolution in (encoder.conv1, encoder.conv2):
        out = nn.functional.conv1d(frames.mT, convolution.weight, convolution.bias, convolution.stride, 1)
        convolution.weight.div_(out.std().clamp_min(1e-3))
        frames = nn.functional.gelu(out / out.std().clamp_min(1e-3)).mT


class EncoderTrainer:
    """The trainer of the encoder stage.

    Args:
        recipe: data, losses and alignments.
        config: shape of the encoder.
        group: processes that train together; this one alone when None.
    """

    def __init__(self, recipe: Recipe, config: EncoderConfig, group: ProcessGroup | None = None) -> None:
        self.recipe, self._group = recipe, group or ProcessGroup()
        self._device = training_device()
        torch.manual_seed(recipe.seed)
        self.module: nn.Module = EncoderWithHeads(config)
        self._model.encoder.reset_parameters()
        self._model.encoder.embed_positions.weight.requires_grad_(False)
        self.num_alignments = 0
        first = EncoderBatchMaker(recipe, 0).make(0)
        scale_stem(self._model.encoder, torch.from_numpy(first.log_mel).float())
        self.module.to(self._device, getattr(torch, recipe.dtype))

    @property
    def _model(self) -> EncoderWithHeads:
        assert isinstance(self.module, EncoderWithHeads)
        return self.module

    def rate_of(self, name: str) -> float:
        """All parameters move at the full rate."""
        return 1.0

    def batches(self) -> Callable[[], BatchMaker]:
        """Batches over the newest alignment."""
        return partial(EncoderBatchMaker, self.recipe, self.num_alignments)

    def losses(self, batch: EncoderBatch) -> tuple[Tensor, dict[str, float]]:
        """Weighted sum of phone and event losses."""
        phones, events = self._model(batch)
        labels = tensor_on(batch.phones, self._device)
        weights = self.recipe.loss
        phone_loss = frame_phone_loss(phones, labels, weights.label_smoothing)
        mask = tensor_on(batch.event_mask, self._device)
        event_loss = frame_event_loss(events, tensor_on(batch.events, self._device), mask)
        figures = {"phone_loss": phone_loss.item(), "event_loss": event_loss.item()}
        known = labels != IGNORED
        if bool(known.any()):
            hits = (phones.argmax(-1) == labels)[known]
            figures["phone_accuracy"] = float(hits.float().mean())
        return weights.phones * phone_loss + weights.events * len(batch.events[0, 0]) * event_loss, figures

    def before_step(self, share: float) -> bool:
        """Align the real clips when an alignment is due."""
        due = sum(share >= at for at in self.recipe.align.at)
        if due <= self.num_alignments:
            return False
        encoder, heads = self._model.encoder, self._model.heads
        self._group.first_does(lambda: align_real_clips(encoder, heads, self.recipe, due))
        self.num_alignments = due
        return True

    def state(self) -> dict[str, Any]:
        """How many alignments there were."""
        return {"num_alignments": self.num_alignments}

    def resume(self, state: dict[str, Any]) -> None:
        """Go on with the newest alignment."""
        self.num_alignments = int(state["num_alignments"])
