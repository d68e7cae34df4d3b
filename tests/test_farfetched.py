"""Files that are sound in form and hold what no face does: refused when they are read, not where they would break."""

import numpy as np
import pytest

from corpus import seeds
from gioconda.engines.fewshot import identity
from gioconda.errors import GiocondaError, InputError, LimitError, WeightsError
from gioconda.landmarks import is_facelike
from gioconda.lipsync import database
from gioconda.motion import store
from gioconda.motion.expression import load_basis
from gioconda.motion.pose import rotation_from_euler


@pytest.fixture
def seed(tmp_path):
    """Writes one of the corpus's whole files."""

    def write(name):
        seeds.SEEDS[name][1](tmp_path / name)
        return tmp_path / name

    return write


def one(*values):
    return np.array(values)


FAR_MOTIONS = {
    "times": one(0, 1e300),
    "scale": one(1, 1e30),
    "translation": one([0, 0], [1e38, 0]),
    "gaze": one([0, 0], [0, -1e30]),
    "residual": np.full((2, 478, 3), 65504),
    "neutral": np.zeros((478, 3)),
    "rotation": np.zeros((2, 3, 3)),
    "unit": np.float64(-1),
}


@pytest.mark.parametrize("name", FAR_MOTIONS)
def test_motions_of_no_face(seed, name):
    path = seed("residual.npz")
    assert len(store.load(path)) == 2
    with np.load(path, allow_pickle=False) as data:
        arrays = dict(data)
    arrays[name] = FAR_MOTIONS[name].astype(arrays[name].dtype)
    np.savez(path, **arrays)
    with pytest.raises(InputError, match="residual") as told:
        store.load(path)
    assert isinstance(told.value, LimitError) == (name == "times")


def changed(path, **arrays):
    """The same safetensors file with other arrays."""
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file

    with safe_open(path, "np") as file:
        told = file.metadata()
    save_file({**load_file(path), **arrays}, path, told)


NO_FACES = {
    "nothing": np.zeros((478, 3)),
    "far": np.full((478, 3), 1e30),
    "noise": np.random.default_rng(0).normal(32, 9, (478, 3)),
    "line": load_basis().neutral * (0, 20, 0) + 32,
}


@pytest.mark.parametrize("kind", NO_FACES)
@pytest.mark.parametrize(
    ("name", "array", "read"),
    [
        ("person.safetensors", "landmarks", identity.read),
        ("mouths.safetensors", "head", database.read),
        ("mouths.safetensors", "rest", database.read),
    ],
)
def test_files_of_people_without_a_face(seed, name, array, read, kind):
    path = seed(name)
    read(path)
    changed(path, **{array: NO_FACES[kind].astype(np.float32)})
    with pytest.raises((InputError, WeightsError), match=name) as told:
        read(path)
    assert isinstance(told.value, GiocondaError)


@pytest.mark.parametrize(("yaw", "pitch", "roll"), [(0, 0, 0), (50, 0, 0), (0, 40, 0), (-30, -30, 170)])
def test_faces_are_faces_however_turned(yaw, pitch, roll):
    turned = load_basis().neutral @ rotation_from_euler(yaw, pitch, roll).reshape(3, 3).T
    assert is_facelike((turned * 80 + 300).astype(np.float32))


def test_a_tracked_portrait_is_a_face(astronaut_image):
    from gioconda import face

    assert all(is_facelike(found.landmarks) for found in face.detect_faces(astronaut_image))


@pytest.mark.parametrize("samples", [1, 159, 160, 161, 321])
def test_a_sound_of_a_moment_is_a_motion(tmp_path, samples):
    from gioconda import media
    from gioconda.inputs.speech import motion_of_sound

    path = media.write_sound(tmp_path / "click.wav", np.ones(samples, np.float32), 16000)
    assert len(motion_of_sound(path, lambda *_: None)) == 1
