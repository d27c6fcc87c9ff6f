"""Reading the safetensors of a checkpoint folder: one file, or shards under an index."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from eureka.errors import InvalidCheckpointError
from eureka.model.adapter_tensors import Shape

WEIGHTS_FILE = "model.safetensors"
"""Name of a checkpoint's weights when they are one file."""

INDEX_FILE = "model.safetensors.index.json"
"""Name of the index that maps tensors to shards."""

DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
"""Storage types that a checkpoint may use, by their safetensors name."""

_BYTES = {"F32": 4, "F16": 2, "BF16": 2}


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
        self._files: dict[str, safe_open] = {}
        index = folder / INDEX_FILE
        if index.is_file():
            for path, names in _read_index(index).items():
                self._add(path, names)
        else:
            self._add(folder / WEIGHTS_FILE, None)

    def read(self, name: str) -> Tensor:
        """One tensor as stored; its data is a private mapping of the file."""
        tensor: Tensor = self._files[name].get_tensor(name)  # type: ignore[no-untyped-call]
        return tensor

    def _add(self, path: Path, expected: set[str] | None) -> None:
        try:
            shard = safe_open(path, framework="pt")
            names = set(shard.keys())  # type: ignore[no-untyped-call]  # safetensors ships no types here
        except (OSError, SafetensorError) as error:
            raise InvalidCheckpointError(f"cannot read {path}: {error}") from error
        if expected is not None and names != expected:
            odd = sorted(names ^ expected)[0]
            where = "the index but not the shard" if odd in expected else "the shard but not the index"
            raise InvalidCheckpointError(f"{path.name}: tensor {odd} stands in {where}")
        for name in sorted(names):
            self._note(name, shard, path)

    def _note(self, name: str, shard: safe_open, path: Path) -> None:
        view = shard.get_slice(name)  # type: ignore[no-untyped-call]
        dtype = view.get_dtype()
        if dtype not in DTYPES:
            raise InvalidCheckpointError(
                f"{path.name}: tensor {name} is {dtype}; only {', '.join(DTYPES.values())} can be loaded"
            )
        shape = tuple(view.get_shape())
        count = 1
        for size in shape:
            count *= size
        self.shapes[name], self.dtypes[name] = shape, DTYPES[dtype]
        self.num_bytes += count * _BYTES[dtype]
        self._files[name] = shard


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
