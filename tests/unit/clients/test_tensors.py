"""Arrays as messages: every element type there and back, and refused where bytes do not fit."""

from __future__ import annotations

import numpy as np
import pytest

from eureka.clients.tensors import DtypeName, from_tensor, to_tensor
from eureka.errors import InvalidInputError
from eureka.stage.v1.tensor_pb2 import DATA_TYPE_FLOAT32, DATA_TYPE_INT16, Tensor

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("dtype", ["float32", "float16", "int16"])
@pytest.mark.parametrize("shape", [(7,), (3, 5), (0, 4), (2, 3, 4)])
def test_array_comes_back_equal(dtype: DtypeName, shape: tuple[int, ...]) -> None:
    array = (RANDOM.standard_normal(shape) * 1000).astype(dtype)
    back = from_tensor(Tensor.FromString(to_tensor(array).SerializeToString()))
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


def test_strided_and_big_endian_arrays_travel_in_row_major_little_endian() -> None:
    array = np.arange(12, dtype=">f4").reshape(3, 4).T
    np.testing.assert_array_equal(from_tensor(to_tensor(array)), array)


def test_bfloat16_rounds_to_nearest_even_as_ml_dtypes_does() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    array = np.concatenate(
        [RANDOM.standard_normal(10_000), [0.0, -0.0, np.inf, -np.inf, 3.4e38, 1e-40, 1.00390625]]
    ).astype(np.float32)
    wanted = array.astype(ml_dtypes.bfloat16).astype(np.float32)
    np.testing.assert_array_equal(from_tensor(to_tensor(array, "bfloat16")), wanted)


def test_bfloat16_keeps_nan() -> None:
    array = np.array([0x7F800001, 0x7FFFFFFF, 0xFFFFFFFF], dtype=np.uint32).view(np.float32)
    assert np.isnan(from_tensor(to_tensor(array, "bfloat16"))).all()


@pytest.mark.parametrize(
    "tensor",
    [
        Tensor(),
        Tensor(data=b"\0" * 4, shape=[1]),
        Tensor(data=b"\0" * 5, shape=[1], data_type=DATA_TYPE_FLOAT32),
        Tensor(data=b"\0" * 4, shape=[2**32 - 1, 2**32 - 1, 2**31], data_type=DATA_TYPE_INT16),
        Tensor(data=b"\0" * 2, shape=[1] * 9, data_type=DATA_TYPE_INT16),
        Tensor(data=b"\0" * 2, shape=[1], data_type=99),
    ],
)
def test_bytes_that_do_not_fit_are_refused(tensor: Tensor) -> None:
    with pytest.raises(InvalidInputError) as caught:
        from_tensor(tensor)
    assert caught.value.reason == "INVALID_TENSOR"


def test_unknown_element_type_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="float64"):
        to_tensor(np.zeros(3))
