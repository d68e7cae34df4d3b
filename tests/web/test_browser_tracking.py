"""The tracker in the browser gives the landmarks that `gioconda.face.FaceTracker` gives."""

import re

import cv2
import numpy as np
import pytest

from gioconda.face import FaceTracker
from gioconda.landmarks import mirror_table
from page_world import evaluated
from places import ROOT
from tracking_world import track_in, tracking_page

pytestmark = pytest.mark.xdist_group("page")

MIRROR = ROOT / "web" / "app" / "src" / "tracking" / "mirror.ts"
SIZE = (640, 480)
"""Of the camera's pictures, pixels."""
FACE = (226, 110)
"""Centre of the astronaut's face in her picture, pixels."""
FARTHEST = 1.0
"""Pixels from where the server's tracker sees a landmark."""


def camera_frame(image, time):
    """What a camera sees of a picture after some seconds, while the head moves, leans and comes near."""
    turn = cv2.getRotationMatrix2D(FACE, 9 * np.sin(6 * time), 1.7 + 1.3 * time)
    turn[:, 2] += (320 - FACE[0] + 60 * np.sin(9 * time), 240 - FACE[1] + 20 * np.cos(7 * time))
    return cv2.warpAffine(image, turn, SIZE, borderMode=cv2.BORDER_REPLICATE)


def landmarks_on_server(images):
    with FaceTracker() as tracker:
        tracked = [tracker.process(image) for image in images]
    return [faces[0].landmarks if faces else None for faces in tracked]


@pytest.fixture(scope="module")
def page():
    with tracking_page() as page:
        yield page


@pytest.mark.slow
def test_the_browser_tracks_as_the_server_does(astronaut_image, page):
    moving = [camera_frame(astronaut_image, k / 8) for k in range(0, 9, 2)]
    lost = np.zeros((96, 128, 3), np.uint8)
    lying = np.ascontiguousarray(np.rot90(astronaut_image[:256, 90:346]))
    images = [*moving, lost, lying]
    expected = landmarks_on_server(images)
    assert [k for k, landmarks in enumerate(expected) if landmarks is None] == [len(moving)]
    answer = track_in(page, images)
    faces = answer["faces"]
    times = [face["milliseconds"] for face in faces[1 : len(moving)]]
    print(f"{np.median(times):.0f} ms a frame, {min(times):.0f} at best; fast enough: {answer['fast']}")  # noqa: T201
    assert answer["isolated"]
    for k, (face, landmarks) in enumerate(zip(faces, expected, strict=True)):
        assert (face is None) == (landmarks is None), k
        if landmarks is not None:
            assert face["landmarks"].shape == landmarks.shape
            assert np.abs(face["landmarks"] - landmarks).max() < FARTHEST, k
            assert face["seconds"] == pytest.approx(k / 25)
    # A frame of a video is as good as a picture.
    assert np.abs(answer["video"] - expected[-1]).max() < FARTHEST
    assert "RangeError" in answer["late"]
    assert answer["closed"] == [None, None]


@pytest.mark.slow
def test_a_page_without_the_networks_cannot_track(page):
    page.goto(f"{page.url}elsewhere/")
    assert evaluated(page, "() => import('/tracking.js').then(({canTrack}) => canTrack())") is False
    told = evaluated(
        page, "() => import('/tracking.js').then(({createTracker}) => createTracker().catch(String))"
    )
    assert ".onnx is missing on the server" in told


@pytest.mark.skipif(not MIRROR.is_file(), reason="the source archive has no sources of the page")
def test_the_browser_knows_the_same_mirror_images():
    source = MIRROR.read_text(encoding="utf-8")
    numbers = source[source.index("= [") :]
    assert [int(number) for number in re.findall(r"\d+", numbers)] == mirror_table().tolist()
