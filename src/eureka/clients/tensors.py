"""Arrays to the Tensor message of the stages and back, without a copy where the bytes allow it."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from eureka.errors import InvalidInputError
from eureka.stage.v1 import tensor_pb2

DtypeName = Literal["float32", "float16", "bfloat16", "int16"]

MAX_DIMENSIONS = 8
"""No tensor of ours has more than three."""

_MESSAGE_TYPES: dict[str, tensor_pb2.DataType] = {
    "float32": tensor_pb2.DATA_TYPE_FLOAT32,
    "float16": tensor_pb2.DATA_TYPE_FLOAT16,
    "bfloat16": tensor_pb2.DATA_TYPE_BFLOAT16,
    "int16": tensor_pb2.DATA_TYPE_INT16,
}
_NAMES = {int(number): name for name, number in _MESSAGE_TYPES.items()}
_WIRE_DTYPES: dict[str, np.dtype[Any]] = {
    "float32": np.dtype("<f4"),
    "float16": np.dtype("<f2"),
    "bfloat16": np.dtype("<u2"),
    "int16": np.dtype("<i2"),
}


def to_tensor(array: NDArray[Any], dtype: DtypeName | None = None) -> tensor_pb2.Tensor:
    """The message of an array.

    Args:
        array: any shape.
        dtype: element type on the wire; the array's own when omitted. numpy has no bfloat16: such tensors
            are made from float32, rounded to the nearest even.

    Raises:
        InvalidInputError: reason INVALID_TENSOR; the element type has no message type.
    """
    name = dtype or array.dtype.name
    if name not in _MESSAGE_TYPES:
        raise _invalid(f"element type {name} cannot travel; known: {', '.join(_MESSAGE_TYPES)}")
    wire = _to_bfloat16(array) if name == "bfloat16" else array.astype(_WIRE_DTYPES[name], copy=False)
    return tensor_pb2.Tensor(data=wire.tobytes(), shape=array.shape, data_type=_MESSAGE_TYPES[name])


def from_tensor(tensor: tensor_pb2.Tensor) -> NDArray[Any]:
    """The array of a message: a read-only view of its bytes; bfloat16 is widened to float32.

    Raises:
        InvalidInputError: reason INVALID_TENSOR; unknown element type, or bytes that do not fit the shape.
    """
    name = _NAMES.get(tensor.data_type)
    if name is None:
        raise _invalid(f"data_type {tensor.data_type} is none of {', '.join(_MESSAGE_TYPES)}")
    shape = tuple(tensor.shape)
    _check_size(shape, name, len(tensor.data))
    array = np.frombuffer(tensor.data, _WIRE_DTYPES[name]).reshape(shape)
    return _from_bfloat16(array) if name == "bfloat16" else array


def _check_size(shape: tuple[int, ...], name: str, num_bytes: int) -> None:
    if len(shape) > MAX_DIMENSIONS:
        raise _invalid(f"{len(shape)} dimensions, at most {MAX_DIMENSIONS}")
    wanted = math.prod(shape) * _WIRE_DTYPES[name].itemsize
    if wanted != num_bytes:
        raise _invalid(f"{num_bytes} bytes do not fit shape {list(shape)} of {name}, which takes {wanted}")


def _to_bfloat16(array: NDArray[Any]) -> NDArray[np.uint16]:
    bits = np.ascontiguousarray(array, dtype="<f4").view("<u4")
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    is_nan = np.isnan(np.asarray(array, dtype=np.float32))
    quiet_nan = (bits >> np.uint32(16)) | np.uint32(0x40)  # rounding could carry a NaN into infinity
    return np.where(is_nan, quiet_nan, rounded).astype("<u2")


def _from_bfloat16(array: NDArray[Any]) -> NDArray[np.float32]:
    return (array.astype(np.uint32) << np.uint32(16)).view(np.float32)


def _invalid(message: str) -> InvalidInputError:
    return InvalidInputError(message, reason="INVALID_TENSOR")
