"""A motion laid on a portrait: the portrait's own face, the motion's life."""

import numpy as np
import pytest

from gioconda.errors import InputError
from gioconda.landmarks import RIGID
from gioconda.motion.edit import still_motion
from gioconda.motion.from_faces import faces_to_motion
from gioconda.motion.gaze import CORNERS, IRISES, VERGENCE
from gioconda.motion.pose import euler_from_rotation, rotation_from_euler
from gioconda.motion.retarget import GAZE_GAIN, REGIONS, RetargetedMotion, Style
from gioconda.motion.templates import TEMPLATES, template
from gioconda.types import ARKIT_INDEX, Portrait
from heads import SIZE, eyes_open, lips_apart, performed, person, times, wave

BROWS_AND_LIDS = [70, 105, 107, 336, 334, 300, 159, 145, 386, 374, 468, 473]
MOUTH = [61, 291, 13, 14, 0, 17]


def portrait_of(seed, **pose):
    """A picture of somebody, blank but for the landmarks."""
    (face,) = performed(person(seed), 1, **pose)
    return Portrait(np.zeros((SIZE[1], SIZE[0], 3), np.uint8), face)


def motion_of(seed, count=50, **made):
    return faces_to_motion(performed(person(seed), count, **made), times(count), SIZE)


def laid(motion, portrait, **style):
    retargeter = RetargetedMotion(motion, portrait, Style(**style))
    return [retargeter.target(i) for i in range(len(motion))]


def way(shot, portrait, points=slice(None)):
    """How far points went in the picture, pixels."""
    return np.linalg.norm((shot.landmarks - portrait.face.landmarks)[points, :2], axis=1)


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("pose", [{}, {"yaw": 18, "pitch": -6, "roll": 5}])
def test_at_rest_nothing_moves(region, pose):
    portrait, motion = portrait_of(1, **pose), template("idle")
    shot = RetargetedMotion(motion, portrait, Style(region=region)).target(motion.reference)
    assert way(shot, portrait).max() < 0.5
    assert shot.grow == pytest.approx(1, abs=1e-3)
    assert np.allclose(shot.turn, np.eye(3), atol=1e-3)


@pytest.mark.parametrize("name", TEMPLATES)
def test_strength_nought_is_still(name):
    portrait = portrait_of(2)
    for shot in laid(template(name), portrait, strength=0.0)[::10]:
        assert way(shot, portrait).max() < 0.5


def test_strength_scales_the_motion():
    portrait, motion = portrait_of(3), motion_of(4, yaw=wave(50, 8), jawOpen=wave(50, 0.3))
    ways = [way(laid(motion, portrait, strength=k)[25], portrait, [152]).max() for k in (0.5, 1.0, 1.8)]
    assert ways[0] < 0.7 * ways[1] < 0.7 * 0.8 * ways[2]


@pytest.mark.parametrize("seed", [5, 6, 7, 8])
def test_a_blink_shuts_the_lids_of_any_face(seed):
    blink = wave(60, 1.0, width=0.05)
    motion = motion_of(9, 60, eyeBlinkLeft=blink, eyeBlinkRight=blink)
    portrait = portrait_of(seed)
    rest = np.array(eyes_open(portrait.face.landmarks))
    opening = np.array([eyes_open(shot.landmarks) for shot in laid(motion, portrait)]) / rest
    assert opening[30].max() < 0.2
    assert np.abs(opening[[0, -1]] - 1).max() < 0.1


def test_lids_follow_a_slider_evenly():
    portrait, open_ = portrait_of(5), []
    for blink in np.linspace(0, 1, 11):
        look = still_motion(0, 0, 0, 0, 0, {"eyeBlinkLeft": float(blink), "eyeBlinkRight": float(blink)})
        open_.append(np.mean(eyes_open(laid(look, portrait)[0].landmarks)))
    steps = -np.diff(open_)
    assert open_[-1] < 0.1 * open_[0]
    assert steps.max() < 2.5 * open_[0] / len(steps)


