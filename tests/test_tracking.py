"""A video's face is followed as a person is: past other people, behind what hides it, and across cuts."""

import cv2
import numpy as np
import pytest

import gioconda
from gioconda import media
from gioconda.assets import asset_path
from gioconda.errors import InputError, NoFaceError
from gioconda.inputs.motion import track_video
from gioconda.inputs.portrait import load_portraits, tracked_portraits
from gioconda.motion import store
from gioconda.motion.retarget import RetargetedMotion, Style
from gioconda.tracking import tracked_frames
from media_factory import write_clip

SIDE = 256
HIDDEN = slice(8, 14)
"""Frames of `two_people` in which the larger person is hidden."""
CUT = 10
"""Frame at which the clips below are cut."""


@pytest.fixture(name="astronaut", scope="module")
def astronaut_fixture():
    image, _ = media.read_picture(asset_path("astronaut.jpg"))
    return cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


@pytest.fixture(name="other", scope="module")
def other_fixture(astronaut):
    """Another person: a narrow, grey, dark face that looks to the other side."""
    narrow = cv2.resize(astronaut[:, ::-1], (190, SIDE), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(narrow, cv2.COLOR_RGB2GRAY) // 2
    wide = cv2.copyMakeBorder(grey, 0, 0, 33, 33, cv2.BORDER_REPLICATE)
    return np.repeat(wide[..., None], 3, axis=2)


@pytest.fixture(name="two_people", scope="module")
def two_people_fixture(tmp_path_factory, astronaut, other):
    """The astronaut to the left, large; the other to the right; a board hides the astronaut for a while."""
    small = cv2.copyMakeBorder(cv2.resize(other, (200, 200)), 28, 28, 28, 28, cv2.BORDER_REPLICATE)
    images = [np.hstack([astronaut, small]) for _ in range(24)]
    for image in images[HIDDEN]:
        image[:, :SIDE] = (90, 100, 110)
    return write_clip(tmp_path_factory.mktemp("two") / "two.mp4", images)


def cut_clip(folder, before, after):
    return write_clip(folder / "cut.mp4", [before] * CUT + [after] * CUT)


@pytest.fixture(name="cut_to_other", scope="module")
def cut_to_other_fixture(tmp_path_factory, astronaut, other):
    return cut_clip(tmp_path_factory.mktemp("cut"), astronaut, other)


@pytest.fixture(name="across", scope="module")
def across_fixture(cut_to_other):
    return track_video(cut_to_other, lambda *_: None)


def test_who_is_hidden_is_waited_for(two_people):
    faces = [tracked.face for tracked in tracked_frames(two_people)]
    assert all(face is None for face in faces[HIDDEN])
    seen = [face for face in faces if face is not None]
    assert len(seen) == 24 - 6
    assert max(face.landmarks[:, 0].max() for face in seen) < SIDE


def test_the_user_is_told_how_long_a_driver_was_hidden(two_people):
    (note,) = track_video(two_people, lambda *_: None).notes
    assert "hidden for 0.2 s at 0.3 s" in note


def test_a_driver_s_face_is_chosen_by_size(two_people):
    motion = gioconda.track(two_people, driver_face=1)
    assert motion.bridged == 0
    assert (motion.translation[:, 0] * motion.unit > SIDE).all()
    with pytest.raises(NoFaceError, match="no face 2, only 2 found; use --driver-face 0 to 1"):
        gioconda.track(two_people, driver_face=2)


def test_only_a_video_s_face_can_be_chosen(tmp_path):
    with pytest.raises(InputError, match="leave out --driver-face"):
        gioconda.animate(asset_path("astronaut.jpg"), "smile", tmp_path / "a.mp4", driver_face=1)


def test_each_take_has_its_own_driver(across):
    (take,) = across.takes
    assert take.start == CUT
    assert across.reference < CUT <= take.reference
    assert "cuts at 0.4 s (another person)" in across.notes[0]
    # Stills show no expression: another person's face shape must not count as one.
    assert across.expression.max() < 0.2
    assert np.linalg.norm(across.neutral - take.neutral, axis=1).mean() > 0.02


def test_nothing_is_smoothed_across_a_cut(across, astronaut, tmp_path):
    alone = track_video(write_clip(tmp_path / "alone.mp4", [astronaut] * CUT), lambda *_: None)
    assert np.abs(across.rotation[:CUT] - alone.rotation).max() < 0.01
    assert np.abs(across.scale[:CUT] - 1).max() < 0.01 > np.abs(across.scale[CUT:] - 1).max()


def test_a_portrait_rests_on_both_sides_of_a_cut(across, astronaut):
    portrait = load_portraits(astronaut, chosen=0, crop=False, size=None).portraits[0]
    motion = RetargetedMotion(across, portrait, Style())
    rest = portrait.face.landmarks
    moved = [np.abs(motion.target(i).landmarks - rest)[:, :2].max() for i in range(2 * CUT)]
    assert max(moved) < 4.0


def test_a_zoom_moves_no_portrait(astronaut, tmp_path):
    closer = cv2.resize(astronaut[10:180, 40:210], (SIDE, SIDE))
    motion = track_video(cut_clip(tmp_path, astronaut, closer), lambda *_: None)
    (take,) = motion.takes
    assert take.reference == motion.reference
    portrait = load_portraits(astronaut, chosen=0, crop=False, size=None).portraits[0]
    retargeted = RetargetedMotion(motion, portrait, Style())
    before, after = retargeted.target(CUT - 1), retargeted.target(CUT)
    assert after.grow / before.grow == pytest.approx(1, abs=0.03)
    assert np.abs(after.landmarks - before.landmarks)[:, :2].max() < 6


def test_takes_are_saved(across, tmp_path):
    store.save(across, tmp_path / "cut.npz")
    read = store.load(tmp_path / "cut.npz")
    (before,), (after,) = across.takes, read.takes
    assert (after.start, after.reference, after.unit, after.shift) == (
        before.start,
        before.reference,
        before.unit,
        before.shift,
    )
    assert np.array_equal(after.neutral, before.neutral)
    with np.load(tmp_path / "cut.npz") as data:
        assert data["schema"] == 2


def test_a_motion_without_cuts_keeps_the_old_format(across, tmp_path):
    store.save(across.with_(takes=()), tmp_path / "plain.npz")
    with np.load(tmp_path / "plain.npz") as data:
        assert data["schema"] == 1
    assert store.load(tmp_path / "plain.npz").takes == ()


def test_a_film_portrait_keeps_to_its_person(cut_to_other):
    source = load_portraits(cut_to_other, chosen=0, crop=False, size=None)
    times = [i / 25 for i in range(2 * CUT)]
    known = [known for _, known in tracked_portraits(cut_to_other, source, times)]
    assert known == [True] * CUT + [False] * CUT
