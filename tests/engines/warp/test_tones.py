"""What is painted into an overexposed, faded or dark picture has the picture's own tones."""

import numpy as np
import pytest

import gioconda
from gioconda import face
from gioconda.engines.warp.mesh import load_topology
from gioconda.engines.warp.mouth import build_mouth
from gioconda.motion.templates import template

LUMA = np.array([0.299, 0.587, 0.114])
FIELDS = ("times", "rotation", "translation", "scale", "expression", "gaze", "confidence")


def overexposed(image):
    """The picture as a long exposure shows it: most of the skin is white, and black is grey."""
    return np.clip(1.2 * image.astype(np.float32) + 100, 0, 255).astype(np.uint8)


def faded(image):
    """The picture in grey, with a fifth of its contrast."""
    return np.repeat(np.rint(95 + 0.2 * (image @ LUMA))[..., None], 3, 2).astype(np.uint8)


def dark(image):
    """The picture with 15% of its light."""
    return np.rint(0.15 * image).astype(np.uint8)


def with_open_mouth(image):
    """A crop at rest and with an open mouth, (2, 256, 256, 3), and where the mouth is, (256, 256) bool."""
    whole = template("talk")
    jaw = whole.expression[:, gioconda.types.ARKIT_INDEX["jawOpen"]]
    some = [0, int(jaw.argmax())]
    motion = whole.with_(**{name: getattr(whole, name)[some] for name in FIELDS}, reference=0)
    rest, opened = (frame.image for frame in gioconda.frames(image, motion, crop=True, size=256))
    ring = face.detect_faces(opened)[0].landmarks[load_topology().inner_lips, :2]
    inside = np.zeros((256, 256), bool)
    (left, top), (right, low) = ring.min(0).astype(int), ring.max(0).astype(int)
    inside[top : low + 1, left : right + 1] = True
    return rest, opened, inside


@pytest.mark.slow
@pytest.mark.parametrize("change", [overexposed, faded, dark])
def test_an_open_mouth_has_the_pictures_own_range(astronaut_image, change):
    rest, opened, inside = with_open_mouth(change(astronaut_image))
    plain_rest, plain, _ = with_open_mouth(astronaut_image)
    wanted = change(plain)[inside] @ LUMA
    got = opened[inside] @ LUMA
    darkest, lightest = np.percentile(change(plain_rest) @ LUMA, [0.5, 99.5])
    assert got.min() > darkest - 12
    assert got.max() < lightest + 12
    # Nearly as if the picture were changed after the mouth was opened.
    assert abs(np.median(got) - np.median(wanted)) < 0.3 * (lightest - darkest)
    assert np.abs(rest[inside].astype(int) - change(plain_rest)[inside]).mean() < 0.15 * (lightest - darkest)


def test_an_overexposed_mouth_keeps_its_colour_and_a_grey_one_has_none(astronaut_image):
    for change, colour in ((overexposed, 1.0), (faded, 0.0)):
        image = change(astronaut_image)
        landmarks = face.detect_faces(image)[0].landmarks
        mouth = build_mouth(image, landmarks, load_topology())
        assert not mouth.tones.usual
        assert mouth.colour == pytest.approx(colour, abs=0.05)


def test_most_pictures_are_left_alone(astronaut_image):
    landmarks = face.detect_faces(astronaut_image)[0].landmarks
    for image in (astronaut_image, dark(astronaut_image)):
        tones = build_mouth(image, landmarks, load_topology()).tones
        assert tones.usual
        content = np.ones((2, 2, 3), np.float32)
        assert tones.place(content, landmarks[0]) is content
        assert tones.limit(content, image[:2, :2]) is content
