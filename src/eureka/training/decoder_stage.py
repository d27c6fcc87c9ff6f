"""Second stage: adapter and decoder learn on cached encoder outputs, the encoder standing still."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from eureka.model.config import EurekaConfig
from eureka.model.eureka_audio import EurekaAudio
from eureka.training.batch_stream import BatchMaker
from eureka.training.decoder_batches import DecoderBatch, DecoderBatchMaker
from eureka.training.heads import FrameHeads
from eureka.training.loop import take_up_weights
from eureka.training.losses import IGNORED, balance_loss, next_token_loss
from eureka.training.process_group import tensor_on, training_device
from eureka.training.recipe import Recipe

FRESH_AUDIO_SCALE = 0.1
"""Size of fresh audio embeddings, near that of fresh token embeddings."""


class TrainedModel(nn.Module):
    """The whole model and the heads that only training uses, under the names of a checkpoint."""

    def __init__(self, config: EurekaConfig) -> None:
        super().__init__()
        model = EurekaAudio(config)
        model.reset_parameters()
        model.audio_moe_adaptor.set_output_scale(FRESH_AUDIO_SCALE)
        self.config = config
        self.audio_encoder = model.audio_encoder
        self.audio_moe_adaptor = model.audio_moe_adaptor
        self.backbone = model.backbone
        self.heads = FrameHeads(config.audio_encoder.d_model)

    def answer_losses(
        self, input_ids: Tensor, is_audio: Tensor, targets: Tensor, tokens: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Next-token loss and balance loss of rows with spliced audio.

        Args:
            input_ids: (B, L).
            is_audio: (B, L) bool.
            targets: (B, L), IGNORED where no answer stands.
            tokens: (A, 4 * D) stacked encoder frames of all audio places in order.

        Returns:
            next-token loss, balance loss, share of right next tokens, share of assignments an expert (E,).
        """
        routed = self.audio_moe_adaptor.route(tokens)
        embeds = self.backbone.embed(input_ids)
        embeds = embeds.masked_scatter(is_audio[..., None], routed.audio_embeddings.to(embeds.dtype))
        hidden = self.backbone(embeds)
        wanted = targets != IGNORED
        logits = self.backbone.logits(hidden[wanted])  # (N, V)
        answers = targets[wanted]
        hits = (logits.argmax(-1) == answers).float().mean()
        counts = torch.bincount(routed.selected.flatten(), minlength=routed.router_probabilities.shape[-1])
        balance = balance_loss(routed.router_probabilities, routed.selected)
        return next_token_loss(logits, answers), balance, hits, counts / counts.sum()


def answer_figures(parts: tuple[Tensor, Tensor, Tensor, Tensor]) -> dict[str, float]:
    """Curves of one batch's answer losses."""
    answers, balance, hits, shares = parts
    return {
        "answer_loss": answers.item(),
        "balance_loss": balance.item(),
        "answer_accuracy": hits.item(),
        "smallest_expert_share": shares.min().item(),
        "largest_expert_share": shares.max().item(),
    }


class DecoderTrainer:
    """The trainer of the decoder stage."""

    def __init__(self, recipe: Recipe, config: EurekaConfig, cache: Path, tokenizer: Path) -> None:
        self.recipe = recipe
        self._cache, self._tokenizer = cache, tokenizer
        self._device = training_device()
        torch.manual_seed(recipe.seed)
        self._model = TrainedModel(config)
        take_up_weights(self._model, recipe.sibling(recipe.starts_from))
        self._model.to(self._device, getattr(torch, recipe.dtype))
        self._model.audio_encoder.requires_grad_(False)
        self._model.heads.requires_grad_(False)
        self.module: nn.Module = self._model

    def rate_of(self, name: str) -> float:
        """All trained parameters move at the full rate."""
        return 1.0

    def batches(self) -> Callable[[], BatchMaker]:
        """Batches over the cache."""
        return partial(DecoderBatchMaker, self.recipe, self._cache, self._tokenizer, self._model.config)

    def losses(self, batch: DecoderBatch) -> tuple[Tensor, dict[str, float]]:
        """Next token plus balance."""
        dtype = self._model.backbone.model.embed_tokens.weight.dtype
        parts = self._model.answer_losses(
            tensor_on(batch.input_ids, self._device),
            tensor_on(batch.is_audio, self._device),
            tensor_on(batch.targets, self._device),
            tensor_on(batch.frames, self._device).to(dtype),
        )
        return parts[0] + self.recipe.loss.balance * parts[1], answer_figures(parts)

    def before_step(self, share: float) -> bool:
        """Nothing changes during this stage."""
        return False

    def state(self) -> dict[str, Any]:
        """Nothing beside the weights."""
        return {}

    def resume(self, state: dict[str, Any]) -> None:
        """Nothing to take up."""
