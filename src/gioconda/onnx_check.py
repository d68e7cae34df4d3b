"""What an .onnx file asks for beside itself, read off its bytes before a runtime sees it.

Weights may be said to lie in another file, anywhere on the disk, or in this process's own memory. The format is
Protocol Buffers' (fields as number and wire type, then the value); only the paths to tensors are walked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

_DEEPEST = 64  # graphs within nodes within graphs
_FIXED = {1: 8, 5: 4}  # bytes of a value, by wire type
_VARINT, _BYTES = 0, 2

# kind of message -> number of field -> kind of message that it holds; see onnx.proto
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
_NAME, _ELSEWHERE, _LOCATION = 8, 13, 14  # fields of a tensor


def check_whole(content: bytes, given: Collection[str] = ()) -> None:
    """ValueError where a model takes a tensor from outside, other than the weights of its graph named in `given`."""
    if content[4:8] == b"ORTM":
        raise ValueError("it is in onnxruntime's own format, not ONNX")
    for kind, name in _outside(memoryview(content), "model", 0):
        if kind != "weight" or name not in given:
            raise ValueError(f"its tensor {name!r} lies in another file; only networks in one file are read")


def _outside(data: memoryview, kind: str, depth: int) -> Iterator[tuple[str, str]]:
    """Kind and name of each tensor whose values are elsewhere."""
    if depth > _DEEPEST:
        raise ValueError("it is nested too deeply")
    if kind in ("weight", "tensor"):
        name, outside = "", False
        for number, value in _fields(data):
            if number == _NAME and not isinstance(value, int):
                name = bytes(value).decode(errors="replace")
            outside |= number == _ELSEWHERE or (number == _LOCATION and value != 0)
        if outside:
            yield kind, name
        return
    for number, value in _fields(data):
        inner = _WALK[kind].get(number)
        if inner is not None and not isinstance(value, int):
            yield from _outside(value, inner, depth + 1)


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field: integers, or the bytes of texts, arrays and messages."""
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
    """A number of seven bits a byte, and the place behind it."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        value |= (data[at] & 127) << shift
        at += 1
        if data[at - 1] < 128:
            return value, at
    raise ValueError("it is damaged or cut short")
