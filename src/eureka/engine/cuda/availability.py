"""Whether the GPU backend can run a checkpoint here; one clear reason where it cannot."""

from __future__ import annotations

import importlib.util

from eureka.errors import InvalidInputError, NotFoundError
from eureka.model.config import EurekaConfig

_LEAST_HEAD = 16
"""Width of the smallest head that tensor cores take."""


def check_cuda(config: EurekaConfig) -> None:
    """Refuse where something is missing.

    Raises:
        NotFoundError: no torch, no GPU that it can use, or no package triton (CUDA_NOT_THERE).
        InvalidInputError: heads whose width is no power of two of at least 16 (CUDA_SHAPES).
    """
    if importlib.util.find_spec("torch") is None:
        raise NotFoundError("torch is not installed, which the cuda backend needs", reason="CUDA_NOT_THERE")
    import torch

    if not torch.cuda.is_available():
        raise NotFoundError("there is no GPU that torch can use here", reason="CUDA_NOT_THERE")
    if importlib.util.find_spec("triton") is None:
        raise NotFoundError(
            "the package triton is not installed, which compiles the kernels of the cuda backend",
            reason="CUDA_NOT_THERE",
        )
    head_dim = config.backbone.head_dim
    if head_dim < _LEAST_HEAD or head_dim & (head_dim - 1):
        message = f"the cuda backend takes powers of two from 16 on for backbone.head_dim, not {head_dim}"
        raise InvalidInputError(message, reason="CUDA_SHAPES")
