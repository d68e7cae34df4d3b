"""A picture as driver: its expression and, on request, its pose; a face at rest changes hardly anything."""

import shutil

import numpy as np
import pytest

import gioconda
from gioconda.cli import run
from gioconda.errors import InputError, NoFaceError
from gioconda.face import detect_faces
from gioconda.inputs.motion import load_motion
from gioconda.inputs.still import load_snapshot
from gioconda.media import read_picture, write_picture
from gioconda.motion.expression import load_basis, offsets, solve
from gioconda.motion.pose import euler_from_rotation, fit_pose
from gioconda.motion.snapshot import FILM_SECONDS, load_face_shapes, solve_alone
from gioconda.types import ARKIT_INDEX, ARKIT_NAMES
from media_factory import write_clip

pytestmark = pytest.mark.xdist_group("snapshot")

LOOKS = {
    "smile": {"mouthSmileLeft": 0.9, "mouthSmileRight": 0.9},
    "shut": {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0},
    "brows": {"browInnerUp": 0.9, "browOuterUpLeft": 0.9, "browOuterUpRight": 0.9},
    "pout": {"mouthPucker": 0.9},
    "open": {"jawOpen": 0.5},
}


@pytest.fixture(name="pictures", scope="module")
def pictures_fixture(astronaut_image, tmp_path_factory):
    """Pictures of the astronaut, who smiles a little, with other expressions and turned."""
    folder = tmp_path_factory.mktemp("looks")
    options = {"crop": True, "size": 384}
    for name, look in LOOKS.items():
        gioconda.edit(astronaut_image, folder / f"{name}.png", coefficients=look, **options)
    gioconda.edit(astronaut_image, folder / "turned.png", yaw=14.0, **options)
    gioconda.edit(astronaut_image, folder / "plain.png", **options)
    return folder


def expressed(path):
    """The coefficients of a picture by name."""
    snapshot, *_ = load_snapshot(path)
    return dict(zip(ARKIT_NAMES, snapshot.expression.tolist(), strict=True))


def both(expression, name):
    """The mean of a coefficient's two sides."""
    return (expression[f"{name}Left"] + expression[f"{name}Right"]) / 2


def people(count, seed=0):
    """Made-up faces at rest (count, 478, 3), by ICT-FaceKit's modes, which the packaged shapes have not seen."""
    basis = load_basis()
    weights = np.random.default_rng(seed).normal(size=(count, len(basis.identity)))
    weights[:, 20:] = 0
    return (load_face_shapes().mean + np.tensordot(0.5 * weights, basis.identity, 1)).astype(np.float32)


def test_a_shape_is_not_taken_for_an_expression():
    rest = people(40)
    alone, naive = solve_alone(rest), solve(rest - load_basis().neutral)
    assert alone.sum(1).mean() < 0.4 * naive.sum(1).mean()
    assert np.percentile(alone.max(1), 90) < 0.5


@pytest.mark.parametrize("look", LOOKS)
def test_an_expression_is_read_on_faces_of_many_shapes(look):
    wanted = np.zeros(52, np.float32)
    wanted[[ARKIT_INDEX[name] for name in LOOKS[look]]] = list(LOOKS[look].values())
    rest = people(40, seed=1)
    change = solve_alone(rest + offsets(wanted[None])) - solve_alone(rest)
    names = [ARKIT_INDEX[name] for name in LOOKS[look]]
    assert change[:, names].mean() > 0.4
    assert change[:, names].mean() > 2 * np.delete(np.abs(change).mean(0), names).max()


def test_pictures_are_read(pictures):
    plain = expressed(pictures / "plain.png")
    assert both(expressed(pictures / "smile.png"), "mouthSmile") > both(plain, "mouthSmile") + 0.1
    assert both(expressed(pictures / "shut.png"), "eyeBlink") > 0.8
    assert both(plain, "eyeBlink") < 0.2
    assert both(expressed(pictures / "brows.png"), "browOuterUp") > both(plain, "browOuterUp") + 0.1
    # This astronaut smiles, and a smile less a pout is less of a smile.
    rounds = {
        name: one["mouthPucker"] - both(one, "mouthSmile")
        for name, one in (("pout", expressed(pictures / "pout.png")), ("plain", plain))
    }
    assert rounds["pout"] > rounds["plain"] + 0.1
    assert expressed(pictures / "open.png")["jawOpen"] > plain["jawOpen"] + 0.2


