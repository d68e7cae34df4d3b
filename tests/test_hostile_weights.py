"""Weights, networks, identities and motions that somebody made in order to do harm."""

import io
import json
import struct
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from corpus import onnx_file, seeds
from gioconda.engines.fewshot import identity
from gioconda.engines.fewshot.network import read_tensors
from gioconda.engines.warp.refiner import Network
from gioconda.errors import GiocondaError, InputError, LimitError, WeightsError
from gioconda.inputs.person import read_person
from gioconda.lipsync import database
from gioconda.motion import store
from gioconda.runtime.onnx import open_graph


def tensors(header, data=b"", *, length=None):
    """A safetensors file: its header as text or a value, and the arrays' bytes."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(first, last, shape=(4,), dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [first, last]}


TOLD = {"kind": "gioconda identity", "version": "1", "about": "{}"}
FULL = bytes(64)
TWICE = b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'
ATTACKS = {
    "no header": b"",
    "a header cut short": b"\x10\x00",
    "a header of 2**63 bytes": tensors({}, length=2**63),
    "a header of 2**64 - 1 bytes": tensors({}, length=2**64 - 1),
    "a header longer than the file": tensors({}, length=100),
    "a header of nothing": tensors(b""),
    "a header of no object": tensors(b"[]"),
    "a header that is not UTF-8": tensors(b'{"\xff\xfe":1}'),
    "a header a million levels deep": tensors(b'{"a":' * 1_000_000),
    "lists a million levels deep": tensors(b"[" * 1_000_000),
    "a header that begins with a space": tensors(b' {"a":1}'),
    "overlapping arrays": tensors({"a": entry(0, 16), "b": entry(8, 24)}, bytes(24)),
    "the same bytes twice": tensors({"a": entry(0, 16), "b": entry(0, 16)}, bytes(16)),
    "a hole between arrays": tensors({"a": entry(0, 16), "b": entry(32, 48)}, bytes(48)),
    "bytes behind the last array": tensors({"a": entry(0, 16)}, bytes(64)),
    "an array beyond the end": tensors({"a": entry(0, 2**40, (2**38,))}, FULL),
    "an array that begins behind its end": tensors({"a": entry(16, 0)}, FULL),
    "negative offsets": tensors({"a": entry(-16, 0)}, FULL),
    "a negative side": tensors({"a": entry(0, 16, (-4,))}, bytes(16)),
    "two negative sides": tensors({"a": entry(0, 16, (-2, -2))}, bytes(16)),
    "sides whose product overflows": tensors({"a": entry(0, 16, (2**33, 2**33))}, bytes(16)),
    "sides whose product overflows to what fits": tensors({"a": entry(0, 16, (2**62 + 1, 4))}, bytes(16)),
    "a shape other than the bytes": tensors({"a": entry(0, 16, (5,))}, bytes(16)),
    "an unknown type": tensors({"a": entry(0, 16, (4,), "O")}, bytes(16)),
    "a type that is no text": tensors({"a": entry(0, 16, (4,), 7)}, bytes(16)),
    "a type that numpy has not": tensors({"a": entry(0, 16, (8,), "BF16")}, bytes(16)),
    "sides that are no numbers": tensors({"a": entry(0, 16, ("4",))}, bytes(16)),
    "settings that are no text": tensors({"__metadata__": {"kind": 7}, "a": entry(0, 16)}, bytes(16)),
    "an array of one entry": tensors({"a": 7}, bytes(16)),
    "a name twice": tensors(TWICE, bytes(16)),
    "settings about nothing": tensors({"__metadata__": {**TOLD, "about": "[" * 100_000}}),
    "a pickle": b"\x80\x04\x95\x1f\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.",
    "an archive": b"PK\x03\x04" + bytes(60),
}
HARMLESS = {
    "a name twice",
    "settings about nothing",
}  # as plain weights: the last one holds, settings go unread


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_on_safetensors(tmp_path, attack):
    path = tmp_path / "hostile.safetensors"
    path.write_bytes(ATTACKS[attack])
    for read, error in (
        (identity.read, InputError),
        (read_person, InputError),
        (database.read, WeightsError),
        (read_tensors, WeightsError),
    ):
        if read is read_tensors and attack in HARMLESS:
            continue
        with pytest.raises(error, match=r"hostile\.safetensors"):
            read(path)


IDENTITY_CHANGES = {
    "a picture that is too large": {"picture": np.zeros((2048, 2048, 3), np.uint8)},
    "a picture of floats": {"picture": np.zeros((64, 64, 3), np.float32)},
    "a picture that is no square": {"picture": np.zeros((64, 65, 3), np.uint8)},
    "landmarks that are not finite": {"landmarks": np.full((478, 3), np.nan, np.float32)},
    "too few landmarks": {"landmarks": np.zeros((468, 3), np.float32)},
    "weights that are not finite": {"fitted.generator.shift": np.full((2, 12), np.inf, np.float32)},
    "weights that are whole numbers": {"fitted.generator.shift": np.zeros((2, 12), np.int64)},
    "no picture": {"picture": None},
}


@pytest.mark.parametrize("change", IDENTITY_CHANGES)
def test_identities_that_make_no_sense(tmp_path, change):
    from safetensors.numpy import load_file, save_file

    path = tmp_path / "person.safetensors"
    seeds._identity(path)
    identity.read(path)
    arrays = {**load_file(path), **IDENTITY_CHANGES[change]}
    save_file({name: array for name, array in arrays.items() if array is not None}, path, TOLD)
    with pytest.raises(InputError, match=r"person\.safetensors"):
        identity.read(path)


def conv(location):
    """A network whose weights lie at `location`."""
    node = onnx_file.node("Conv", ["x", "w"], ["y"])
    away = onnx_file.tensor("w", (2, 2, 1, 1), None, location)
    return onnx_file.model(nodes=[node], initializers=[away], shape=(1, 2, 8, 8))


def within(kind):
    """A network with a tensor of another file deep within: in a node, a graph of a node, or a function."""
    away = onnx_file.tensor("w", (2, 2, 1, 1), None, "secret.bin")
    constant = onnx_file.node("Constant", [], ["w"], onnx_file.field(1, "value") + onnx_file.field(5, away))
    use = onnx_file.node("Conv", ["x", "w"], ["y"])
    if kind == "node":
        return onnx_file.model(nodes=[constant, use], initializers=[], shape=(1, 2, 8, 8))
    if kind == "function":
        made = onnx_file.field(1, "f") + onnx_file.field(7, constant)
        return onnx_file.model(nodes=[use], initializers=[], shape=(1, 2, 8, 8), functions=[made])
    graph = onnx_file.field(1, constant) + onnx_file.field(2, "inner") + onnx_file.field(5, away)
    branch = onnx_file.node("If", ["x"], ["w"], onnx_file.field(1, "then_branch") + onnx_file.field(6, graph))
    return onnx_file.model(nodes=[branch, use], initializers=[], shape=(1, 2, 8, 8))


@pytest.mark.parametrize(
    "content",
    [
        conv("secret.bin"),
        conv("../secret.bin"),
        conv("/etc/passwd"),
        conv("*/_ORT_MEM_ADDR_/*"),
        within("node"),
        within("graph"),
        within("function"),
    ],
)
def test_a_network_that_takes_weights_from_elsewhere_is_refused(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    Path("secret.bin").write_bytes(np.ones(4, np.float32).tobytes())
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="another file"):
        Network(path, 1)
    with pytest.raises(ValueError, match="another file"):
        open_graph(path, 1, {"other": np.ones((2, 2, 1, 1), np.float32)})


def test_only_the_weights_that_are_given_may_lie_elsewhere(tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(conv("weights.safetensors"))
    session = open_graph(path, 1, {"w": np.full((2, 2, 1, 1), 0.5, np.float32)})
    made = session.run(None, {"x": np.ones((1, 2, 8, 8), np.float32)})[0]
    assert np.allclose(made, 1)


def nested(depth):
    made = b""
    for _ in range(depth):
        made = onnx_file.field(1, onnx_file.field(5, onnx_file.field(6, made)))
    return onnx_file.field(7, made)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0\0\0ORTM" + bytes(64),
        nested(5000),
        b"\x3a\xff\xff\xff\xff\x7f",
        b"\x3b" * 40,
        b"\xa5" * 999,
    ],
)
def test_what_is_no_network(tmp_path, content):
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"net\.onnx"):
        Network(path, 1)


def test_a_sound_network_for_other_pictures_is_refused(tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(onnx_file.one_convolution())
    network = Network(path, 1)
    for shape in ((1, 2, 8, 8), (1, 9, 8, 8), (1, 2, 8, 9)):
        with pytest.raises(WeightsError, match="not a refiner"):
            network(np.zeros(shape, np.float32))


def header(text, data=b""):
    """A member of an npz by its header's text."""
    line = text.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(line)) + line + data


