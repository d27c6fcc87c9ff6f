"""The peer llama.cpp: our decoder written as a GGUF of arch qwen3, stepped through its C interface.

Imports llama_cpp and gguf, which `make bench-peers` installs beside the environment.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import gguf
import llama_cpp
import numpy as np
from numpy.typing import NDArray

from eureka.model.config import DecoderConfig
from eureka.model.decoder import Decoder

TYPES = {
    "F32": gguf.GGMLQuantizationType.F32,
    "Q8_0": gguf.GGMLQuantizationType.Q8_0,
}

NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
"""A layer's tensors: the checkpoint's name -> llama.cpp's."""


OUTER_NAMES = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
"""All others. A tied head has no tensor of its own on either side."""


def gguf_name(name: str) -> str:
    """llama.cpp's name of a tensor of the decoder."""
    if name == "lm_head.weight":
        return "output.weight"
    if not name.startswith("model.layers."):
        return {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}[
            name
        ]
    number, _, rest = name.removeprefix("model.layers.").partition(".")
    return f"blk.{number}.{NAMES[rest.removesuffix('.weight')]}.weight"


def write_gguf(decoder: Decoder, path: Path, kind: str) -> None:
    """The decoder as one file, matrices as `kind` out of `TYPES`, without a tokenizer."""
    writer = gguf.GGUFWriter(path, "qwen3")
    _write_shape(writer, decoder.config)
    for name, tensor in decoder.state_dict().items():
        values = tensor.detach().float().numpy()
        target = TYPES[kind] if values.ndim == 2 else TYPES["F32"]
        writer.add_tensor(gguf_name(name), gguf.quants.quantize(values, target), raw_dtype=target)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _write_shape(writer: gguf.GGUFWriter, config: DecoderConfig) -> None:
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("none")


class LlamaDecoder:
    """One sequence on one thread.

    Args:
        path: of the GGUF.
        context_tokens: longest sequence.
    """

    def __init__(self, path: Path, context_tokens: int) -> None:
        llama_cpp.llama_log_set(_SILENT, None)
        llama_cpp.llama_backend_init()
        self._model = llama_cpp.llama_model_load_from_file(
            str(path).encode(), llama_cpp.llama_model_default_params()
        )
        params = llama_cpp.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = context_tokens, context_tokens, context_tokens
        params.n_threads = params.n_threads_batch = 1
        self._context = llama_cpp.llama_init_from_model(self._model, params)
        assert self._context, f"llama.cpp does not take {path}"
        self._num_vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self._model))

    def generate(self, prompt_ids: Sequence[int], num_tokens: int) -> tuple[list[int], float]:
        """Exactly so many greedy ids, and processor seconds of a step behind the prompt."""
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self._context), True)
        ids = [self._best_after(prompt_ids)]
        started = time.process_time()
        for _ in range(num_tokens - 1):
            ids.append(self._best_after(ids[-1:]))
        return ids, (time.process_time() - started) / (num_tokens - 1)

    def _best_after(self, token_ids: Sequence[int]) -> int:
        tokens = (llama_cpp.llama_token * len(token_ids))(*token_ids)
        status = llama_cpp.llama_decode(self._context, llama_cpp.llama_batch_get_one(tokens, len(token_ids)))
        assert status == 0, f"llama_decode gave {status}"
        logits = llama_cpp.llama_get_logits_ith(self._context, -1)
        values: NDArray[np.float32] = np.ctypeslib.as_array(logits, shape=(self._num_vocabulary,))
        return int(values.argmax())


@llama_cpp.llama_log_callback
def _SILENT(level: int, text: bytes, data: object) -> None:
    """Its words on loading are no part of the table."""
