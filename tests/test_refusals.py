"""What makes no sense, or cannot be used, is refused in a sentence before any work."""

import numpy as np
import pytest

import gioconda
from gioconda import media
from gioconda.errors import InputError, NoFaceError, WeightsError

MOTION = "nod"


def test_a_photo_without_a_face_is_named(astronaut, tmp_path):
    photo = tmp_path / "wall.png"
    media.write_picture(photo, np.full((200, 200, 3), 128, np.uint8))
    with pytest.raises(NoFaceError, match=r"wall\.png"):
        gioconda.frames(astronaut, MOTION, photos=[photo])


def test_a_network_may_be_named_and_is_checked(astronaut, tmp_path):
    file = tmp_path / "mine.onnx"
    file.write_bytes(b"not a network")
    with pytest.raises(WeightsError, match=r"mine\.onnx"):
        gioconda.frames(astronaut, MOTION, refine=file)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"engine": "magic"}, InputError, "choose one of warp"),
        ({"strength": -1}, InputError, "strength"),
        ({"region": "nose"}, InputError, "region"),
        ({"face": 7}, NoFaceError, "1 found"),
        ({"face": "both"}, InputError, "all"),
        ({"size": 9}, InputError, "outside 64 to 4096 pixels"),
        ({"size": 10**6}, InputError, "outside 64 to 4096 pixels"),
        ({"size": True}, InputError, "size True is outside"),
        ({"crop": "yes"}, InputError, "neither True nor False"),
        ({"weights": "mine.safetensors"}, InputError, "does not apply to the engine warp"),
        ({"bank": "b.safetensors"}, InputError, "choose the engine lipsync"),
        (
            {"engine": "fewshot", "refine": "b.onnx"},
            InputError,
            "refine does not apply to the engine fewshot",
        ),
    ],
)
def test_options_that_make_no_sense_are_refused_before_any_work(astronaut, options, error, words):
    with pytest.raises(error, match=words):
        gioconda.frames(astronaut, MOTION, **options)


def test_a_face_cut_by_the_edge_is_told(astronaut_image):
    with pytest.raises(NoFaceError, match="edge cuts through the face"):
        gioconda.frames(np.ascontiguousarray(astronaut_image[:300, :233]), MOTION)


@pytest.mark.parametrize(
    "array",
    [np.zeros((5, 5), np.uint8), np.zeros((5, 5, 3)), np.zeros((0, 5, 3), np.uint8), np.zeros((5, 5, 4))],
)
def test_arrays_that_are_no_pictures_are_told(array):
    with pytest.raises(InputError, match="uint8 RGB"):
        gioconda.frames(array, MOTION)


def test_of_a_video_portrait_only_the_largest_face_moves(driver):
    with pytest.raises(InputError, match="largest face"):
        gioconda.frames(driver, MOTION, face=1)
