"""Networks as .onnx files, written byte by byte: sound ones, and such that ask for more than they may."""

from __future__ import annotations

import struct


def number(value: int) -> bytes:
    """A varint."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def field(place: int, value: int | bytes | str) -> bytes:
    """One field of a message: a number, or bytes with their length."""
    if isinstance(value, int):
        return number(place << 3) + number(value)
    data = value.encode() if isinstance(value, str) else value
    return number(place << 3 | 2) + number(len(data)) + data


def tensor(name: str, shape: tuple[int, ...], data: bytes | None, location: str = "") -> bytes:
    """A TensorProto of float32: its bytes inside, or in the file `location`."""
    made = b"".join(field(1, side) for side in shape) + field(2, 1) + field(8, name)
    if data is not None:
        return made + field(9, data)
    entry = field(1, "location") + field(2, location)
    return made + field(13, entry) + field(14, 1)


def value(name: str, shape: tuple[int, ...]) -> bytes:
    """A ValueInfoProto of float32."""
    sides = b"".join(field(1, field(1, side)) for side in shape)
    return field(1, name) + field(2, field(1, field(1, 1) + field(2, sides)))


def model(*, nodes: list[bytes], initializers: list[bytes], shape: tuple[int, ...], functions=()) -> bytes:
    """A ModelProto with one input `x` and one output `y` of the same shape."""
    graph = b"".join(field(1, node) for node in nodes) + field(2, "g")
    graph += b"".join(field(5, one) for one in initializers)
    graph += field(11, value("x", shape)) + field(12, value("y", shape))
    made = field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, 17))
    return made + b"".join(field(25, one) for one in functions)


def node(kind: str, inputs: list[str], outputs: list[str], *attributes: bytes) -> bytes:
    """A NodeProto."""
    made = b"".join(field(1, one) for one in inputs) + b"".join(field(2, one) for one in outputs)
    return made + field(4, kind) + b"".join(field(5, one) for one in attributes)


def one_convolution() -> bytes:
    """A sound network: 1x1 convolution of (1, 2, 8, 8)."""
    weights = tensor("w", (2, 2, 1, 1), struct.pack("<4f", 0.5, 0.5, 0.25, 0.75))
    return model(nodes=[node("Conv", ["x", "w"], ["y"])], initializers=[weights], shape=(1, 2, 8, 8))
