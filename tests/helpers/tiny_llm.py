"""A real OpenAI-compatible server for tests: llama.cpp over a tiny model of random weights.

Its words mean nothing, but its HTTP, its JSON schemas and its usage are those of a real server.
`python -m tests.helpers.tiny_llm FOLDER` makes the model there and serves it, printing the port first.
"""

from __future__ import annotations

import string
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

WIDTH, LAYERS, HEADS, FEED_FORWARD, CONTEXT = 64, 2, 4, 128, 8_192
SEED = 3
CLOSING = 0.14
"""Along that direction for the quotation mark: strings end after some letters, as those of real models do."""
_NORMAL, _UNKNOWN, _CONTROL, _BYTE = 1, 2, 3, 6


@contextmanager
def tiny_llm(folder: Path) -> Iterator[str]:
    """The base URL of a server that runs until the block ends."""
    command = [sys.executable, "-m", "tests.helpers.tiny_llm", str(folder)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, stdin=subprocess.PIPE
    ) as server:
        try:
            assert server.stdout is not None
            yield f"{server.stdout.readline().strip()}/v1"
        finally:
            server.kill()


def write_model(path: Path) -> None:
    """A llama of random weights, its tokens the bytes and the printable letters."""
    import gguf

    writer = gguf.GGUFWriter(path, "llama")
    letters = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *string.printable[:95]]
    kinds = [_UNKNOWN, _CONTROL, _CONTROL, *[_BYTE] * 256, *[_NORMAL] * 95]
    tokens = ["▁" if token == " " else token for token in letters]
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    for name, shape in _shapes(len(tokens)).items():
        draw = np.random.default_rng([SEED, len(name), *name.encode()])
        values = np.ones(shape) if "norm" in name else draw.normal(0, 0.15, shape)
        if name == "token_embd.weight":
            values += 0.3  # a direction that every state shares
        if name == "output.weight":
            values[letters.index('"')] += CLOSING
        writer.add_tensor(name, values.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _shapes(num_tokens: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (num_tokens, WIDTH),
        "output_norm.weight": (WIDTH,),
        "output.weight": (num_tokens, WIDTH),
    }
    for layer in range(LAYERS):
        block = f"blk.{layer}."
        shapes |= {f"{block}{name}.weight": (WIDTH, WIDTH) for name in ("attn_q", "attn_k", "attn_v")}
        shapes |= {
            f"{block}attn_output.weight": (WIDTH, WIDTH),
            f"{block}attn_norm.weight": (WIDTH,),
            f"{block}ffn_norm.weight": (WIDTH,),
            f"{block}ffn_gate.weight": (FEED_FORWARD, WIDTH),
            f"{block}ffn_up.weight": (FEED_FORWARD, WIDTH),
            f"{block}ffn_down.weight": (WIDTH, FEED_FORWARD),
        }
    return shapes


def main(folder: Path) -> None:
    """Serve until standard input ends."""
    import xllamacpp

    path = folder / "tiny.gguf"
    if not path.exists():
        write_model(path)
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx, params.n_parallel, params.port = 4 * CONTEXT, 4, 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.warmup = False
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()
    del server


if __name__ == "__main__":
    threading.Thread(target=main, args=(Path(sys.argv[1]),)).start()
