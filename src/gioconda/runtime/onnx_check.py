"""Refuse .onnx files that refer to data outside themselves, before a runtime opens them.

A tensor may refer to another file, anywhere on the disk, or to this process's own memory. The format is that of
Protocol Buffers: each field has a number, a wire type and a value. Only the paths to tensors are parsed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

# Levels of graphs within nodes within graphs.
_DEEPEST = 64
# Wire type -> bytes of a value.
_FIXED = {1: 8, 5: 4}
_VARINT, _BYTES = 0, 2

# Kind of message -> number of field -> kind of message in that field; see onnx.proto.
_WALK: dict[str, dict[int, str]] = {
    "model": {7: "main", 20: "training", 25: "function"},
    "main": {1: "node", 5: "weight", 15: "sparse"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
# Fields of a tensor: name, external_data, data_location.
_NAME, _EXTERNAL, _LOCATION = 8, 13, 14


def check_whole(content: bytes, given: Collection[str] = ()) -> None:
    """Check that a model contains all its tensors.

    Args:
        content: Of the .onnx file.
        given: Names of weights of the main graph that the caller supplies.

    Raises:
        ValueError: A tensor is elsewhere, the file is damaged, or it is in onnxruntime's own format.
    """
    if content[4:8] == b"ORTM":
        raise ValueError("it is in onnxruntime's own format, not ONNX")
    for kind, name in _outside(memoryview(content), "model", 0):
        if kind != "weight" or name not in given:
            raise ValueError(f"its tensor {name!r} is in another file; export the network to a single file")


def _outside(data: memoryview, kind: str, depth: int) -> Iterator[tuple[str, str]]:
    """Kind and name of each tensor with external data, in a message of some kind."""
    if depth > _DEEPEST:
        raise ValueError("it is nested too deeply")
    if kind in ("weight", "tensor"):
        name, outside = "", False
        for number, value in _fields(data):
            if number == _NAME and not isinstance(value, int):
                name = bytes(value).decode(errors="replace")
            outside |= number == _EXTERNAL or (number == _LOCATION and value != 0)
        if outside:
            yield kind, name
        return
    for number, value in _fields(data):
        inner = _WALK[kind].get(number)
        if inner is not None and not isinstance(value, int):
            yield from _outside(value, inner, depth + 1)


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field of a message: integers, or the bytes of strings, arrays and messages."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        wire = key & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        length, at = _varint(data, at) if wire == _BYTES else (_FIXED.get(wire, -1), at)
        if length < 0 or at + length > len(data):
            raise ValueError("it is damaged or cut short")
        yield key >> 3, data[at : at + length]
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """The integer at an offset, seven bits a byte, and the offset after it."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        value |= (data[at] & 127) << shift
        at += 1
        if data[at - 1] < 128:
            return value, at
    raise ValueError("it is damaged or cut short")
