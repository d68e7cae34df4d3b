"""A part of a driving video is used as if the video had been cut before."""

from contextlib import closing
from itertools import islice

import cv2
import numpy as np
import pytest

import gioconda
from gioconda import media
from gioconda.assets import asset_path
from gioconda.engines.warp.mesh import load_topology
from gioconda.errors import InputError
from gioconda.face import detect_faces
from gioconda.inputs import driver
from gioconda.inputs.motion import load_motion
from gioconda.inputs.portrait import load_portraits
from gioconda.landmarks import inter_ocular
from gioconda.motion.retarget import RetargetedMotion, Style
from gioconda.types import ARKIT_INDEX, DrivingPart

INNER_LIPS = load_topology().inner_lips


def test_a_part_of_a_driver_moves_the_portrait_as_that_part_of_the_film(talking_astronaut):
    jaw = ARKIT_INDEX["jawOpen"]
    whole = gioconda.track(talking_astronaut)
    part = gioconda.track(talking_astronaut, start=0.4, end=1.2)
    begin, step = int(np.searchsorted(whole.times, 0.4)), float(np.diff(whole.times).mean())
    assert part.times[0] == 0
    assert len(part) == pytest.approx(0.8 / step, abs=1)
    same = whole.expression[begin : begin + len(part), jaw]
    assert np.corrcoef(part.expression[:, jaw], same)[0, 1] > 0.98
    with pytest.raises(InputError, match=r"no frame from 60 s on; it ends at 1\.5"):
        gioconda.track(talking_astronaut, start=60)
    with pytest.raises(InputError, match="must end after it begins"):
        gioconda.Animate("a.png", "b.mp4", "c.mp4", start=2, end=1)
    with pytest.raises(InputError, match="must end after it begins"):
        gioconda.track(talking_astronaut, start=1, end=0.5)
    with pytest.raises(InputError, match="leave out --start and --end"):
        gioconda.animate(asset_path("astronaut.jpg"), "nod", "c.mp4", start=1)


@pytest.mark.parametrize("most_bytes", [driver.MOST_BYTES, 0], ids=["kept", "decoded again"])
def test_the_mouths_of_a_part_come_from_the_frames_of_that_part(talking_astronaut, monkeypatch, most_bytes):
    monkeypatch.setattr(driver, "MOST_BYTES", most_bytes)
    source = load_motion(talking_astronaut, lambda *_: None, part=DrivingPart(start=0.6, end=1.4))
    portrait = load_portraits(asset_path("astronaut.jpg"), chosen=0, crop=True, size=256).portraits[0]
    retargeted = RetargetedMotion(source.motion, portrait, Style())
    with closing(source.driver.mouths(source.motion, retargeted)) as endless:
        mouths = list(islice(endless, len(source.motion)))
    with media.read_frames(talking_astronaut) as frames:
        film = list(frames)
    times = np.array([frame.time for frame in film])
    for mouth, time in zip(mouths, source.motion.times, strict=True):
        shown = film[int(np.abs(times - 0.6 - time).argmin())].image
        distance, _, corner, _ = cv2.minMaxLoc(cv2.matchTemplate(shown, mouth.image, cv2.TM_SQDIFF_NORMED))
        assert distance < 1e-6
        (face,) = detect_faces(shown)
        apart = mouth.landmarks[INNER_LIPS, :2] + corner - face.landmarks[INNER_LIPS, :2]
        assert np.abs(apart).max() < 0.1 * inter_ocular(face.landmarks)
    kept_less = mouths[0].image.size < film[0].image.size
    assert kept_less == bool(most_bytes)
