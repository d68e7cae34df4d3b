"""A film whose frames come at uneven times, or whose face comes late, says other words: its own times are kept."""

from contextlib import closing
from fractions import Fraction

import numpy as np
import pytest

import gioconda
from gioconda import media
from gioconda.lipsync.plan import plan_lipsync
from gioconda.lipsync.renderer import target_images
from gioconda.lipsync.target import even_moments
from gioconda.motion.edit import still_motion
from gioconda.motion.keyframes import keyframed_motion
from media_factory import write_clip

STRIP = 16  # rows at the top of a picture, whose brightness tells the time


def silent(*_):
    pass


def mouth_opens_at(moments, seconds):
    """A motion whose jaw opens and shuts within 0.2 s of each moment."""
    jaws = {0.04: 0.0, seconds: 0.0}
    for moment in moments:
        jaws |= {moment - 0.1: 0.0, moment: 0.6, moment + 0.1: 0.0}
    return keyframed_motion(
        [(time, still_motion(0, 0, 0, 0, 0, {"jawOpen": jaw})) for time, jaw in sorted(jaws.items())]
    )


@pytest.fixture(scope="module")
def film(talking_astronaut, tmp_path_factory):
    """A film of 1.5 s: at 25 frames a second, after a gap of half a second at 50; its upper edge is a clock."""
    times = np.r_[np.arange(0, 0.6, 0.04), np.arange(1.1, 1.5, 0.02)]
    with media.read_frames(talking_astronaut) as frames:
        images = [frame.image for frame in frames]
    shown = []
    for time in times:
        shown.append(images[round(time * 25)].copy())
        shown[-1][:STRIP] = round(40 + 120 * time)
    path = tmp_path_factory.mktemp("uneven") / "film.mp4"
    return write_clip(
        path, shown, pts=np.rint(times * 90_000).astype(int), time_base=Fraction(1, 90_000)
    ), times


@pytest.mark.parametrize("step", [1 / 60, 0.04, 1 / 15])
def test_an_even_film_keeps_each_frame_once(step):
    rounded = np.round(np.arange(200) * step, 3)
    got, shown = even_moments(rounded, 1 / step)
    assert got == pytest.approx(step, rel=1e-3)
    assert shown.tolist() == list(range(200))


def test_lips_move_smoothly_over_a_film_of_few_frames():
    step, shown = even_moments(np.arange(10) / 5, 5)
    assert step == pytest.approx(1 / 15)
    assert shown[:7].tolist() == [0, 0, 0, 1, 1, 1, 2]
    assert even_moments(np.zeros(1), 25)[1].tolist() == [0]


def test_each_moment_shows_what_the_film_shows_then(film):
    path, times = film
    job = plan_lipsync(path, mouth_opens_at([0.5], 1.4), None, False, silent, retimed=False)
    with closing(target_images(path, job.target)) as images:
        told = np.array([(float(image[: STRIP - 4].mean()) - 40) / 120 for image in images])
    in_film = times[np.searchsorted(times, job.times + 1e-6, side="right") - 1]
    assert len(told) == len(job.times)
    assert np.median(np.abs(told - in_film)) < 0.012
    # A moment of the output lies up to half a step from a frame's own time.
    assert np.abs(told - in_film)[np.abs(job.times - 1.1) > 0.02].max() < 0.05
    assert not job.warnings


def test_a_voice_longer_than_the_film_is_told_once(film):
    job = plan_lipsync(film[0], mouth_opens_at([0.5], 3.0), None, False, silent)
    assert [note for note in job.warnings if "play back and forth until 3.0 s" in note] == [job.warnings[-1]]
    assert "film.mp4 ends after 1.5 s" in job.warnings[-1]


@pytest.fixture(scope="module")
def titled(talking_astronaut, tmp_path_factory):
    """A film whose first second is a title without a face."""
    with media.read_frames(talking_astronaut) as frames:
        images = [frame.image for frame in frames]
    return write_clip(
        tmp_path_factory.mktemp("titled") / "titled.mp4", [np.full_like(images[0], 30)] * 25 + images
    )


@pytest.mark.slow
def test_a_title_stays_and_the_note_says_when_the_face_comes(titled, tmp_path):
    result = gioconda.animate(titled, mouth_opens_at([0.5, 1.5], 2.0), tmp_path / "out.mp4", engine="lipsync")
    assert "titled.mp4: the face first appears at 1.0 s" in result.warnings[0]
    with media.read_frames(titled) as before, media.read_frames(result.path) as after:
        changes = [np.abs(a.image.astype(int) - b.image).max() for a, b in zip(before, after, strict=False)]
    # The watermark changes a plain title by a few levels.
    assert max(changes[:24]) < 20 < max(changes[30:])


def test_a_voice_that_ends_before_the_face_comes_is_told(titled):
    job = plan_lipsync(titled, mouth_opens_at([0.4], 0.8), None, False, silent)
    assert "the output of 0.8 s ends before" in job.warnings[0]


def test_a_film_of_three_frames_may_begin_blank(talking_astronaut, tmp_path):
    with media.read_frames(talking_astronaut) as frames:
        face = next(frames).image
    film = write_clip(tmp_path / "short.mp4", [np.zeros_like(face), face, face])
    job = plan_lipsync(film, mouth_opens_at([0.3], 0.6), None, False, silent)
    with closing(target_images(film, job.target)) as images:
        blank = [image.mean() < 10 for image in images]
    assert len(blank) == len(job.times)
    assert not any(blank[2:])