def test_neutral_photos_are_neutral(shared_data):
    found = [expressed(path) for path in sorted((shared_data / "stills").glob("*_neutral.jpg"))[:8]]
    assert np.mean([sum(one.values()) for one in found]) < 1.2
    assert max(both(one, "mouthSmile") for one in found) < 0.3


def test_a_smiling_person_makes_another_person_smile(shared_data):
    found = sorted((shared_data / "stills").glob("*_smile.jpg"))[:6]
    smiles = {path: both(expressed(path), "mouthSmile") for path in found}
    assert np.mean(list(smiles.values())) > 0.25
    smile = max(smiles, key=smiles.get)
    portrait = shared_data / "portraits" / "mona_lisa.jpg"
    seen = [detect_faces(look(portrait, like=like))[0].landmarks for like in (None, smile)]
    rest = fit_pose(seen[0], load_basis().neutral).to_canonical(seen[0])
    change = fit_pose(seen[1], rest).to_canonical(seen[1]) - rest
    assert both(dict(zip(ARKIT_NAMES, solve(change[None])[0], strict=True)), "mouthSmile") > 0.25


def look(portrait, **options):
    """The picture of an edit."""
    return next(iter(gioconda.frames_of(gioconda.Edit(portrait, crop=True, size=256, **options)))).image


def yaw(image):
    """Yaw of the face of a picture, degrees."""
    landmarks = detect_faces(image)[0].landmarks
    return float(euler_from_rotation(fit_pose(landmarks, load_basis().neutral).rotation)[0])


def test_the_pose_comes_along_only_on_request(pictures, astronaut_image):
    rest = yaw(look(astronaut_image))
    turned = yaw(read_picture(pictures / "turned.png")[0])
    assert abs(yaw(look(astronaut_image, like=pictures / "turned.png")) - rest) < 2
    assert abs(yaw(look(astronaut_image, like=pictures / "turned.png", absolute=True)) - turned) < 4
    assert abs(turned - rest) > 8
    with pytest.raises(InputError, match="give that picture as like"):
        gioconda.Edit(astronaut_image, absolute=True)


def test_what_is_set_replaces_what_the_picture_gives(pictures, astronaut_image):
    shut = look(astronaut_image, like=pictures / "shut.png")
    opened = look(
        astronaut_image, like=pictures / "shut.png", coefficients={"eyeBlinkLeft": 0, "eyeBlinkRight": 0}
    )
    lids = [[159, 145], [386, 374]]

    def opening(image):
        landmarks = detect_faces(image)[0].landmarks
        return np.mean([landmarks[low, 1] - landmarks[up, 1] for up, low in lids])

    assert opening(shut) < 0.5 * opening(opened)


def test_a_film_of_a_picture_goes_into_its_expression_and_back(pictures, astronaut, tmp_path):
    source = load_motion(pictures / "shut.png", lambda *_: None)
    blink = source.motion.expression[:, ARKIT_INDEX["eyeBlinkLeft"]]
    assert source.motion.times[-1] == pytest.approx(FILM_SECONDS)
    assert blink[[0, -1]].tolist() == [0, 0]
    assert blink[len(blink) // 2] > 0.8
    assert np.abs(np.diff(blink)).max() < 0.12
    out = tmp_path / "out.gif"
    result = gioconda.animate(astronaut, pictures / "shut.png", out, crop=True, size=64)
    assert any("shut.png is a single picture: the film of 4 s" in warning for warning in result.warnings)
    assert out.stat().st_size > 0


def test_a_video_of_one_frame_is_a_picture(pictures, tmp_path):
    path = write_clip(tmp_path / "one.mp4", [read_picture(pictures / "shut.png")[0]])
    source = load_motion(path, lambda *_: None)
    assert source.motion.times[-1] == pytest.approx(FILM_SECONDS)
    assert source.motion.expression[:, ARKIT_INDEX["eyeBlinkLeft"]].max() > 0.8


def test_pictures_without_a_face_and_films_are_refused(pictures, astronaut_image, clip, tmp_path, capsys):
    blank = tmp_path / "blank.png"
    write_picture(blank, np.full((128, 128, 3), 127, np.uint8))
    with pytest.raises(NoFaceError, match=r"blank\.png"):
        look(astronaut_image, like=blank)
    with pytest.raises(InputError, match="is not a picture"):
        look(astronaut_image, like=clip)
    own = tmp_path / "smile.png"
    shutil.copy(pictures / "smile.png", own)
    assert run(["edit", str(pictures / "plain.png"), "--like", str(own), "-o", str(own)]) == 2
    assert "is the like and the output" in capsys.readouterr().err
