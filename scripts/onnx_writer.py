"""Write ONNX graphs node by node; constants are shared, and stored in 16 bits where that loses nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 8  # the oldest onnxruntime that pyproject.toml allows reads it
WORTH_16_BITS = 32  # values; shorter constants stay as they are


class Writer:
    """Nodes and constants of a graph in the making. Values are known by name."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def constant(self, value: npt.ArrayLike, dtype: npt.DTypeLike = np.float32) -> str:
        """The name of a constant; equal constants share one."""
        array = np.ascontiguousarray(np.asarray(value, dtype))
        key = (array.dtype.str, array.shape, array.tobytes())
        return self._constants.setdefault(key, f"c{len(self._constants)}")

    def integers(self, *values: int) -> str:
        """The name of a constant of whole numbers, (N,) int64."""
        return self.constant(values, np.int64)

    def node(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add a node of one output and give the output's name."""
        return self.nodes(kind, *inputs, outputs=[output or f"v{len(self._nodes)}"], **attributes)[0]

    def nodes(self, kind: str, *inputs: str, outputs: Sequence[str], **attributes: Any) -> Sequence[str]:
        """Add a node of several outputs."""
        name = f"{kind}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), list(outputs), name=name, **attributes))
        return outputs

    def cut(self, value: str, start: int, end: int, axis: int) -> str:
        """`value[start:end]` along an axis."""
        return self.node("Slice", value, self.integers(start), self.integers(end), self.integers(axis))

    def take(self, value: str, indices: npt.ArrayLike, axis: int) -> str:
        """Entries of `value` along an axis, at whole-number indices of any shape."""
        return self.node("Gather", value, self.constant(indices, np.int64), axis=axis)

    def reshape(self, value: str, *shape: int, output: str = "") -> str:
        """`value` in another shape; -1 stands for the batch."""
        return self.node("Reshape", value, self.integers(*shape), output=output)

    def model(
        self,
        image_side: int,
        outputs: dict[str, tuple[int, ...]],
        description: str,
    ) -> bytes:
        """The whole graph as bytes, checked: a picture (n, side, side, 3) uint8 in, named outputs (n, ...) out."""
        values, casts = [], []
        for (dtype, shape, content), name in self._constants.items():
            array = np.frombuffer(content, dtype).reshape(shape)
            half = array.astype(np.float16) if array.dtype == np.float32 else array
            if array.size >= WORTH_16_BITS and array.dtype == np.float32 and np.array_equal(half, array):
                values.append(numpy_helper.from_array(half, f"{name}_16"))
                casts.append(
                    helper.make_node("Cast", [f"{name}_16"], [name], f"Cast_{name}", to=TensorProto.FLOAT)
                )
            else:
                values.append(numpy_helper.from_array(array, name))
        graph = helper.make_graph(
            [*casts, *self._nodes],
            "gioconda",
            [_info("image", TensorProto.UINT8, (image_side, image_side, 3))],
            [_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
            values,
            doc_string=description,
        )
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(
            graph, opset_imports=opsets, producer_name="gioconda", ir_version=IR_VERSION
        )
        onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString(deterministic=True))


def _info(name: str, kind: int, shape: tuple[int, ...]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, ["n", *shape])
