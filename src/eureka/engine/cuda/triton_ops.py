"""TritonOps: the operations of a decode step by our kernels; see `ops` for what they mean.

Imported only where the package triton is. Tiles are chosen by the shape alone, never by a timing at start, so
that the same step always adds up in the same order.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from eureka.engine.cuda import kernels
from eureka.engine.cuda.ops import StepRows
from eureka.engine.cuda.paged_cache import PAGE_TOKENS, PagedCache
from eureka.engine.cuda.weights import DecoderWeights, Linear

_LEAST_TILE = 16
"""Rows or columns of the smallest tile that tensor cores take."""

_MOST_ROWS = 64
"""Rows of a tile. Tiles of the same weights are launched side by side, so that memory gives them once."""

_PROGRAMS = 264
"""Programs that attention is cut into at least: two for each of an H100's 132 multiprocessors."""

_MOST_PARTS = 32

_LOG2_E = 1 / math.log(2)


class TritonOps:
    """Our kernels; on a CPU by Triton's interpreter, where that was asked for before triton was imported.

    Args:
        weights: for norms of heads and rotary tables.
    """

    def __init__(self, weights: DecoderWeights) -> None:
        self._weights = weights
        self._config, self._eps = weights.config, weights.config.rms_norm_eps

    def linear(
        self,
        x: Tensor,
        linear: Linear,
        norm: Tensor | None = None,
        residual: Tensor | None = None,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """See `StepOps`."""
        num_rows, num_outputs = len(x), len(linear.weight)
        out = torch.empty((num_rows, num_outputs), dtype=dtype or x.dtype, device=x.device)
        block_m, block_n, block_k = tile(num_rows, num_outputs, x.dtype)
        grid = (_parts(num_rows, block_m), _parts(num_outputs, block_n))
        kernels.linear_kernel[grid](
            x,
            x if norm is None else norm,
            linear.weight,
            x if linear.scale is None else linear.scale,
            x if residual is None else residual,
            out,
            num_rows,
            self._eps,
            num_outputs=num_outputs,
            width=x.shape[1],
            has_norm=norm is not None,
            has_scale=linear.scale is not None,
            has_residual=residual is not None,
            block_m=block_m,
            block_n=block_n,
            block_k=block_k,
            **launch(block_m),
        )
        return out

    def gated(self, x: Tensor, norm: Tensor, linear: Linear) -> Tensor:
        """See `StepOps`."""
        num_rows, num_outputs = len(x), len(linear.weight) // 2
        out = torch.empty((num_rows, num_outputs), dtype=x.dtype, device=x.device)
        block_m, block_n, block_k = tile(num_rows, num_outputs, x.dtype)
        grid = (_parts(num_rows, block_m), _parts(num_outputs, block_n))
        kernels.gated_kernel[grid](
            x,
            norm,
            linear.weight,
            x if linear.scale is None else linear.scale,
            out,
            num_rows,
            self._eps,
            num_outputs=num_outputs,
            width=x.shape[1],
            has_scale=linear.scale is not None,
            block_m=block_m,
            block_n=block_n,
            block_k=block_k,
            **launch(block_m),
        )
        return out

    def heads(self, qkv: Tensor, layer: int, rows: StepRows, cache: PagedCache) -> Tensor:
        """See `StepOps`."""
        config, weights = self._config, self._weights
        num_heads, num_kv_heads = config.num_attention_heads, config.num_key_value_heads
        shape = (len(qkv), num_heads, config.head_dim)
        queries = torch.empty(shape, dtype=qkv.dtype, device=qkv.device)
        kernels.heads_kernel[(len(qkv), num_heads + 2 * num_kv_heads)](
            qkv,
            weights.layers[layer].queries,
            weights.layers[layer].keys,
            weights.cos,
            weights.sin,
            rows.slots,
            rows.lengths,
            rows.active,
            cache.tables,
            queries,
            cache.keys[layer],
            cache.values[layer],
            self._eps,
            cache.tables.shape[1],
            num_heads=num_heads,
            num_kv_heads=num_kv_heads,
            head_dim=config.head_dim,
            page_tokens=PAGE_TOKENS,
            num_warps=1,
        )
        return queries

    def attend(self, queries: Tensor, layer: int, rows: StepRows, cache: PagedCache) -> Tensor:
        """See `StepOps`."""
        config = self._config
        num_rows, num_heads, head_dim = queries.shape
        num_kv_heads = config.num_key_value_heads
        group = num_heads // num_kv_heads
        num_parts = attention_parts(num_rows * num_kv_heads, cache.tables.shape[1])
        partial = (num_rows * num_heads, num_parts)
        mixed = torch.empty((*partial, head_dim), dtype=torch.float32, device=queries.device)
        tops = torch.empty(partial, dtype=torch.float32, device=queries.device)
        sums = torch.empty(partial, dtype=torch.float32, device=queries.device)
        kernels.attention_kernel[(num_rows, num_kv_heads, num_parts)](
            queries,
            cache.keys[layer],
            cache.values[layer],
            rows.slots,
            rows.lengths,
            cache.tables,
            mixed,
            tops,
            sums,
            cache.tables.shape[1],
            head_dim**-0.5 * _LOG2_E,
            num_kv_heads=num_kv_heads,
            group=group,
            group_rows=max(_LEAST_TILE, power_of_two(group)),
            head_dim=head_dim,
            page_tokens=PAGE_TOKENS,
            num_parts=num_parts,
            num_warps=4,
            num_stages=3,
        )
        out = torch.empty_like(queries)
        kernels.join_kernel[(num_rows * num_heads,)](
            mixed,
            tops,
            sums,
            out,
            head_dim=head_dim,
            num_parts=num_parts,
            part_rows=power_of_two(num_parts),
            num_warps=1,
        )
        return out.flatten(1)


def tile(num_rows: int, num_outputs: int, dtype: torch.dtype) -> tuple[int, int, int]:
    """Rows, outputs and width of a tile.

    Few rows wait for memory: narrow tiles, so that all multiprocessors pull at the weights. Many rows share
    what was read.
    """
    block_m = min(_MOST_ROWS, max(_LEAST_TILE, power_of_two(num_rows)))
    block_n = 16 if block_m == _LEAST_TILE and num_outputs <= 8192 else 32 if block_m < _MOST_ROWS else 64
    block_k = 256 if block_n == 16 else 128 if block_m < _MOST_ROWS else 64
    return block_m, block_n, block_k // (2 if dtype == torch.float32 else 1)


def launch(block_m: int) -> dict[str, int]:
    """Warps and depth of the pipeline of a linear."""
    return {"num_warps": 4, "num_stages": 4 if block_m == _LEAST_TILE else 3}


def attention_parts(num_programs: int, pages_a_slot: int) -> int:
    """Parts of each sequence, so that there are enough programs; never more than it can have pages."""
    return max(1, min(_MOST_PARTS, pages_a_slot, _parts(_PROGRAMS, num_programs)))


def power_of_two(count: int) -> int:
    """The least power of two that is not below `count`."""
    return 1 << (count - 1).bit_length()


def _parts(count: int, size: int) -> int:
    return -(-count // size)
