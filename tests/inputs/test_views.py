"""Whether two pictures of a person show one view: the same camera, room, light and clothes."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from gioconda import composite
from gioconda.inputs.portrait import load_portraits, person_around
from gioconda.inputs.views import shows_same_view
from gioconda.tracking import tracked_frames
from gioconda.types import Portrait


@pytest.fixture(scope="module")
def portrait(astronaut):
    """A still portrait with the person's mask."""
    return load_portraits(astronaut, chosen=0, crop=False, size=None).portraits[0]


def painted(portrait, image):
    """The same face in another picture."""
    return replace(portrait, image=np.ascontiguousarray(np.clip(image, 0, 255).astype(np.uint8)))


def test_frames_of_one_film_show_one_view(driver):
    photos = [
        Portrait(frame.image, tracked, person=person_around(frame.image, tracked))
        for k, (frame, tracked, *_) in enumerate(tracked_frames(driver, one_person=True))
        if k % 8 == 0 and tracked is not None
    ]
    assert len(photos) > 4
    assert np.abs(photos[0].face.landmarks - photos[-1].face.landmarks).max() > 1, "the head moves"
    assert all(shows_same_view(photos[0], photo) for photo in photos)


def test_a_picture_shows_its_own_view(portrait):
    noise = np.random.default_rng(3).normal(0, 4, portrait.image.shape)
    assert shows_same_view(portrait, portrait)
    assert shows_same_view(portrait, painted(portrait, portrait.image + noise))


def test_another_crop_is_another_view(portrait):
    height, width = portrait.image.shape[:2]
    left, top, side = 40, 10, 400
    image = cv2.resize(portrait.image[top : top + side, left : left + side], (width, height))
    face = composite.move_face(portrait.face, (left, top), (width / side, height / side))
    assert not shows_same_view(portrait, Portrait(image, face, person=person_around(image, face)))


def test_another_size_is_another_view(portrait):
    smaller = cv2.resize(portrait.image, None, fx=0.5, fy=0.5)
    assert not shows_same_view(portrait, replace(portrait, image=smaller, person=portrait.person[::2, ::2]))


def test_a_background_that_has_moved_is_another_view(portrait):
    person = portrait.person[..., None]
    behind = np.roll(portrait.image, 60, 1)
    assert not shows_same_view(portrait, painted(portrait, person * portrait.image + (1 - person) * behind))


def test_other_clothes_are_another_view(portrait):
    below = (np.arange(len(portrait.image)) > portrait.face.landmarks[:, 1].max() + 20)[:, None, None]
    shirt = below * portrait.person[..., None]
    image = (1 - shirt) * portrait.image + shirt * np.array([40, 90, 200])
    assert not shows_same_view(portrait, painted(portrait, image))


@pytest.mark.parametrize("light", [(0.6, 0.6, 0.6), (1.0, 0.95, 0.6)])
def test_another_light_is_another_view(portrait, light):
    assert not shows_same_view(portrait, painted(portrait, portrait.image * np.array(light)))


def test_without_a_mask_nothing_is_known(portrait):
    assert not shows_same_view(portrait, replace(portrait, person=None))


def test_another_person_by_the_same_camera_is_another_view(portrait, astronaut_image):
    """A face of other colours in front of the same background."""
    low, high = (
        portrait.face.landmarks[:, :2].min(0).astype(int),
        portrait.face.landmarks[:, :2].max(0).astype(int),
    )
    image = astronaut_image.astype(np.float32)
    image[low[1] : high[1], low[0] : high[0]] *= 0.6
    assert not shows_same_view(portrait, painted(portrait, image))
