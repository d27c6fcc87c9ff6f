"""GraphBuilder: an ONNX graph made node by node, its weights beside it in one file.

Weights go to the file as they are given, so that a model of any size is written in constant memory. Tensor
letters as in `model.attention`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

Numerics = Literal["exact", "fast"]
"""float32 throughout, or int8 products in the linears that take them."""

GRAPH_FILE, WEIGHTS_FILE = "graph.onnx", "weights.bin"

CONTRIB = "com.microsoft"
"""Domain of ONNX Runtime's own operators."""

_OPSETS = {"": 20, CONTRIB: 1}
_IR_VERSION = 10
_INLINE_BYTES = 1024
_ALIGNMENT = 64

BLOCK = 16
"""Neighbouring weights of one output that share a scale in int8 linears."""

Dim = int | str


class GraphBuilder:
    """Collects nodes and weights; leaving it as a context without an error writes the graph.

    Args:
        name: of the graph.
        folder: exists and takes both files.
        numerics: how `linear` computes.
    """

    def __init__(self, name: str, folder: Path, numerics: Numerics = "exact") -> None:
        self._name, self._folder, self._numerics = name, folder, numerics
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._constants: dict[tuple[str, bytes], str] = {}
        self._count = 0
        self._weights: BinaryIO = (folder / WEIGHTS_FILE).open("wb")

    # -- border ------------------------------------------------------------------------------------

    def input(self, name: str, dtype: type[np.generic], shape: Sequence[Dim]) -> str:
        """Declare an input of the graph."""
        self._inputs.append(_value_info(name, dtype, shape))
        return name

    def output(self, name: str, value: str, dtype: type[np.generic], shape: Sequence[Dim]) -> None:
        """Give a value out under `name`."""
        self._nodes.append(helper.make_node("Identity", [value], [name]))
        self._outputs.append(_value_info(name, dtype, shape))

    def __enter__(self) -> GraphBuilder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._weights.close()
        if error is None:
            self._write_graph()

    def _write_graph(self) -> None:
        graph = helper.make_graph(self._nodes, self._name, self._inputs, self._outputs, self._initializers)
        opsets = [helper.make_opsetid(domain, version) for domain, version in _OPSETS.items()]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)
        (self._folder / GRAPH_FILE).write_bytes(model.SerializeToString())

    # -- nodes and weights -------------------------------------------------------------------------

    def op(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output and name that output."""
        return self.ops(kind, *inputs, domain=domain, num_outputs=1, **attributes)[0]

    def ops(
        self, kind: str, *inputs: str, domain: str = "", num_outputs: int = 1, **attributes: Any
    ) -> list[str]:
        """Add a node and name its outputs; an empty input is one left out."""
        self._count += 1
        outputs = [f"{kind}_{self._count}_{i}" for i in range(num_outputs)]
        self._nodes.append(helper.make_node(kind, list(inputs), outputs, domain=domain, **attributes))
        return outputs

    def contrib(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node of ONNX Runtime's own with one output."""
        return self.op(kind, *inputs, domain=CONTRIB, **attributes)

    def declare_output(self, name: str, dtype: type[np.generic], shape: Sequence[Dim]) -> None:
        """Declare an output that a node names itself (see `named_op`)."""
        self._outputs.append(_value_info(name, dtype, shape))

    def named_op(
        self, kind: str, inputs: Sequence[str], outputs: Sequence[str], domain: str = "", **attributes: Any
    ) -> None:
        """Add a node whose outputs have given names, such as those of the graph."""
        self._nodes.append(helper.make_node(kind, list(inputs), list(outputs), domain=domain, **attributes))

    def weight(self, array: NDArray[Any]) -> str:
        """Put an array beside the graph, large ones into the file of weights."""
        self._count += 1
        name, array = f"weight_{self._count}", np.ascontiguousarray(array)
        tensor = TensorProto(
            name=name, dims=array.shape, data_type=helper.np_dtype_to_tensor_dtype(array.dtype)
        )
        if array.nbytes <= _INLINE_BYTES:
            tensor.raw_data = array.tobytes()
        else:
            self._write(tensor, array)
        self._initializers.append(tensor)
        return name

    def ints(self, *values: int) -> str:
        """A constant (n,) int64, shared between its uses."""
        return self._constant(np.array(values, dtype=np.int64))

    def scalar(self, value: float) -> str:
        """A constant () float32, shared between its uses."""
        return self._constant(np.array(value, dtype=np.float32))

    def _constant(self, array: NDArray[Any]) -> str:
        key = (f"{array.dtype}{array.shape}", array.tobytes())
        if key not in self._constants:
            self._constants[key] = self.weight(array)
        return self._constants[key]

    def _write(self, tensor: onnx.TensorProto, array: NDArray[Any]) -> None:
        start = -(-self._weights.tell() // _ALIGNMENT) * _ALIGNMENT
        self._weights.seek(start)
        array.tofile(self._weights)
        self._weights.flush()
        place: Mapping[str, object] = {"location": WEIGHTS_FILE, "offset": start, "length": array.nbytes}
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in place.items():
            tensor.external_data.add(key=key, value=str(value))

    # -- layers ------------------------------------------------------------------------------------

    def linear(
        self,
        x: str,
        weight: NDArray[np.float32],
        bias: NDArray[np.float32] | None = None,
        *,
        may_be_int8: bool = True,
    ) -> str:
        """x (..., D) times a weight (O, D) as torch stores it, plus a bias (O,).

        In fast numerics weights have 8 bits with a scale each BLOCK, activations 8 bits with a scale a row
        and block: a row's result does not depend on the rows beside it.
        """
        if self._numerics == "fast" and may_be_int8 and weight.shape[1] % BLOCK == 0:
            out = self._int8_product(x, weight)
        else:
            out = self.op("MatMul", x, self.weight(weight.T))
        return out if bias is None else self.op("Add", out, self.weight(bias))

    def _int8_product(self, x: str, weight: NDArray[np.float32]) -> str:
        packed, scales = quantise_rows(weight)
        width_out, width_in = weight.shape
        sizes = {"K": width_in, "N": width_out, "bits": 8, "block_size": BLOCK, "accuracy_level": 4}
        return self.contrib("MatMulNBits", x, self.weight(packed), self.weight(scales.reshape(-1)), **sizes)

    def rms_norm(self, x: str, weight: NDArray[np.float32], eps: float) -> str:
        """Divide x (..., D) by the root of its mean square along D, times a weight (D,)."""
        return self.op("SimplifiedLayerNormalization", x, self.weight(weight), axis=-1, epsilon=eps)

    def layer_norm(self, x: str, weight: NDArray[np.float32], bias: NDArray[np.float32], eps: float) -> str:
        """LayerNorm of x (..., D) along D."""
        return self.op("LayerNormalization", x, self.weight(weight), self.weight(bias), axis=-1, epsilon=eps)

    def silu(self, x: str) -> str:
        """x * sigmoid(x)."""
        return self.contrib("QuickGelu", x, alpha=1.0)

    def gelu(self, x: str) -> str:
        """The exact GELU."""
        return self.contrib("Gelu", x)

    def reshape(self, x: str, *shape: int) -> str:
        """Reshape; 0 keeps an axis, -1 takes what is left."""
        return self.op("Reshape", x, self.ints(*shape))

    def split(self, x: str, sizes: Sequence[int]) -> list[str]:
        """Cut the last axis into parts."""
        return self.ops("Split", x, self.ints(*sizes), num_outputs=len(sizes), axis=-1)


def quantise_rows(weight: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Eight-bit weights (O, D / BLOCK, BLOCK) around 128, and their scales (O, D / BLOCK)."""
    blocks = np.asarray(weight, np.float32).reshape(len(weight), -1, BLOCK)
    scales = np.abs(blocks).max(axis=-1) / 127
    safe = np.where(scales == 0, 1, scales)[..., None]
    packed = np.clip(np.rint(blocks / safe), -127, 127) + 128
    return packed.astype(np.uint8), scales.astype(np.float32)


def _value_info(name: str, dtype: type[np.generic], shape: Sequence[Dim]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), list(shape))
