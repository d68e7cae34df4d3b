"""The examples of docs/extending.md, installed as other packages would be, and used by the program."""

import json
import os
import re
import struct
import subprocess
import sys

import cv2
import numpy as np
import pytest

import gioconda
from gioconda import media
from gioconda.errors import InputError
from gioconda.registry import MotionEntry
from gioconda.types import ARKIT_INDEX
from live_world import picture_of
from places import ROOT
from programs import address_of, running
from web_world import serve_command

DOCS = ROOT / "docs" / "extending.md"
# Seconds for an answer of a server.
WAIT_SECONDS = 60.0
POINTS = {
    "gioconda_sepia": "[gioconda.engines]\nsepia = gioconda_sepia:ENGINE\n",
    "gioconda_jaw": "[gioconda.motions]\njaw = gioconda_jaw:MOTION\n",
    "gioconda_osc": "[gioconda.streams]\nosc = gioconda_osc:STREAM\n",
}


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """A folder with both examples and what an installer writes beside them."""
    folder = tmp_path_factory.mktemp("site")
    text = DOCS.read_text(encoding="utf-8")
    for name, code in re.findall(r"<!-- example: (\S+) -->\n```python\n(.*?)```", text, re.DOTALL):
        (folder / name).write_text(code, encoding="utf-8")
    for name, points in POINTS.items():
        told = folder / f"{name}-1.dist-info"
        told.mkdir()
        (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        (told / "entry_points.txt").write_text(points)
    return folder


def beside(packages):
    """The environment of a program that finds the packages."""
    paths = os.pathsep.join(filter(None, (str(packages), os.environ.get("PYTHONPATH", ""))))
    return {**os.environ, "PYTHONPATH": paths}


def program(packages, *words):
    command = [sys.executable, "-m", "gioconda", *map(str, words)]
    return subprocess.run(
        command,
        env=beside(packages),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_examples_are_short():
    examples = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    lines = [[line for line in code.splitlines() if line.strip()] for code in examples]
    assert len(lines) == 4
    assert max(map(len, lines)) <= 24


@pytest.mark.slow
def test_another_packages_engine_and_motion_make_a_signed_film(packages, astronaut, tmp_path):
    (tmp_path / "a.jaw").write_text("jaw 1\n0.4 0.0\n0.8 0.7\n")
    out = tmp_path / "out.mp4"
    made = program(
        packages,
        *("animate", astronaut, "--motion", tmp_path / "a.jaw", "--engine", "sepia"),
        *("--crop", "--size", 256, "-o", out),
    )
    assert made.returncode == 0, made.stderr
    assert gioconda.verify(out).status == "ours"
    with media.read_frames(out) as frames:
        images = [frame.image for frame in frames]
    middle = images[-1][60:200, 60:200].reshape(-1, 3).mean(0)
    assert middle[0] > middle[1] > middle[2] + 5, "sepia"
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(int) for image in (images[0], images[-1])]
    assert np.abs(grey[1] - grey[0])[140:220, 80:180].mean() > 2, "the mouth opens"


@pytest.mark.slow
def test_what_the_engine_does_not_heed_and_a_bad_file_are_refused(packages, astronaut, tmp_path):
    words = ("animate", astronaut, "--engine", "sepia", "-o", tmp_path / "out.mp4", "--motion")
    told = program(packages, *words, "nod", "--absolute")
    assert told.returncode == 2
    assert "--absolute does not apply to the engine sepia" in told.stderr
    (tmp_path / "a.jaw").write_text("jaw 1\nwide\n")
    told = program(packages, *words, tmp_path / "a.jaw")
    assert told.returncode == 2
    assert "a.jaw is not a jaw file" in told.stderr
    assert "a jaw file (.jaw)" in program(packages, "animate", "--help").stdout.replace("\n" + " " * 34, " ")


@pytest.fixture
def live(packages, astronaut, tmp_path):
    """The connection to a session of a server that finds the packages, after its first message, and that message."""
    httpx, sockets = pytest.importorskip("httpx"), pytest.importorskip("websockets.sync.client")
    log = tmp_path / "log"
    command = [*serve_command(tmp_path), "--no-page"]
    with log.open("w") as errors, running(command, stderr=errors, env=beside(packages)) as server:
        address = address_of(server, log)
        fields = {"use": "live", "rights": "A public-domain portrait.", "side": 256}
        parts = {"session": (None, json.dumps(fields)), "portrait": astronaut.read_bytes()}
        session = httpx.post(f"{address}/v1/sessions", files=parts, timeout=90).json()["id"]
        with sockets.connect(f"{address.replace('http', 'ws')}/v1/sessions/{session}/stream") as socket:
            yield socket, json.loads(socket.recv(WAIT_SECONDS))


@pytest.mark.slow
def test_another_packages_stream_drives_a_live_portrait(live):
    socket, state = live
    assert {"number": 16, "name": "osc"} in state["streams"]
    pictures = []
    for value in (0.0, 0.8):
        socket.send(b"\x10/jawOpen\0\0\0\0,f\0\0" + struct.pack(">f", value))
        assert json.loads(socket.recv(WAIT_SECONDS))["found"]
        pictures.append(picture_of(socket.recv(WAIT_SECONDS)[9:]).astype(int))
    assert np.abs(pictures[1] - pictures[0])[140:220, 80:180].mean() > 2, "the mouth opens"
    for wrong in (b"\x10/jawOpen\0\0\0\0,i\0\0" + bytes(4), b"\x10/nose\0,f\0\0" + bytes(4), b"\x10"):
        socket.send(wrong)
        assert json.loads(socket.recv(WAIT_SECONDS))["type"] == "error"


def test_a_motion_built_by_hand_is_what_it_says():
    text = DOCS.read_text(encoding="utf-8")
    code = next(
        code for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "def motion_of" in code
    )
    names = {}
    exec(compile(code, str(DOCS), "exec"), names)  # noqa: S102 (our own page)
    motion = names["motion_of"](np.arange(500) / 2, np.linspace(0, 1, 500))
    assert motion.times[-1] > 200
    np.testing.assert_allclose(
        motion.expression[:, ARKIT_INDEX["jawOpen"]], np.linspace(0, 1, 500), atol=1e-6
    )


def test_a_broken_extension_breaks_nothing_else(tmp_path, astronaut):
    (tmp_path / "gioconda_broken.py").write_text("raise RuntimeError('no such device')\n")
    (tmp_path / "gioconda_odd.py").write_text("MOTION = 'nothing'\n")
    (tmp_path / "gioconda_far.py").write_text(
        "from gioconda.registry import StreamEntry\nSTREAM = StreamEntry('far', 300, 'x', 'a:b')\n"
    )
    for name, points in {
        "gioconda_broken": "[gioconda.motions]\nbroken = gioconda_broken:MOTION\n",
        "gioconda_odd": "[gioconda.engines]\nodd = gioconda_odd:MOTION\n",
        "gioconda_far": "[gioconda.streams]\nfar = gioconda_far:STREAM\n",
    }.items():
        info = tmp_path / f"{name}-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        (info / "entry_points.txt").write_text(points)
    assert program(tmp_path, "edit", "--list").returncode == 0
    assert program(tmp_path, "verify", astronaut).returncode == 3
    report = program(tmp_path, "doctor")
    assert report.returncode == 1
    assert "broken of gioconda_broken 1 cannot be loaded: RuntimeError: no such device" in report.stdout
    assert "odd of gioconda_odd 1 is no EngineEntry" in report.stdout
    assert "far of gioconda_far 1 cannot be loaded: InputError: the number 300" in report.stdout


@pytest.mark.parametrize(
    "wrong", [{"suffix": "mid"}, {"suffix": ".MID"}, {"begins": b"MThd"}], ids=["dot", "case", "bytes"]
)
def test_an_entry_that_could_never_match_is_refused(wrong):
    with pytest.raises(InputError):
        MotionEntry(
            **{"suffix": ".mid", "describes": "a MIDI file", "begins": (b"MThd",), "reads": "m:f", **wrong}
        )
