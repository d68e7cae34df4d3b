"""Read TFLite networks: operators in order, shapes, options, and constants that may be sparse or in 16 bits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import tflite
from flatbuffers import flexbuffers

Array = npt.NDArray[Any]
Options = TypeVar("Options")

CUSTOM = tflite.BuiltinOperator.CUSTOM
_NAMES = {code: name for name, code in vars(tflite.BuiltinOperator).items() if isinstance(code, int)}
_DTYPES = {
    tflite.TensorType.FLOAT32: np.float32,
    tflite.TensorType.FLOAT16: np.float16,
    tflite.TensorType.INT32: np.int32,
}
_INDEX_VECTORS = {1: tflite.Int32Vector, 2: tflite.Uint16Vector, 3: tflite.Uint8Vector}


@dataclass(frozen=True)
class Operator:
    """One operator: its kind ("CONV_2D", or the name of a custom one) and the tensors that it reads and writes."""

    kind: str
    inputs: tuple[int, ...]
    output: int
    table: Any

    def options(self, cls: type[Options]) -> Options:
        """The operator's options as `cls`, one of tflite's option classes."""
        options, table = cls(), self.table.BuiltinOptions()
        options.Init(table.Bytes, table.Pos)  # type: ignore[attr-defined]
        return options

    def custom_bytes(self) -> bytes:
        """The options of a custom operator as they are stored."""
        return bytes(self.table.CustomOptionsAsNumpy())

    def custom_options(self) -> dict[str, Any]:
        """The options of a custom operator that stores a flexbuffer."""
        return dict(flexbuffers.Loads(self.custom_bytes()))


class Network:
    """The one subgraph of a TFLite file; tensors are known by number."""

    def __init__(self, content: bytes) -> None:
        self._model = tflite.Model.GetRootAsModel(content, 0)
        self._graph = self._model.Subgraphs(0)
        self.inputs = tuple(int(j) for j in self._graph.InputsAsNumpy())
        self.outputs = tuple(int(j) for j in self._graph.OutputsAsNumpy())

    def operators(self) -> Iterator[Operator]:
        """All operators, each after those that it depends on."""
        for k in range(self._graph.OperatorsLength()):
            table = self._graph.Operators(k)
            code = self._model.OperatorCodes(table.OpcodeIndex())
            number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
            kind = code.CustomCode().decode() if number == CUSTOM else _NAMES[number]
            inputs = tuple(int(j) for j in table.InputsAsNumpy())
            yield Operator(kind, inputs, int(table.Outputs(0)), table)

    def shape(self, tensor: int) -> tuple[int, ...]:
        """Shape of a tensor; pictures are (1, H, W, C)."""
        table = self._graph.Tensors(tensor)
        return tuple(int(n) for n in table.ShapeAsNumpy()) if table.ShapeLength() else ()

    def constant(self, tensor: int) -> Array:
        """The stored values of a tensor, dense."""
        table = self._graph.Tensors(tensor)
        stored = self._model.Buffers(table.Buffer()).DataAsNumpy().tobytes()
        flat = np.frombuffer(stored, _DTYPES[table.Type()])
        sparsity = table.Sparsity()
        return (
            flat.reshape(self.shape(tensor))
            if sparsity is None
            else _dense(sparsity, self.shape(tensor), flat)
        )


def _dense(sparsity: Any, shape: tuple[int, ...], values: Array) -> Array:
    """TFLite's sparse format: dimensions, then blocks, in traversal order, each dense or compressed as CSR rows."""
    order = [int(d) for d in sparsity.TraversalOrderAsNumpy()]
    blocks = [int(d) for d in sparsity.BlockMapAsNumpy()] if sparsity.BlockMapLength() else []
    levels = [_level(sparsity.DimMetadata(k)) for k in range(sparsity.DimMetadataLength())]
    block_sizes = {dim: levels[len(shape) + k].size for k, dim in enumerate(blocks)}
    dense = np.zeros(shape, values.dtype)
    # each entry: the position among the values of its level, and its index in the dense array so far
    entries: list[tuple[int, tuple[int, ...]]] = [(0, (0,) * len(shape))]
    for dimension, level in zip(order, levels, strict=True):
        inner = dimension >= len(shape)
        axis = blocks[dimension - len(shape)] if inner else dimension
        step = 1 if inner else block_sizes.get(axis, 1)
        entries = [
            (position, (*index[:axis], index[axis] + coordinate * step, *index[axis + 1 :]))
            for before, index in entries
            for position, coordinate in level.children(before)
        ]
    for position, index in entries:
        dense[index] = values[position]
    return dense


@dataclass(frozen=True)
class _Level:
    """A dimension of a sparse tensor: dense of `size`, or with CSR `segments` and `indices`."""

    size: int
    segments: Array | None = None
    indices: Array | None = None

    def children(self, position: int) -> Iterator[tuple[int, int]]:
        """Position and coordinate of each entry below the entry at `position`."""
        if self.segments is None or self.indices is None:
            yield from ((position * self.size + k, k) for k in range(self.size))
        else:
            for k in range(int(self.segments[position]), int(self.segments[position + 1])):
                yield k, int(self.indices[k])


def _level(metadata: Any) -> _Level:
    if metadata.Format() == tflite.DimensionType.DENSE:
        return _Level(metadata.DenseSize())
    segments = _integers(metadata.ArraySegmentsType(), metadata.ArraySegments())
    return _Level(0, segments, _integers(metadata.ArrayIndicesType(), metadata.ArrayIndices()))


def _integers(kind: int, table: Any) -> Array:
    vector = _INDEX_VECTORS[kind]()
    vector.Init(table.Bytes, table.Pos)
    return np.asarray(vector.ValuesAsNumpy())
