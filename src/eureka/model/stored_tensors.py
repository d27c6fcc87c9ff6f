"""Reading the safetensors of a checkpoint folder: one file, or shards under an index. No torch here."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from eureka.errors import InvalidCheckpointError
from eureka.model.adapter_tensors import Shape

WEIGHTS_FILE = "model.safetensors"
"""Name of a checkpoint's weights when they are one file."""

INDEX_FILE = "model.safetensors.index.json"
"""Name of the index that maps tensors to shards."""

DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
"""Storage types that a checkpoint may use, by their safetensors name."""

_STORED_AS: dict[str, type[np.generic]] = {
    "float32": np.float32,
    "float16": np.float16,
    "bfloat16": np.uint16,
}
"""How numpy holds a storage type; it has no bfloat16, whose bits are the upper half of a float32."""


class StoredTensors:
    """The tensors of a checkpoint by name; shapes and types are known, data is read on demand.

    Args:
        folder: holds `model.safetensors`, or `model.safetensors.index.json` and the shards that it names.

    Raises:
        InvalidCheckpointError: a file is missing or broken, index and shards disagree, or a type is none of
            float32, float16 and bfloat16.

    Attributes:
        shapes: name -> shape.
        dtypes: name -> float32, float16 or bfloat16.
        num_bytes: size of all data.
    """

    def __init__(self, folder: Path) -> None:
        self.shapes: dict[str, Shape] = {}
        self.dtypes: dict[str, str] = {}
        self.num_bytes = 0
        self._places: dict[str, tuple[NDArray[np.uint8], int]] = {}  # mapped file and first byte
        index = folder / INDEX_FILE
        if index.is_file():
            for path, names in _read_index(index).items():
                self._add(path, names)
        else:
            self._add(folder / WEIGHTS_FILE, None)

    def read_raw(self, name: str) -> NDArray[Any]:
        """One tensor as stored, bfloat16 as its bits (uint16); its data is a private mapping of the file."""
        mapped, start = self._places[name]
        shape, dtype = self.shapes[name], np.dtype(_STORED_AS[self.dtypes[name]])
        end = start + math.prod(shape) * dtype.itemsize
        return mapped[start:end].view(dtype).reshape(shape)

    def read(self, name: str) -> NDArray[np.float32]:
        """One tensor as float32, exactly; stored as such it stays a mapping of the file."""
        raw = self.read_raw(name)
        if raw.dtype == np.uint16:
            return (raw.astype(np.uint32) << np.uint32(16)).view(np.float32)
        return raw.astype(np.float32, copy=False)

    def _add(self, path: Path, expected: set[str] | None) -> None:
        try:
            shard = safe_open(path, framework="numpy")
            names = set(shard.keys())  # type: ignore[no-untyped-call]  # safetensors ships no types here
            mapped = np.memmap(path, np.uint8, mode="c")
            offsets = _read_offsets(mapped)
        except (OSError, SafetensorError) as error:
            raise InvalidCheckpointError(f"cannot read {path}: {error}") from error
        if expected is not None and names != expected:
            odd = sorted(names ^ expected)[0]
            where = "the index but not the shard" if odd in expected else "the shard but not the index"
            raise InvalidCheckpointError(f"{path.name}: tensor {odd} stands in {where}")
        for name in sorted(names):
            self._note(name, shard, path)
            self._places[name] = (mapped, offsets[name])

    def _note(self, name: str, shard: safe_open, path: Path) -> None:
        view = shard.get_slice(name)  # type: ignore[no-untyped-call]
        stored_as = view.get_dtype()
        if stored_as not in DTYPES:
            raise InvalidCheckpointError(
                f"{path.name}: tensor {name} is {stored_as}; only {', '.join(DTYPES.values())} can be loaded"
            )
        shape, dtype = tuple(view.get_shape()), DTYPES[stored_as]
        self.shapes[name], self.dtypes[name] = shape, dtype
        self.num_bytes += math.prod(shape) * np.dtype(_STORED_AS[dtype]).itemsize


def _read_offsets(mapped: NDArray[np.uint8]) -> dict[str, int]:
    """First byte of each tensor's data; the header was checked by the library that opened the file."""
    (size,) = struct.unpack("<Q", mapped[:8].tobytes())
    header = json.loads(mapped[8 : 8 + size].tobytes())
    tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
    return {name: 8 + size + entry["data_offsets"][0] for name, entry in tensors.items()}


def _read_index(index: Path) -> dict[Path, set[str]]:
    """Shard -> names, from the `weight_map` of an index file."""
    try:
        weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        pairs = [(str(name), str(file)) for name, file in weight_map.items()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidCheckpointError(f"cannot read {index}: {error!r}") from error
    shards: dict[Path, set[str]] = {}
    for name, file in pairs:
        if Path(file).name != file:
            raise InvalidCheckpointError(f"{index.name}: shard {file!r} must lie in the checkpoint's folder")
        shards.setdefault(index.parent / file, set()).add(name)
    return shards