def changed(name, content):
    """A sound motion of which one member is another."""
    out = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        sound = Path(folder) / "sound.npz"
        store.save(seeds.short_motion(3), sound)
        with zipfile.ZipFile(sound) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
            for member in old.namelist():
                new.writestr(member, content if member == f"{name}.npy" else old.read(member))
    return out.getvalue()


class Harm:
    """Makes a file where it is unpickled."""

    def __reduce__(self):
        return Path.touch, (Path("harmed"),)


def objects():
    out = io.BytesIO()
    np.save(out, np.array([Harm(), None], dtype=object), allow_pickle=True)
    return out.getvalue()


MOTIONS = {
    "an array of objects": lambda: changed("times", objects()),
    "a huge shape": lambda: changed(
        "times", header("{'descr': '<f8', 'fortran_order': False, 'shape': (10**15,)}")
    ),
    "a shape of text": lambda: changed(
        "times", header("{'descr': '<f8', 'fortran_order': False, 'shape': ('3',)}")
    ),
    "a negative shape": lambda: changed(
        "times", header("{'descr': '<f8', 'fortran_order': False, 'shape': (-3,)}")
    ),
    "huge": lambda: changed(
        "times", header("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,)}")
    ),
    "a record": lambda: changed(
        "times", header("{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (3,)}")
    ),
    "a header that calls": lambda: changed("times", header("__import__('pathlib').Path('harmed').touch()")),
    "a header of brackets": lambda: changed("times", header("[" * 4000)),
    "zeros without end": lambda: changed("times", header("{}", bytes(2**24))),
}


@pytest.mark.parametrize("attack", MOTIONS)
def test_attacks_on_npz(tmp_path, monkeypatch, attack):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "hostile.npz"
    path.write_bytes(MOTIONS[attack]())
    with pytest.raises(InputError, match=r"hostile\.npz"):
        store.load(path)
    assert not Path("harmed").exists()


def test_a_zip_bomb_is_refused_unread(tmp_path):
    """A member whose directory entry promises 3 GiB."""
    data = bytearray(changed("times", bytes(100_000)))
    at = data.rindex(b"times.npy") - 46
    data[at + 24 : at + 28] = struct.pack("<I", 3 * 2**30)
    path = tmp_path / "bomb.npz"
    path.write_bytes(bytes(data))
    with pytest.raises(LimitError, match=r"bomb\.npz unpacks"):
        store.load(path)


def test_errors_are_for_people(tmp_path):
    path = tmp_path / "hostile.safetensors"
    for content in ATTACKS.values():
        path.write_bytes(content)
        with pytest.raises(GiocondaError) as told:
            identity.read(path)
        assert len(str(told.value).splitlines()) == 1
        assert len(str(told.value)) < 400
