"""Kernels of a decode step in the Triton language; `triton_ops` launches them, `ops` says what they mean.

All sums are float32. A tile of rows holds at least 16, the least that tensor cores take: with few rows a step
waits for weights, not for products. Letters: B rows of a step, D width, N outputs of a linear, H heads, K kv
heads, G heads of a kv head, P head width, S parts of a sequence, C context, L layers.

Triton-language functions have no annotations but for what is fixed when compiling.
"""

import triton
import triton.language as tl


@triton.jit
def _row_scale(x_ptr, rows, row_mask, width: tl.constexpr, eps, block_k: tl.constexpr):
    """1 / root mean square of each row of x (B, D)."""
    squares = tl.zeros([rows.shape[0]], dtype=tl.float32)
    for start in range(0, width, block_k):
        columns = start + tl.arange(0, block_k)
        mask = row_mask[:, None] & (columns < width)[None, :]
        x = tl.load(x_ptr + rows[:, None] * width + columns[None, :], mask=mask, other=0.0).to(tl.float32)
        squares += tl.sum(x * x, axis=1)
    return 1.0 / tl.sqrt(squares / width + eps)


@triton.jit
def _inputs(x_ptr, norm_ptr, scale, rows, row_mask, columns, width: tl.constexpr, has_norm: tl.constexpr):
    """A tile of x (B, D), normed as the reference rounds it: to x's type before the weight, and after."""
    mask = row_mask[:, None] & (columns < width)[None, :]
    x = tl.load(x_ptr + rows[:, None] * width + columns[None, :], mask=mask, other=0.0)
    if has_norm:
        kind = x.dtype
        weight = tl.load(norm_ptr + columns, mask=columns < width, other=0.0).to(tl.float32)
        x = (x.to(tl.float32) * scale[:, None]).to(kind)
        x = (x.to(tl.float32) * weight[None, :]).to(kind)
    return x


@triton.jit
def _weights(w_ptr, outputs, columns, num_outputs: tl.constexpr, width: tl.constexpr, kind: tl.constexpr):
    """A tile of w (N, D) in the type of the inputs, turned to (D, N)."""
    mask = (outputs < num_outputs)[:, None] & (columns < width)[None, :]
    places = outputs.to(tl.int64)[:, None] * width + columns[None, :]
    return tl.trans(tl.load(w_ptr + places, mask=mask, other=0.0).to(kind))


@triton.jit
def linear_kernel(
    x_ptr,
    norm_ptr,
    w_ptr,
    w_scale_ptr,
    residual_ptr,
    out_ptr,
    num_rows,
    eps,
    num_outputs: tl.constexpr,
    width: tl.constexpr,
    has_norm: tl.constexpr,
    has_scale: tl.constexpr,
    has_residual: tl.constexpr,
    block_m: tl.constexpr,
    block_n: tl.constexpr,
    block_k: tl.constexpr,
):
    """out (B, N) = residual + norm(x) @ w.T * w_scale: norm, scale and residual where there are any."""
    rows = tl.program_id(0) * block_m + tl.arange(0, block_m)
    outputs = tl.program_id(1) * block_n + tl.arange(0, block_n)
    row_mask = rows < num_rows
    scale = tl.zeros([block_m], dtype=tl.float32)
    if has_norm:
        scale = _row_scale(x_ptr, rows, row_mask, width, eps, block_k)
    total = tl.zeros([block_m, block_n], dtype=tl.float32)
    for start in range(0, width, block_k):
        columns = start + tl.arange(0, block_k)
        x = _inputs(x_ptr, norm_ptr, scale, rows, row_mask, columns, width, has_norm)
        w = _weights(w_ptr, outputs, columns, num_outputs, width, x.dtype)
        total = tl.dot(x, w, total, input_precision="ieee")
    if has_scale:
        total *= tl.load(w_scale_ptr + outputs, mask=outputs < num_outputs, other=0.0)[None, :]
    mask = row_mask[:, None] & (outputs < num_outputs)[None, :]
    places = rows.to(tl.int64)[:, None] * num_outputs + outputs[None, :]
    if has_residual:
        total += tl.load(residual_ptr + places, mask=mask, other=0.0).to(tl.float32)
    tl.store(out_ptr + places, total.to(out_ptr.dtype.element_ty), mask=mask)


