"""Which photo a frame is drawn from: the nearest, without flicker, and one fades into the next in seconds."""

import numpy as np
import pytest

from gioconda.engines.warp.choice import FADE_SECONDS, STAY_SECONDS, SWITCH, Mix, PhotoChoice, spread_photos
from gioconda.face import detect_faces
from gioconda.landmarks import inter_ocular
from gioconda.motion.expression import load_basis, offsets
from gioconda.motion.pose import fit_pose, rotation_from_euler
from gioconda.types import ARKIT_INDEX, ARKIT_NAMES

OFFSET, SHAPE, LIDS = 0, 1, 2
SHUT = {"eyeBlinkLeft": 0.9, "eyeBlinkRight": 0.9}


@pytest.fixture(scope="module")
def posed(astronaut_image):
    """The tracked astronaut, who turns by degrees, moves by distances between her eyes, and makes faces."""
    points = detect_faces(astronaut_image)[0].landmarks
    pose, unit = fit_pose(points, load_basis().neutral), inter_ocular(points)

    def landmarks(yaw=0.0, right=0.0, **coefficients):
        expression = np.zeros((1, len(ARKIT_NAMES)), np.float32)
        for name, value in coefficients.items():
            expression[0, ARKIT_INDEX[name]] = value
        changed = points + pose.scale * offsets(expression)[0] @ pose.rotation.T
        middle = points.mean(0)
        turned = (changed - middle) @ rotation_from_euler(yaw, 0, 0).T + middle
        return np.asarray(turned + np.array([right * unit, 0, 0]), np.float32)

    return landmarks


def chosen(choice, moments):
    """The mix at each (time, landmarks), by time."""
    return {time: choice.choose(choice.deformations(landmarks), time) for time, landmarks in moments}


def seconds(start, end, fps):
    """Times of frames from a start to an end."""
    return [k / fps for k in range(round(start * fps), round(end * fps) + 1)]


def test_each_term_sees_its_own_change(posed):
    choice = PhotoChoice([posed(), posed(right=0.3), posed(yaw=20), posed(**SHUT)])
    same, moved, turned, shut = choice.terms(posed())
    assert same == pytest.approx(0, abs=1e-9)
    assert moved[OFFSET] == pytest.approx(0.3, rel=0.02)
    assert np.allclose(moved[[SHAPE, LIDS]], 0, atol=1e-4)
    assert turned[SHAPE] > 3 * max(moved[SHAPE], shut[SHAPE])
    assert shut[LIDS] > 3 * max(turned[LIDS], moved[LIDS])


def test_the_choice_does_not_depend_on_the_size_of_the_picture(posed):
    photos = [posed(), posed(right=0.3), posed(yaw=20), posed(**SHUT)]
    large = PhotoChoice([4 * photo for photo in photos]).deformations(4 * posed(yaw=8))
    assert large == pytest.approx(PhotoChoice(photos).deformations(posed(yaw=8)), rel=1e-3)


@pytest.mark.parametrize("same", range(4))
def test_a_photo_equal_to_the_frame_is_chosen(posed, same):
    photos = [posed(), posed(right=0.3), posed(yaw=20), posed(**SHUT)]
    choice = PhotoChoice(photos)
    assert choice.choose(choice.deformations(photos[same]), 0.0) == Mix(same, same)


def test_a_photo_must_be_clearly_nearer_before_it_replaces_the_present_one(posed):
    photos = [posed(), posed(yaw=20)]
    for yaw, replaced in ((11, False), (17, True)):
        present, other = PhotoChoice(photos).deformations(posed(yaw=yaw))
        assert other < present
        assert (other < SWITCH * present) == replaced
        choice = PhotoChoice(photos)
        choice.choose(choice.deformations(photos[0]), 0.0)
        last = chosen(choice, [(t, posed(yaw=yaw)) for t in seconds(0, 3, 25)])[3.0]
        assert last == (Mix(1, 1) if replaced else Mix(0, 0))


