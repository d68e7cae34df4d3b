"""Files whose names are not UTF-8, as disks of other decades have them, through the program itself."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from gioconda import media
from media_factory import write_clip

PICTURE, FILM, SOUND = b"foto-\xe9t\xe9.jpg", b"film-\xe9t\xe9.mp4", b"voix-\xe9.wav"


def gioconda(folder, *arguments):
    """Run the program in a folder; its exit code, standard output and standard error."""
    words = [os.fsencode(argument) for argument in arguments]
    command = [os.fsencode(sys.executable), b"-m", b"gioconda", *words]
    # Terminals of most languages are strict.
    strict = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run(command, cwd=folder, env=strict, capture_output=True, check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.fixture(scope="module")
def folder(talking_astronaut, tmp_path_factory):
    """A folder in Latin-1 with a picture, a film of 12 frames and a second of silence."""
    place = tmp_path_factory.mktemp("names") / os.fsdecode(b"\xe9t\xe9")
    try:
        place.mkdir()
    except (OSError, UnicodeDecodeError):
        pytest.skip("this file system takes UTF-8 names only")
    plain = tmp_path_factory.mktemp("plain")
    with media.read_frames(talking_astronaut) as frames:
        images = [frame.image for frame, _ in zip(frames, range(12), strict=False)]
    media.write_picture(plain / "face.jpg", images[0])
    write_clip(plain / "film.mp4", images)
    media.write_sound(plain / "voice.wav", np.zeros(8000, np.float32), 16000)
    for made, name in (("face.jpg", PICTURE), ("film.mp4", FILM), ("voice.wav", SOUND)):
        shutil.copy(plain / made, place / os.fsdecode(name))
    return place


def inputs_of(folder, name):
    """The names of the inputs in the manifest of a file, which is checked to be valid."""
    code, out, _ = gioconda(folder, "verify", "--json", name)
    verdict = json.loads(out)
    assert code == 0, verdict
    assert verdict["path"].encode()
    return [entry["name"] for entry in verdict["manifest"]["inputs"]]


def test_a_picture_is_edited_and_signed(folder):
    code, out, err = gioconda(folder, "edit", PICTURE, "--yaw", "8", "-o", b"mod-\xe9.png")
    assert (code, err) == (0, "")
    assert out.startswith("mod-?.png: ")
    assert inputs_of(folder, b"mod-\xe9.png")[0] == "foto-\ufffdt\ufffd.jpg"


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        (b"animate", PICTURE, b"--motion", FILM, b"-o", b"out-\xe9.mp4"),
        (b"speak", FILM, b"--audio", SOUND, b"-o", b"out-\xe9.webm"),
    ],
    ids=["animate", "speak"],
)
def test_a_film_is_made_and_signed(folder, words):
    code, out, err = gioconda(folder, *words)
    assert code == 0, err
    assert out.startswith("out-?")
    names = inputs_of(folder, words[-1])
    assert "film-\ufffdt\ufffd.mp4" in names
    assert len(names) == 2


def test_what_is_missing_is_named(folder):
    code, _, err = gioconda(folder, "edit", b"nicht-\xe4.jpg", "-o", "out.png")
    assert code == 2
    assert "nicht-?.jpg does not exist" in err
