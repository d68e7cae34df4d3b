"""Rounded lips part as they do; pouting lips stay shut; coefficients tell the two from a jaw."""

import numpy as np
import pytest

from gioconda.face import FaceTracker
from gioconda.motion.expression import load_basis, offsets, solve
from gioconda.motion.from_faces import faces_to_motion
from gioconda.motion.lips import CHIN, UPPER_INNER, UPPER_OUTER, lower_chin, open_rounded
from gioconda.types import ARKIT_INDEX
from heads import person, times
from places import ROOT

ICT = ROOT.parent / "shared" / "data" / "ict_facekit"


def made(**weights):
    """Landmarks' change (1, 478, 3) of blendshapes."""
    row = np.zeros((1, 52), np.float32)
    for name, weight in weights.items():
        row[0, ARKIT_INDEX[name]] = weight
    return offsets(row)


def opening(change, rest):
    """Height between the lips' middles, inter-ocular units."""
    return float((rest + change)[0, 14, 1] - (rest + change)[0, 13, 1])


def thickened(change, by):
    """The same with the upper lip's inner edge lower, as the tracker has it around an opening."""
    lowered = change.copy()
    lowered[:, UPPER_INNER, 1] += by
    return lowered


def test_an_opening_that_the_tracker_takes_for_lip_is_given_back():
    rest, true = person(3, 0.5), made(mouthFunnel=1.0)
    read = thickened(true, 0.05)
    before = opening(read, rest)
    open_rounded(read, rest)
    assert before < opening(true, rest) - 0.04
    assert abs(opening(read, rest) - opening(true, rest)) < 0.02


def test_lips_that_pout_and_touch_stay_shut():
    rest, pout = person(3, 0.5), made(mouthPucker=1.0)
    pout[:, UPPER_INNER, 1] += rest[14, 1] + pout[0, 14, 1] - rest[13, 1] - pout[0, 13, 1]
    assert (pout[0, UPPER_INNER, 1] - pout[0, UPPER_OUTER, 1]).max() > 0.02, "else there is nothing to lift"
    kept = pout.copy()
    open_rounded(kept, rest)
    assert np.abs(kept - pout)[:, 13].max() < 0.005


@pytest.mark.parametrize("name", ["jawOpen", "mouthSmileLeft", "mouthUpperUpLeft", "mouthLowerDownRight"])
def test_other_mouths_are_left_alone(name):
    change = made(**{name: 1.0})
    kept = change.copy()
    open_rounded(kept, person(4, 0.5))
    assert np.abs(kept - change).max() < 0.02


def test_coefficients_tell_an_o_from_a_jaw():
    for name, least in (("mouthFunnel", 0.6), ("mouthPucker", 0.8), ("jawOpen", 0.8)):
        row = solve(made(**{name: 1.0}))[0]
        others = {"mouthFunnel", "mouthPucker", "jawOpen"} - {name}
        assert row[ARKIT_INDEX[name]] > least
        assert max(row[ARKIT_INDEX[other]] for other in others) < 0.35


@pytest.mark.slow
@pytest.mark.skipif(not ICT.is_dir(), reason="ICT-FaceKit's head lies in shared/data, which is absent")
def test_a_pucker_of_a_rendered_person_arrives(monkeypatch):
    """The tracker spreads it over the whole face; whom it looks at here, no asset has seen."""
    for folder in ("benchmarks", "scripts"):
        monkeypatch.syspath_prepend(str(ROOT / folder))
    import ict_clips

    stage = ict_clips.person_at(21, 0, 0)
    faces = []
    with FaceTracker() as tracker:
        for name in ("pucker", "funnel"):
            face = list(ict_clips.FACES).index(name)
            for level in (0.0, 0.0, 0.0, 1.0, 1.0, 1.0):
                faces += tracker.process(stage.picture(stage.weights(face, level)))
    motion = faces_to_motion(faces, times(len(faces)), (ict_clips.SIZE, ict_clips.SIZE))
    rise = motion.expression[[4, 10]] - motion.expression[[1, 7]]
    assert rise[0, ARKIT_INDEX["mouthPucker"]] > 0.35
    assert rise[1, ARKIT_INDEX["mouthFunnel"]] > 0.1
    assert rise[:, ARKIT_INDEX["jawOpen"]].max() < 0.35


@pytest.mark.parametrize("drop", [0.02, 0.3])
def test_a_lip_that_reaches_over_the_chin_takes_its_skin_along(drop):
    rest = load_basis().neutral
    dropped = rest.copy()
    dropped[CHIN[0], 1] += drop
    shape = dropped.copy()
    lower_chin(shape, rest)
    fold, kept = (np.diff(face[CHIN, 1], axis=0).min() for face in (dropped, shape))
    moved = set(np.flatnonzero((shape != dropped).any(1)))
    if drop < 0.1:
        assert fold > 0
        assert np.abs(shape - dropped).max() < 0.02
        return
    assert fold < -0.1
    assert kept > 0, "from the lip downwards to the outline"
    assert moved
    assert moved <= set(CHIN[1:-1].ravel())


def test_an_open_jaw_of_the_head_model_stays_as_it_is():
    rest = load_basis().neutral
    opened = rest + 0.5 * load_basis().offsets[ARKIT_INDEX["jawOpen"]]
    shape = opened.copy()
    lower_chin(shape, rest)
    assert np.abs(shape - opened).max() < 0.01