def test_a_wink_is_passed_on_by_its_eye():
    motion, portrait = motion_of(9, 60, eyeBlinkLeft=wave(60, 1.0, width=0.08)), portrait_of(10)
    rest, now = (
        np.array(eyes_open(p)) for p in (portrait.face.landmarks, laid(motion, portrait)[30].landmarks)
    )
    assert (now / rest)[1] < 0.3, "the person's left eye is on the viewer's right"
    assert (now / rest)[0] > 0.7


def test_an_open_jaw_opens_the_mouth_and_lowers_the_chin():
    motion, portrait = motion_of(11, jawOpen=wave(50, 0.6)), portrait_of(12)
    shots = laid(motion, portrait)
    assert lips_apart(shots[25].landmarks) > lips_apart(shots[0].landmarks) + 0.15
    assert shots[25].landmarks[152, 1] > portrait.face.landmarks[152, 1] + 10
    assert abs(shots[25].landmarks[168, 1] - portrait.face.landmarks[168, 1]) < 2


@pytest.mark.parametrize("seed", [13, 14, 15])
@pytest.mark.parametrize("name", ["talk", "laugh", "surprise"])
def test_lips_never_cross(seed, name):
    pressed = {"mouthPressLeft": 0.6, "mouthPressRight": 0.6, "mouthClose": 0.1}
    for portrait in (portrait_of(seed), portrait_of(seed, **pressed)):
        for shot in laid(template(name), portrait, strength=1.5):
            assert lips_apart(shot.landmarks) > -0.005, "half a pixel here"


def test_turns_go_the_drivers_way():
    portrait = portrait_of(16)
    motion = motion_of(17, 60, yaw=wave(60, 15, at=0.3, width=0.08), pitch=wave(60, 10, at=0.7, width=0.08))
    shots = laid(motion, portrait)
    yaw, pitch, roll = np.stack([np.ravel(euler_from_rotation(shot.turn)) for shot in shots]).T
    assert yaw[18] == pytest.approx(15, abs=4)
    assert pitch[42] == pytest.approx(10, abs=3)
    assert np.abs(roll).max() < 2
    assert shots[18].landmarks[4, 0] > portrait.face.landmarks[4, 0] + 5, (
        "the nose goes to the viewer's right"
    )
    assert shots[42].landmarks[4, 1] < portrait.face.landmarks[4, 1] - 3, "and up"


