"""A video portrait and a driver of other rates: by time, to the video's end and beyond; faces that come late."""

import re

import cv2
import numpy as np
import pytest

import gioconda
from gioconda import media
from gioconda.inputs.portrait import load_portraits, nearest_in_time
from gioconda.motion.templates import template
from gioconda.types import Frame
from media_factory import write_clip

STRIP = 16  # rows at the top of a picture, whose brightness tells the time


@pytest.mark.parametrize("film_rate", [12, 25, 60])
@pytest.mark.parametrize("output_rate", [12, 25, 50])
def test_each_moment_shows_the_nearest_frame(film_rate, output_rate):
    picture = np.zeros((2, 2, 3), np.uint8)
    film = [(Frame(picture, k / film_rate), None) for k in range(2 * film_rate)]
    times = np.arange(2 * output_rate) / output_rate
    shown = np.array([frame.time for frame, _ in nearest_in_time(iter(film), times.tolist())])
    inside = times <= film[-1][0].time
    assert np.abs(shown - times)[inside].max() <= 0.5 / film_rate + 1e-9
    assert (shown[~inside] == film[-1][0].time).all()


def test_over_a_gap_the_frame_before_it_stays():
    picture = np.zeros((2, 2, 3), np.uint8)
    film = [(Frame(picture, time), None) for time in (0.0, 0.04, 1.04, 1.08)]
    times = np.arange(0, 1.1, 0.02)
    shown = np.array([frame.time for frame, _ in nearest_in_time(iter(film), times.tolist())])
    assert (shown[(times > 0.05) & (times < 0.98)] == 0.04).all()
    assert (shown[times > 1.03] >= 1.04).all()


@pytest.fixture(scope="module")
def clock(talking_astronaut, tmp_path_factory):
    """A film of a person at 25 frames a second, whose upper edge grows brighter with time; 1.6 s."""
    path = tmp_path_factory.mktemp("clock") / "clock.mp4"
    images = []
    with media.read_frames(talking_astronaut) as frames:
        for frame in frames:
            images.append(frame.image.copy())
            images[-1][:STRIP] = round(40 + 120 * frame.time)
    return write_clip(path, images)


def told_time(image):
    """What the clock of a picture tells, in seconds."""
    return (float(image[: STRIP - 4].mean()) - 40) / 120


@pytest.mark.slow
@pytest.mark.parametrize("rate", [12.5, 50.0])
def test_a_driver_of_another_rate_does_not_change_the_films_speed(clock, tmp_path, rate):
    whole = template("nod")
    count = int(1.4 * rate)
    fields = ("rotation", "translation", "scale", "expression", "gaze", "confidence")
    motion = whole.with_(
        times=np.arange(count) / rate,
        **{name: np.repeat(getattr(whole, name)[:1], count, 0) for name in fields},
    )
    out = tmp_path / "out.mp4"
    gioconda.animate(clock, motion, out)
    with media.read_frames(out) as frames:
        apart = [told_time(frame.image) - frame.time for frame in frames]
    assert np.abs(apart).max() < 0.06


@pytest.mark.slow
def test_a_film_that_ends_early_is_held_and_says_so(clock, tmp_path):
    out = tmp_path / "out.mp4"
    result = gioconda.animate(clock, "smile", out)
    assert any("its last frame is held" in warning for warning in result.warnings)
    with media.read_frames(out) as frames:
        last = list(frames)[-1]
    assert last.time > 2
    assert told_time(last.image) == pytest.approx(1.56, abs=0.08)


@pytest.fixture(scope="module")
def late(talking_astronaut, tmp_path_factory):
    """A film whose first two seconds are a title without a face."""
    path = tmp_path_factory.mktemp("late") / "late.mp4"
    with media.read_frames(talking_astronaut) as frames:
        images = [frame.image for frame in frames]
    title = np.full_like(images[0], 30)
    cv2.putText(title, "A FILM", (20, 140), cv2.FONT_HERSHEY_SIMPLEX, 1.5, (250, 250, 250), 3)
    return write_clip(path, [*[title] * 50, *images])


@pytest.mark.slow
def test_a_title_stays_as_it_is_and_the_face_after_it_is_found(late, tmp_path):
    assert load_portraits(late, chosen=0, crop=False, size=None).portraits
    out = tmp_path / "out.mp4"
    result = gioconda.animate(late, "smile", out)
    assert any(re.search(r"face first appears at 2\.[0-2] s", note) for note in result.warnings)
    with media.read_frames(late) as before, media.read_frames(out) as after:
        pairs = list(zip(before, after, strict=False))
    changes = [np.abs(a.image.astype(int) - b.image).mean() for a, b in pairs]
    assert max(changes[:48]) < 3
    assert max(changes[52:]) > max(changes[:48])


def test_a_film_of_three_frames_may_begin_blank(talking_astronaut, tmp_path):
    path = tmp_path / "short.mp4"
    with media.read_frames(talking_astronaut) as frames:
        face = next(frames).image
    write_clip(path, [np.zeros_like(face), face, face])
    assert load_portraits(path, chosen=0, crop=False, size=None).portraits
