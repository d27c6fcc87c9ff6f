"""DecoderRuns: runs of the language model's graph over rows of the KV cache.

A decode run over the same rows comes again and again, so its buffers are bound once and kept.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from eureka.engine.onnx.kv_rows import KvRows
from eureka.engine.request import Floats
from eureka.model.config import DecoderConfig

_MAX_KEPT = 64
"""Row ranges whose buffers are kept."""


@dataclass(frozen=True, slots=True, eq=False)
class _DecodeBuffers:
    """Memory that a bound run reads and writes, for n rows."""

    binding: ort.IOBinding
    embeds: Floats  # (n, 1, W)
    last_places: NDArray[np.int32]  # (n,)
    num_keys: NDArray[np.int32]  # ()
    logits: Floats  # (n, V)


class DecoderRuns:
    """Runs the graph that `build_decoder` writes; not thread-safe.

    Args:
        session: of the graph.
        config: of the language model.
        rows: the KV cache.
    """

    def __init__(self, session: ort.InferenceSession, config: DecoderConfig, rows: KvRows) -> None:
        self._session, self._config, self._rows = session, config, rows
        self._kept: OrderedDict[tuple[int, int], _DecodeBuffers] = OrderedDict()

    def prefill(self, row: int, start: int, embeds: Floats) -> Floats:
        """Append L embeddings (L, W) to a row that holds `start` tokens; logits (V,) after the last."""
        length = len(embeds)
        logits = np.empty((1, self._config.vocab_size), np.float32)
        binding = self._session.io_binding()
        self._rows.bind(binding, row, 1)
        end = start + length
        binding.bind_cpu_input("inputs_embeds", embeds[None])
        binding.bind_cpu_input("last_places", np.array([end - 1], np.int32))
        binding.bind_cpu_input("num_keys", np.array(end, np.int32))
        binding.bind_cpu_input("logit_rows", np.array([length - 1], np.int64))
        _bind_output(binding, "logits", logits)
        self._session.run_with_iobinding(binding)
        only: Floats = logits[0]
        return only

    def decode(self, first: int, embeds: Floats, places: NDArray[np.int64]) -> Floats:
        """Append one embedding (n, W) to each of n rows from `first` on, at these places; logits (n, V).

        The logits are overwritten by the next run over as many rows from there on.
        """
        buffers = self._buffers(first, len(embeds))
        buffers.embeds[:, 0] = embeds
        buffers.last_places[:] = places
        buffers.num_keys[...] = places.max() + 1
        self._session.run_with_iobinding(buffers.binding)
        return buffers.logits

    def _buffers(self, first: int, count: int) -> _DecodeBuffers:
        key = (first, count)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        if len(self._kept) >= _MAX_KEPT:
            self._kept.popitem(last=False)
        self._kept[key] = self._bound(first, count)
        return self._kept[key]

    def _bound(self, first: int, count: int) -> _DecodeBuffers:
        buffers = _DecodeBuffers(
            self._session.io_binding(),
            np.zeros((count, 1, self._config.hidden_size), np.float32),
            np.zeros(count, np.int32),
            np.zeros((), np.int32),
            np.zeros((count, self._config.vocab_size), np.float32),
        )
        binding = buffers.binding
        self._rows.bind(binding, first, count)
        _bind_input(binding, "inputs_embeds", buffers.embeds)
        _bind_input(binding, "last_places", buffers.last_places)
        _bind_input(binding, "num_keys", buffers.num_keys)
        binding.bind_cpu_input("logit_rows", np.arange(count, dtype=np.int64))
        _bind_output(binding, "logits", buffers.logits)
        return buffers


def _bind_input(binding: ort.IOBinding, name: str, array: NDArray[np.generic]) -> None:
    """Let runs read the array's memory, which the caller keeps."""
    binding.bind_input(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)


def _bind_output(binding: ort.IOBinding, name: str, array: NDArray[np.generic]) -> None:
    binding.bind_output(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