@pytest.mark.parametrize("own", [-30, 0, 30])
def test_turns_are_held_back_softly(own):
    portrait = portrait_of(18, yaw=own)
    motion = template("look-around")
    angles = np.linspace(-85, 85, len(motion))
    zero = np.zeros_like(angles)
    turned = motion.with_(rotation=rotation_from_euler(angles, zero, zero), reference=len(motion) // 2)
    shots = laid(turned, portrait)
    total = [float(euler_from_rotation(RetargetedMotion(turned, portrait, Style()).rest.rotation)[0])]
    total += [float(euler_from_rotation(shot.turn)[0]) + total[0] for shot in shots]
    assert np.abs(total[1:]).max() < 46
    assert (np.diff(total[1:]) > -1e-3).all(), "never back"


def test_heads_travel_little_so_that_no_neck_grows():
    portrait, motion = portrait_of(19), motion_of(20, x=wave(50, 300), near=1 + wave(50, 0.8))
    unit = np.linalg.norm(portrait.face.landmarks[263] - portrait.face.landmarks[33])
    for shot in laid(motion, portrait):
        assert np.linalg.norm(shot.landmarks[168, :2] - portrait.face.landmarks[168, :2]) < 0.7 * unit
        assert 0.75 < shot.grow < 1.3


@pytest.mark.parametrize("region", ["lips", "eyes", "expression", "pose"])
def test_a_region_moves_alone(region):
    made = {"eyeBlinkLeft": wave(50, 0.9), "eyeBlinkRight": wave(50, 0.9), "browInnerUp": wave(50, 0.8)}
    motion = motion_of(21, yaw=wave(50, 14), jawOpen=wave(50, 0.5), **made)
    portrait = portrait_of(22)
    shot = laid(motion, portrait, region=region)[25]
    above, below = way(shot, portrait, BROWS_AND_LIDS), way(shot, portrait, MOUTH)
    turned = float(np.ravel(euler_from_rotation(shot.turn)[0])[0])
    if region == "pose":
        apart = lips_apart(shot.landmarks) - lips_apart(portrait.face.landmarks)
        assert turned > 10
        assert abs(apart) < 0.02
        return
    assert abs(turned) < 0.1
    assert (above.max() > 4) == (region != "lips")
    assert (below.max() > 4) == (region != "eyes")
    if region == "lips":
        assert above.max() < 0.5
    if region == "eyes":
        assert below.max() < 0.5


def test_the_rigid_part_of_a_shot_is_told():
    portrait, motion = portrait_of(23), motion_of(24, yaw=wave(50, 15), roll=wave(50, 10), x=wave(50, 30))
    for shot in laid(motion, portrait, region="pose"):
        moved = shot.grow * portrait.face.landmarks @ shot.turn.T + shot.shift
        assert np.abs(moved - shot.landmarks)[RIGID, :2].max() < 1.0


def test_the_drivers_face_does_not_leak():
    made = {"yaw": wave(50, 10), "jawOpen": wave(50, 0.5), "mouthSmileLeft": wave(50, 0.5, at=0.3)}
    portrait = portrait_of(25)
    one, other = (laid(motion_of(seed, **made), portrait, region="expression") for seed in (26, 27))
    drivers = np.linalg.norm((person(26) - person(27))[:, :2], axis=1)
    unit = np.linalg.norm(portrait.face.landmarks[263] - portrait.face.landmarks[33])
    for a, b in zip(one[::5], other[::5], strict=True):
        leak = np.linalg.norm((a.landmarks - b.landmarks)[:, :2], axis=1) / unit
        assert leak.mean() < 0.4 * drivers.mean()


def test_the_size_of_the_drivers_picture_does_not_matter():
    faces = performed(person(28), 40, yaw=wave(40, 12), jawOpen=wave(40, 0.5), x=wave(40, 30))
    larger = [type(face)(face.landmarks * 2) for face in faces]
    portrait = portrait_of(29)
    one = laid(faces_to_motion(faces, times(40), SIZE), portrait)
    two = laid(faces_to_motion(larger, times(40), (SIZE[0] * 2, SIZE[1] * 2)), portrait)
    for a, b in zip(one, two, strict=True):
        assert np.abs(a.landmarks - b.landmarks).max() < 0.5


def test_absolute_motion_of_the_drivers_own_first_frame_lands_on_the_driver():
    made = {"yaw": wave(60, 15), "x": wave(60, 25, at=0.4), "jawOpen": wave(60, 0.5, at=0.7)}
    faces = performed(person(30), 60, **made, eyeBlinkLeft=wave(60, 0.8, at=0.3), near=1 + wave(60, 0.1))
    portrait = Portrait(np.zeros((SIZE[1], SIZE[0], 3), np.uint8), faces[0])
    motion = faces_to_motion(faces, times(60), SIZE)
    for shot, true in zip(laid(motion, portrait, absolute=True), faces, strict=True):
        far = np.linalg.norm((shot.landmarks - true.landmarks)[:, :2], axis=1)
        assert far.max() < 1.5


def test_absolute_motion_scales_with_the_picture():
    faces = performed(person(30), 30, yaw=wave(30, 15), x=wave(30, 25))
    half = type(faces[0])(faces[0].landmarks / 2)
    portrait = Portrait(np.zeros((SIZE[1] // 2, SIZE[0] // 2, 3), np.uint8), half)
    motion = faces_to_motion(faces, times(30), SIZE)
    for shot, true in zip(laid(motion, portrait, absolute=True), faces, strict=True):
        assert np.abs(shot.landmarks - true.landmarks / 2)[:, :2].max() < 1.0


def test_absolute_motion_of_another_framing_begins_where_the_portrait_is():
    faces = performed(person(30), 30, yaw=wave(30, 15), x=wave(30, 25), near=1 + wave(30, 0.1))
    small = [type(face)(face.landmarks * 0.3 + (20, 10, 0)) for face in faces]
    portrait = Portrait(np.zeros((SIZE[1], SIZE[0], 3), np.uint8), small[0])
    for shot, true in zip(
        laid(faces_to_motion(faces, times(30), SIZE), portrait, absolute=True), small, strict=True
    ):
        assert np.abs(shot.landmarks - true.landmarks)[:, :2].max() < 1.0


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("name", TEMPLATES)
def test_every_template_suits_every_style(name, absolute):
    motion, portrait = template(name), portrait_of(31)
    shots = laid(motion, portrait, absolute=absolute)
    assert [shot.time for shot in shots] == motion.times.tolist()
    for shot in shots:
        assert np.isfinite(shot.landmarks).all()
        assert shot.landmarks.shape == (478, 3)
        assert np.abs(shot.landmarks[:, :2] - portrait.face.landmarks[:, :2]).max() < 150


def eyes_turned(motion, portrait, index):
    """How far each iris went against its eye's corners to the viewer's right, (2,) inter-ocular units."""
    retargeter = RetargetedMotion(motion, portrait, Style())
    first, now = (retargeter.target(i).landmarks for i in (motion.reference, index))
    unit = np.linalg.norm(portrait.face.landmarks[33, :2] - portrait.face.landmarks[263, :2])
    went = (now - first)[IRISES].mean(axis=1) - (now - first)[CORNERS].mean(axis=1)
    return went[:, 0] / unit


def test_eyes_never_squint_whatever_the_tracker_sees():
    look = wave(50, 1.0)
    one_eye = motion_of(10, eyeLookOutLeft=look)
    right, left = eyes_turned(one_eye, portrait_of(11), 25)
    assert right > 0.02, "half of what the other eye does"
    assert abs(right - left) < 2.2 * VERGENCE * GAZE_GAIN
    both = motion_of(10, eyeLookOutLeft=look, eyeLookInRight=look)
    assert eyes_turned(both, portrait_of(11), 25).min() > 1.5 * right


def test_an_eye_behind_its_lid_does_not_say_where_the_other_looks():
    hidden, look = wave(50, 1.0), wave(50, 0.5)
    motion = motion_of(12, eyeBlinkRight=hidden, eyeLookOutLeft=look)
    open_eyes = motion_of(12, eyeLookOutLeft=look)
    winking, staring = (eyes_turned(m, portrait_of(13), 25)[1] for m in (motion, open_eyes))
    assert winking > 1.3 * staring


def test_irises_follow_the_gaze():
    motion = template("idle")
    looks = motion.expression.copy()
    looks[:] = 0
    looks[10, [ARKIT_INDEX["eyeLookOutLeft"], ARKIT_INDEX["eyeLookInRight"]]] = 0.8
    looks[20, [ARKIT_INDEX["eyeLookInLeft"], ARKIT_INDEX["eyeLookOutRight"]]] = 0.8
    portrait = portrait_of(32)
    retargeter = RetargetedMotion(motion.with_(expression=looks, reference=0), portrait, Style(region="eyes"))
    start, right, left = (retargeter.target(i).landmarks[[468, 473], 0] for i in (0, 10, 20))
    assert (right > start + 3).all()
    assert (left < start - 3).all()


@pytest.mark.parametrize(
    "style", [{"region": "nose"}, {"strength": -0.1}, {"strength": 3}, {"strength": np.nan}]
)
def test_styles_that_make_no_sense_are_refused(style):
    with pytest.raises(InputError):
        Style(**style)
