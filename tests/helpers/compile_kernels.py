"""Translates the kernels of a decode step for a GPU that need not be here; JSON, a kernel an object.

Run as a program of its own, for whether kernels are interpreted is settled when triton is imported.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from eureka.engine.cuda import kernels
from eureka.engine.cuda.paged_cache import PAGE_TOKENS
from eureka.engine.cuda.triton_ops import launch, tile
from eureka.model.config import DecoderConfig

SHAPE = DecoderConfig()
ROWS = (1, 64)
NORMED = {"has_norm": True, "has_scale": False, "has_residual": False}
PACKED = {"has_norm": False, "has_scale": True, "has_residual": True}


def translate(
    capability: int, kernel: Any, types: str, fixed: dict[str, Any], **options: int
) -> dict[str, Any]:
    """Machine code of a kernel whose arguments that are not fixed have these types, in order."""
    open_names = [name for name in kernel.arg_names if name not in fixed]
    signature = dict(zip(open_names, types.split(), strict=True)) | dict.fromkeys(fixed, "constexpr")
    places = {name: place for place, name in enumerate(kernel.arg_names)}
    aligned = [["tt.divisibility", 16]]
    source = ASTSource(
        fn=kernel,
        signature={name: signature[name] for name in kernel.arg_names},
        constexprs={(places[name],): value for name, value in fixed.items()},
        attrs={(places[name],): aligned for name in open_names if signature[name].startswith("*")},
    )
    code = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    return {
        "name": kernel.__name__,
        "code_bytes": len(code.asm["cubin"]),
        "shared_bytes": code.metadata.shared,
        "has_tensor_cores": bool(re.search(r"\bw?g?mma\.", code.asm["ptx"])),
    }


def linears(capability: int) -> list[dict[str, Any]]:
    """The products of a step, with few rows and many, and of weights of 8 bits."""
    width, inner = SHAPE.hidden_size, SHAPE.intermediate_size
    found = []
    for num_rows in ROWS:
        block_m, block_n, block_k = tile(num_rows, inner, torch.bfloat16)
        blocks = {"block_m": block_m, "block_n": block_n, "block_k": block_k}
        shape = {"num_outputs": inner, "width": width, **blocks}
        full, gated = "*bf16 *bf16 *bf16 *fp32 *bf16 *bf16 i32 fp32", "*bf16 *bf16 *bf16 *fp32 *bf16 i32 fp32"
        options = launch(block_m)
        found += [
            translate(capability, kernels.linear_kernel, full, shape | NORMED, **options),
            translate(capability, kernels.gated_kernel, gated, shape | {"has_scale": False}, **options),
        ]
    for packed in ("*i8", "*fp8e4nv"):
        types = f"*bf16 *bf16 {packed} *fp32 *bf16 *bf16 i32 fp32"
        found.append(translate(capability, kernels.linear_kernel, types, shape | PACKED, **options))
    return found


def attention(capability: int) -> list[dict[str, Any]]:
    """What a step does with heads."""
    num_heads, num_kv_heads = SHAPE.num_attention_heads, SHAPE.num_key_value_heads
    own = {"num_kv_heads": num_kv_heads, "head_dim": SHAPE.head_dim, "page_tokens": PAGE_TOKENS}
    group = num_heads // num_kv_heads
    parts = {"group": group, "group_rows": 16, "num_parts": 32}
    heads = "*bf16 *bf16 *bf16 *fp32 *fp32 *i64 *i64 *i64 *i32 *bf16 *bf16 *bf16 fp32 i32"
    attend = "*bf16 *bf16 *bf16 *i64 *i64 *i32 *fp32 *fp32 *fp32 i32 fp32"
    join = {"head_dim": SHAPE.head_dim, "num_parts": 32, "part_rows": 32}
    return [
        translate(capability, kernels.heads_kernel, heads, own | {"num_heads": num_heads}, num_warps=1),
        translate(capability, kernels.attention_kernel, attend, own | parts, num_warps=4, num_stages=3),
        translate(capability, kernels.join_kernel, "*fp32 *fp32 *fp32 *bf16", join, num_warps=1),
    ]


if __name__ == "__main__":
    asked = int(sys.argv[1])
    print(json.dumps(linears(asked) + attention(asked)))