def test_two_photos_of_the_same_pose_do_not_alternate(posed):
    noise = np.random.default_rng(0).normal(size=(40, 478, 3)).astype(np.float32)
    heads = posed() + np.float32(0.002 * inter_ocular(posed())) * noise
    choice = PhotoChoice(heads[:2])
    assert len({int(np.argmin(choice.deformations(head))) for head in heads}) == 2
    # The second photo itself comes by at last.
    mixes = chosen(choice, [(k / 25, head) for k, head in enumerate([*heads, heads[1]])])
    assert {(mix.photo, mix.following) for mix in mixes.values()} == {(0, 0)}


def test_no_photo_is_replaced_before_it_has_stayed(posed):
    photos = [posed(), posed(yaw=20)]
    moments = [(t, photos[0 if t == 0 else 1]) for t in seconds(0, 1, 100)]
    mixes = chosen(PhotoChoice(photos), moments)
    assert all((mix == Mix(0, 0)) == (time < STAY_SECONDS) for time, mix in mixes.items())


def test_the_next_photo_stays_as_long(posed):
    photos = [posed(), posed(yaw=20)]
    # The head turns away at 1 s, and back two frames after the other photo is there.
    back = 1 + FADE_SECONDS + 0.02
    mixes = chosen(PhotoChoice(photos), [(t, photos[1 <= t < back]) for t in seconds(0, 2, 100)])
    assert all(mix.photo == 1 for t, mix in mixes.items() if back <= t < 1 + STAY_SECONDS + FADE_SECONDS)
    assert mixes[2.0] == Mix(0, 0)


def test_a_photo_that_was_best_all_along_is_replaced_at_once(posed):
    photos = [posed(), posed(yaw=20)]
    for turn in seconds(1, 1.5, 25):
        mixes = chosen(PhotoChoice(photos), [(t, photos[t >= turn]) for t in seconds(0, 2, 25)])
        assert mixes[turn] == Mix(0, 1)


def test_a_fade_follows_time_and_not_frames(posed):
    photos = [posed(), posed(yaw=20)]
    slow, fast = (
        chosen(PhotoChoice(photos), [(t, photos[t >= 1]) for t in seconds(0, 2, fps)]) for fps in (25, 50)
    )
    assert {t: fast[t] for t in slow} == slow
    for time, mix in fast.items():
        shown = (mix.photo == 1) + mix.share * (mix.following != mix.photo)
        assert shown == pytest.approx(np.clip((time - 1) / FADE_SECONDS, 0, 1), abs=1e-6)
        assert mix.main == (shown > 0.5)
        assert mix.other == (mix.photo if mix.main == mix.following else mix.following)


def test_a_mix_stays_between_its_photos(posed):
    rng = np.random.default_rng(0)
    photos = [posed(yaw=yaw) for yaw in (-20, 0, 20)]
    frames = [posed(yaw=yaw) for yaw in rng.uniform(-25, 25, 200)]
    # Some frames come at the same time, others after a long gap.
    times = np.cumsum(rng.choice([0, 0.001, 0.04, 0.1, 3], 200))
    choice = PhotoChoice(photos)
    mixes = [
        choice.choose(choice.deformations(frame), time) for time, frame in zip(times, frames, strict=True)
    ]
    assert all(0 <= mix.share < 1 for mix in mixes)
    assert {mix.photo for mix in mixes} == {0, 1, 2}
    assert any(mix.share > 0 for mix in mixes)


def test_spread_photos_cover_turned_heads_before_near_duplicates(posed):
    front = [posed(yaw=yaw) for yaw in (-1.5, -0.5, 0, 0.5, 1.5)]
    photos = [*front, posed(yaw=-25), posed(yaw=25), posed(**SHUT)]
    chosen_ones = spread_photos(photos, first=2, count=4)
    assert chosen_ones[0] == 2
    assert set(chosen_ones[1:3]) == {5, 6}
    assert chosen_ones[3] == 7
    assert sorted(spread_photos(photos, first=2, count=50)) == list(range(len(photos)))