@triton.jit
def gated_kernel(
    x_ptr,
    norm_ptr,
    w_ptr,
    w_scale_ptr,
    out_ptr,
    num_rows,
    eps,
    num_outputs: tl.constexpr,
    width: tl.constexpr,
    has_scale: tl.constexpr,
    block_m: tl.constexpr,
    block_n: tl.constexpr,
    block_k: tl.constexpr,
):
    """out (B, N) = silu(gate) * up, both of norm(x); w (2 N, D) holds the gate's rows, then the up's."""
    rows = tl.program_id(0) * block_m + tl.arange(0, block_m)
    outputs = tl.program_id(1) * block_n + tl.arange(0, block_n)
    row_mask = rows < num_rows
    scale = _row_scale(x_ptr, rows, row_mask, width, eps, block_k)
    gate = tl.zeros([block_m, block_n], dtype=tl.float32)
    up = tl.zeros([block_m, block_n], dtype=tl.float32)
    up_ptr = w_ptr + num_outputs * width
    for start in range(0, width, block_k):
        columns = start + tl.arange(0, block_k)
        x = _inputs(x_ptr, norm_ptr, scale, rows, row_mask, columns, width, True)
        w = _weights(w_ptr, outputs, columns, num_outputs, width, x.dtype)
        gate = tl.dot(x, w, gate, input_precision="ieee")
        w = _weights(up_ptr, outputs, columns, num_outputs, width, x.dtype)
        up = tl.dot(x, w, up, input_precision="ieee")
    if has_scale:
        inside = outputs < num_outputs
        gate *= tl.load(w_scale_ptr + outputs, mask=inside, other=0.0)[None, :]
        up *= tl.load(w_scale_ptr + num_outputs + outputs, mask=inside, other=0.0)[None, :]
    mask = row_mask[:, None] & (outputs < num_outputs)[None, :]
    places = rows.to(tl.int64)[:, None] * num_outputs + outputs[None, :]
    mixed = gate / (1.0 + tl.exp(-gate)) * up
    tl.store(out_ptr + places, mixed.to(out_ptr.dtype.element_ty), mask=mask)


