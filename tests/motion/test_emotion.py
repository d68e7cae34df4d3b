"""Emotions by name: what the tracker sees in the result, lips that still speak, names that are refused."""

import numpy as np
import pytest

import gioconda
from gioconda.cli import run
from gioconda.errors import InputError
from gioconda.face import detect_faces
from gioconda.inputs.portrait import load_portraits
from gioconda.inputs.speech import motion_of_voice
from gioconda.motion.emotion import EMOTIONS, parse_emotions, with_emotions
from gioconda.motion.expression import load_basis, solve
from gioconda.motion.neutral import BROW_PAIRS, gaps
from gioconda.motion.pose import fit_pose
from gioconda.motion.retarget import RetargetedMotion, Style
from gioconda.motion.templates import template
from gioconda.speech import say
from gioconda.speech.mouth import LOWER, UPPER
from gioconda.types import ARKIT_INDEX, ARKIT_NAMES

TEXT = "My mama made me a warm mug of mint. Bob may pump. Oh, maple!"


@pytest.fixture(name="changes", scope="module")
def changes_fixture(astronaut_image):
    """What the tracker sees change with each emotion: coefficients by name, and the height of the brows."""
    portrait = load_portraits(astronaut_image, chosen=0, crop=True, size=256).portraits[0]

    def look(emotion):
        request = gioconda.Edit(portrait, crop=True, size=256, emotion=emotion)
        return detect_faces(next(iter(gioconda.frames_of(request))).image)[0].landmarks

    landmarks = look("")
    rest = fit_pose(landmarks, load_basis().neutral).to_canonical(landmarks)
    seen = {}
    for name in EMOTIONS:
        landmarks = look(name)
        face = fit_pose(landmarks, rest).to_canonical(landmarks)
        seen[name] = dict(zip(ARKIT_NAMES, solve((face - rest)[None])[0].tolist(), strict=True))
        seen[name]["brows"] = float((gaps(face[None], BROW_PAIRS) - gaps(rest[None], BROW_PAIRS))[0])
    return seen


def both(seen, name):
    """The mean of a coefficient's two sides."""
    return (seen[f"{name}Left"] + seen[f"{name}Right"]) / 2


def test_the_tracker_sees_each_emotion(changes):
    smiles = {name: both(seen, "mouthSmile") for name, seen in changes.items()}
    assert smiles["happy"] > 0.4
    assert max(smiles, key=smiles.get) == "happy"
    assert changes["angry"]["brows"] < -0.012
    assert changes["surprised"]["brows"] > 0.03
    assert changes["surprised"]["jawOpen"] > 0.15
    assert both(changes["sad"], "mouthFrown") > 0.15
    assert changes["sad"]["browInnerUp"] > 0.2
    assert both(changes["afraid"], "eyeWide") > 0.4
    assert both(changes["afraid"], "mouthStretch") > 0.2
    assert both(changes["disgusted"], "noseSneer") > 0.3
    assert 0.03 < both(changes["calm"], "eyeBlink") < 0.4


@pytest.fixture(name="said", scope="module")
def said_fixture():
    """A voice, and the motion of a face that speaks it."""
    voice = say(TEXT)
    return voice, motion_of_voice(voice)


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_lips_close_and_open_with_an_emotion(said, emotion, astronaut_image):
    voice, motion = said
    portrait = load_portraits(astronaut_image, chosen=0, crop=True, size=256).portraits[0]

    def openings(style):
        laid = RetargetedMotion(motion, portrait, style, shut=True)
        lips = [laid.target(i).landmarks for i in range(len(laid))]
        return np.array([(face[LOWER, 1] - face[UPPER, 1]).mean() for face in lips])

    plain, felt = openings(Style()), openings(Style(emotion=emotion))
    ends = [time for time, _ in voice.phones[1:]] + [voice.seconds]
    closed = [
        (motion.times >= begin) & (motion.times <= end)
        for (begin, name), end in zip(voice.phones, ends, strict=True)
        if "m" in name
    ]
    least = np.array([felt[span].min() for span in closed if span.any()])
    assert len(least) >= 6
    assert np.mean(least < 0.1 * plain.max()) >= 0.9
    assert felt.max() > 0.8 * plain.max(), "vowels still open"


def test_the_tracked_mouth_closes_on_an_m_of_a_happy_speaker(astronaut_image):
    """The frames that are written, not the motion, are tracked."""
    voice = say("Mama may hum.")
    motion = motion_of_voice(voice)
    begin, end = next(
        (time, after)
        for (time, name), (after, _) in zip(voice.phones, voice.phones[1:], strict=False)
        if "m" in name and time > 0.3
    )
    frames = list(
        gioconda.frames(astronaut_image, motion, crop=True, size=256, emotion="happy:1", engine="warp")
    )
    gap = []
    for frame in frames:
        face = detect_faces(frame.image, thorough=False)[0].landmarks
        gap.append((face[LOWER, 1] - face[UPPER, 1]).mean() / np.linalg.norm(face[263] - face[33]))
    gap = np.array(gap)
    span = (motion.times >= begin) & (motion.times <= end)
    assert gap[span].min() < 0.02
    assert gap.max() > 0.06


def test_an_emotion_sets_in_softly_and_ceases():
    rest = template("idle")
    felt = with_emotions(rest, {"happy": 0.5}).expression - rest.expression
    smile = felt[:, ARKIT_INDEX["mouthSmileLeft"]]
    assert abs(smile[0]) < 1e-3
    assert abs(smile[-1]) < 1e-3
    assert smile.max() > 0.3
    assert np.abs(np.diff(smile)).max() / np.diff(rest.times).min() < 1.5, "coefficients a second"


def test_blinks_close_wide_eyes():
    blinking = template("surprise")
    shut = blinking.expression[:, ARKIT_INDEX["eyeBlinkLeft"]].argmax()
    felt = with_emotions(blinking, {"afraid": 1.0}).expression[shut]
    assert felt[ARKIT_INDEX["eyeBlinkLeft"]] > 0.95
    assert felt[ARKIT_INDEX["eyeWideLeft"]] <= blinking.expression[shut, ARKIT_INDEX["eyeWideLeft"]] + 0.05


def test_emotions_by_name():
    assert parse_emotions("") == {}
    assert parse_emotions("happy") == {"happy": 1.0}
    assert parse_emotions("happy:0.7, surprised:.2") == {"happy": 0.7, "surprised": 0.2}
    for text, words in {
        "joyful": "choose one of happy, sad, angry, surprised, afraid, disgusted, calm",
        "happy:2": "happy: 2 is outside 0 to 1",
        "happy:much": "give a strength from 0 to 1",
        "happy,happy": "names happy twice",
        "happy,,sad": "choose one of",
    }.items():
        with pytest.raises(InputError) as refused:
            parse_emotions(text)
        assert words in str(refused.value)


def test_the_command_line_refuses_a_wrong_name(astronaut, tmp_path, capsys):
    out = tmp_path / "out.png"
    assert run(["edit", str(astronaut), "-o", str(out), "--emotion", "joyful"]) == 2
    assert "--emotion 'joyful' is not known; choose one of happy, sad" in capsys.readouterr().err
    assert not out.exists()


def test_lip_sync_of_a_video_refuses_emotions(tmp_path):
    with pytest.raises(InputError, match="emotion does not apply to the engine lipsync"):
        gioconda.Animate("person.mp4", "talk", tmp_path / "a.mp4", engine="lipsync", emotion="happy")
