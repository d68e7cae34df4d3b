"""The size of a result: what is asked for, what is told."""

import cv2
import numpy as np
import pytest

import gioconda
from gioconda import composite, face
from gioconda.limits import WHOLE_SIDE


@pytest.fixture(scope="module")
def small(astronaut_image):
    """A portrait of 240x256 pixels."""
    return np.ascontiguousarray(astronaut_image[:256, 100:340])


def test_a_small_picture_is_enlarged_as_asked_and_that_is_told(small, tmp_path):
    plain = gioconda.edit(small, tmp_path / "plain.png", yaw=10)
    large = gioconda.edit(small, tmp_path / "large.png", yaw=10, size=512)
    assert (plain.size, plain.warnings) == ((240, 256), ())
    assert large.size == (480, 512)
    assert large.warnings == (
        "array: the picture has 240x256 pixels and is enlarged to 480x512, which adds no detail",
    )
    first, second = (cv2.imread(str(result.path)).astype(np.float32) for result in (plain, large))
    assert second.shape == (512, 480, 3)
    back = cv2.resize(second, (240, 256), interpolation=cv2.INTER_AREA)
    assert np.abs(back - first).mean() < 3


def test_frames_are_enlarged_too_and_the_label_stays_sharp(small):
    frame = next(gioconda.frames(small, "smile", size=384, label=True))
    assert frame.image.shape == (384, 360, 3)
    # A label that was drawn before the picture grew would have no such steps in brightness.
    steps = np.abs(np.diff(frame.image[..., 1].astype(int), axis=1))
    assert steps[-60:].max() > 100
    assert face.detect_faces(frame.image)


def test_enlarging_keeps_edges_sharper_than_a_linear_filter():
    edge = np.zeros((64, 64, 3), np.uint8)
    edge[:, 32:] = 200
    steps = [
        np.abs(np.diff(image.astype(int), axis=1)).max()
        for image in (composite.enlarge(edge, (256, 256)), cv2.resize(edge, (256, 256)))
    ]
    assert steps[0] > 1.1 * steps[1]


def test_a_large_picture_says_that_it_is_reduced(astronaut_image, tmp_path):
    wide = np.full((512, 1600, 3), 150, np.uint8)
    wide[:, 500:1012] = astronaut_image
    result = gioconda.edit(wide, tmp_path / "reduced.png", yaw=5)
    assert result.size == (WHOLE_SIDE, 410)
    assert "the picture has 1600x512 pixels and is reduced to 1280x410" in result.warnings[0]
    assert "--size" in result.warnings[0]
    assert gioconda.edit(wide, tmp_path / "asked.png", yaw=5, size=800).warnings == ()


def test_a_crop_beyond_the_pictures_pixels_is_told(small, tmp_path):
    result = gioconda.edit(small, tmp_path / "crop.png", yaw=5, crop=True, size=512)
    assert result.size == (512, 512)
    assert "the square around the face has" in result.warnings[0]
