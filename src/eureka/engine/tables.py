"""Tables that decoders without torch read: embeddings of tokens, and angles of positions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from eureka.engine.request import Floats, Ids
from eureka.model.load_plan import BACKBONE_PREFIX
from eureka.model.stored_tensors import StoredTensors


class TokenTable:
    """The embedding table, read row by row from the checkpoint's own memory."""

    def __init__(self, stored: StoredTensors) -> None:
        self._raw: NDArray[Any] = np.asarray(stored.read_raw(BACKBONE_PREFIX + "model.embed_tokens.weight"))

    def rows(self, token_ids: Ids) -> Floats:
        """Embeddings (n, W) of ids (n,), a new array."""
        rows = self._raw[token_ids]
        if rows.dtype == np.uint16:  # bfloat16: the upper half of a float32
            return (rows.astype(np.uint32) << np.uint32(16)).view(np.float32)
        return rows.astype(np.float32, copy=False)


def rotary_tables(
    length: int, head_dim: int, theta: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """cos and sin (length, P / 2) of the rotary angles, the products in float32 as the reference has them."""
    exponents = np.arange(0, head_dim, 2, dtype=np.float32) / np.float32(head_dim)
    frequencies = np.power(np.float32(theta), -exponents, dtype=np.float32)
    angles = np.arange(length, dtype=np.float32)[:, None] * frequencies
    return np.cos(angles), np.sin(angles)