@triton.jit
def heads_kernel(
    qkv_ptr,
    q_norm_ptr,
    k_norm_ptr,
    cos_ptr,
    sin_ptr,
    slots_ptr,
    lengths_ptr,
    active_ptr,
    tables_ptr,
    queries_ptr,
    keys_ptr,
    values_ptr,
    eps,
    max_pages,
    num_heads: tl.constexpr,
    num_kv_heads: tl.constexpr,
    head_dim: tl.constexpr,
    page_tokens: tl.constexpr,
):
    """Norm and rotate a head of qkv (B, (H + 2 K) P): queries to (B, H, P), keys and values to their page.

    The token of a row stands at the row's length. A row that is not active writes to page 0, never read.
    """
    row = tl.program_id(0)
    head = tl.program_id(1)
    half: tl.constexpr = head_dim // 2
    lower = tl.arange(0, half)
    base = qkv_ptr + (row * (num_heads + 2 * num_kv_heads) + head) * head_dim
    first = tl.load(base + lower).to(tl.float32)
    second = tl.load(base + half + lower).to(tl.float32)
    kind = qkv_ptr.dtype.element_ty
    place = tl.load(lengths_ptr + row)
    if head < num_heads + num_kv_heads:
        norm_ptr = q_norm_ptr if head < num_heads else k_norm_ptr
        scale = 1.0 / tl.sqrt((tl.sum(first * first, 0) + tl.sum(second * second, 0)) / head_dim + eps)
        first = (first * scale).to(kind).to(tl.float32) * tl.load(norm_ptr + lower).to(tl.float32)
        second = (second * scale).to(kind).to(tl.float32) * tl.load(norm_ptr + half + lower).to(tl.float32)
        first, second = first.to(kind).to(tl.float32), second.to(kind).to(tl.float32)
        cos = tl.load(cos_ptr + place * half + lower)
        sin = tl.load(sin_ptr + place * half + lower)
        turned = first * cos - second * sin
        second = second * cos + first * sin
        first = turned
    if head < num_heads:
        to = queries_ptr + (row * num_heads + head) * head_dim
        tl.store(to + lower, first.to(kind))
        tl.store(to + half + lower, second.to(kind))
    else:
        slot = tl.load(slots_ptr + row)
        page = tl.load(tables_ptr + slot * max_pages + place // page_tokens)
        page = tl.where(tl.load(active_ptr + row) != 0, page, 0).to(tl.int64)
        kv_head = (head - num_heads) % num_kv_heads
        cache_ptr = keys_ptr if head < num_heads + num_kv_heads else values_ptr
        to = cache_ptr + ((page * num_kv_heads + kv_head) * page_tokens + place % page_tokens) * head_dim
        tl.store(to + lower, first.to(kind))
        tl.store(to + half + lower, second.to(kind))


@triton.jit
def attention_kernel(
    queries_ptr,
    keys_ptr,
    values_ptr,
    slots_ptr,
    lengths_ptr,
    tables_ptr,
    mixed_ptr,
    tops_ptr,
    sums_ptr,
    max_pages,
    factor,
    num_kv_heads: tl.constexpr,
    group: tl.constexpr,
    group_rows: tl.constexpr,
    head_dim: tl.constexpr,
    page_tokens: tl.constexpr,
    num_parts: tl.constexpr,
):
    """Attention of one token over one part of its sequence, for the G heads of a kv head together.

    Parts are whole pages, so that their number is fixed while sequences grow. Gives for each head the sum of
    values weighted by exp2(score - top), that top, and the sum of the weights; `join_kernel` joins the parts.
    """
    row = tl.program_id(0)
    kv_head = tl.program_id(1)
    part = tl.program_id(2)
    length = tl.load(lengths_ptr + row) + 1
    slot = tl.load(slots_ptr + row)
    num_pages = (length + page_tokens - 1) // page_tokens
    pages_a_part = (num_pages + num_parts - 1) // num_parts
    first = part * pages_a_part
    last = tl.minimum(first + pages_a_part, num_pages)

    heads = tl.arange(0, group_rows)
    width = tl.arange(0, head_dim)
    inside = tl.arange(0, page_tokens)
    num_heads: tl.constexpr = num_kv_heads * group
    of_head = row * num_heads + kv_head * group + heads
    queries = tl.load(
        queries_ptr + of_head[:, None] * head_dim + width[None, :], mask=(heads < group)[:, None], other=0.0
    )
    top = tl.full([group_rows], -1.0e30, dtype=tl.float32)
    total = tl.zeros([group_rows], dtype=tl.float32)
    mixed = tl.zeros([group_rows, head_dim], dtype=tl.float32)
    for index in range(first, last):
        page = tl.load(tables_ptr + slot * max_pages + index).to(tl.int64)
        base = ((page * num_kv_heads + kv_head) * page_tokens + inside) * head_dim
        seen = index * page_tokens + inside < length
        keys = tl.load(keys_ptr + base[:, None] + width[None, :], mask=seen[:, None], other=0.0)
        values = tl.load(values_ptr + base[:, None] + width[None, :], mask=seen[:, None], other=0.0)
        scores = tl.dot(queries, tl.trans(keys), input_precision="ieee") * factor
        scores = tl.where(seen[None, :], scores, -1.0e30)
        higher = tl.maximum(top, tl.max(scores, axis=1))
        fade = tl.exp2(top - higher)
        weights = tl.exp2(scores - higher[:, None])
        total = total * fade + tl.sum(weights, axis=1)
        mixed = mixed * fade[:, None]
        mixed = tl.dot(weights.to(values.dtype), values, mixed, input_precision="ieee")
        top = higher
    places = of_head * num_parts + part
    is_head = heads < group
    tl.store(tops_ptr + places, top, mask=is_head)
    tl.store(sums_ptr + places, total, mask=is_head)
    tl.store(mixed_ptr + places[:, None] * head_dim + width[None, :], mixed, mask=is_head[:, None])


@triton.jit
def join_kernel(
    mixed_ptr,
    tops_ptr,
    sums_ptr,
    out_ptr,
    head_dim: tl.constexpr,
    num_parts: tl.constexpr,
    part_rows: tl.constexpr,
):
    """out (B H, P): the parts of each head joined, those without a token weighing nothing."""
    head = tl.program_id(0)
    parts = tl.arange(0, part_rows)
    width = tl.arange(0, head_dim)
    inside = parts < num_parts
    places = head * num_parts + parts
    tops = tl.load(tops_ptr + places, mask=inside, other=-1.0e30)
    sums = tl.load(sums_ptr + places, mask=inside, other=0.0)
    mixed = tl.load(mixed_ptr + places[:, None] * head_dim + width[None, :], mask=inside[:, None], other=0.0)
    weights = tl.exp2(tops - tl.max(tops, 0))
    out = tl.sum(mixed * weights[:, None], 0) / tl.sum(sums * weights, 0)
    tl.store(out_ptr + head * head_dim + width, out.to(out_ptr.dtype.element_ty))
