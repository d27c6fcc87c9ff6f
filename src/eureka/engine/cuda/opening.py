"""Parts of a checkpoint on a GPU, as a choice says it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from eureka.engine.cuda.backend import CudaBackend
from eureka.engine.cuda.hearing import MAX_BATCH, CudaEmbedder, CudaEncoder
from eureka.engine.cuda.weights import Storage, read_weights
from eureka.engine.reference_parts import read_encoder_module, read_router
from eureka.model.attention import fused_attention
from eureka.model.load_plan import LoadPlan

if TYPE_CHECKING:
    from eureka.engine.choice import BackendChoice


def open_cuda_backend(
    plan: LoadPlan, choice: BackendChoice, num_slots: int, context_tokens: int
) -> CudaBackend:
    """The language model, its graphs captured."""
    where = choice.in_torch()
    context = min(context_tokens, plan.config.backbone.max_position_embeddings)
    storage: Storage = "int8" if choice.numerics == "int8" else "full"
    weights = read_weights(plan, context, getattr(torch, where.dtype), where.device, storage)
    backend = CudaBackend(weights, num_slots, context, is_padded=choice.batch_invariant)
    backend.prepare()
    return backend


def open_cuda_encoder(plan: LoadPlan, choice: BackendChoice) -> CudaEncoder:
    """The audio encoder."""
    encoder = read_encoder_module(plan, choice.in_torch(), fused_attention)
    return CudaEncoder(encoder, 1 if choice.batch_invariant else MAX_BATCH)


def open_cuda_embedder(plan: LoadPlan, choice: BackendChoice) -> CudaEmbedder:
    """From samples to embeddings."""
    return CudaEmbedder(open_cuda_encoder(plan, choice), read_router(plan, choice.in_torch()), plan.config)
