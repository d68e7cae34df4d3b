"""The few-shot engine from the outside: adapt, identity files, animate."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import gioconda
from fewshot_world import heads_fixture, tiny_weights_fixture  # noqa: F401
from gioconda.cli import run
from gioconda.engines import get_engine
from gioconda.engines.fewshot import crop, identity
from gioconda.engines.fewshot.engine import FewshotEngine, placed
from gioconda.engines.fewshot.network import Networks
from gioconda.errors import InputError, MissingFileError, NoFaceError, WeightsError
from gioconda.face import detect_faces
from gioconda.training.fewshot.adapt import AdaptSettings, adapt
from gioconda.training.fewshot.person import adapt_person
from gioconda.types import Portrait, TargetPose
from places import FEWSHOT_EXAMPLE as EXAMPLE

pytestmark = pytest.mark.xdist_group("fewshot")


@pytest.fixture(scope="module")
def portrait(astronaut_image):
    return Portrait(astronaut_image, detect_faces(astronaut_image)[0])


@pytest.fixture(scope="module")
def engine():
    return FewshotEngine(Networks(EXAMPLE))


@pytest.fixture(scope="module")
def person(astronaut, tmp_path_factory):
    """An identity file of the astronaut."""
    path = tmp_path_factory.mktemp("person") / "person.safetensors"
    settings = AdaptSettings(str(EXAMPLE), steps=60, threads=1, learning_rate=2e-3)
    made = adapt_person([astronaut], path, settings)
    assert (made.path, made.left_out) == (path, ())
    assert made.summary.startswith("1 photo, fitted in")
    return path


def still(portrait, landmarks=None):
    """The portrait's own face as a shot."""
    points = portrait.face.landmarks if landmarks is None else landmarks
    return TargetPose(
        0.0, points, np.eye(3, dtype=np.float32), 1.0, np.zeros(3, np.float32), np.zeros(52, np.float32)
    )


def rendered(engine, portrait):
    patch = next(iter(engine.render(engine.prepare(portrait), [still(portrait)])))
    whole = portrait.image.copy()
    x, y = patch.corner
    whole[y : y + patch.image.shape[0], x : x + patch.image.shape[1]] = patch.image
    return crop.cut_square(whole, crop.head_square(portrait.face.landmarks), 64).astype(np.float32)


@pytest.mark.slow
def test_adapting_brings_the_picture_nearer_to_the_person(person, engine, portrait):
    found, _ = identity.read(person)
    own = found.portrait("person", "")
    fitted, unfitted = rendered(engine, own), rendered(engine, Portrait(own.image, own.face))
    true = crop.cut_square(own.image, crop.head_square(own.face.landmarks), 64).astype(np.float32)
    assert np.abs(fitted - true).mean() < 0.75 * np.abs(unfitted - true).mean()


@pytest.mark.slow
def test_an_identity_is_animated_signed_and_verified(person, tmp_path, capsys):
    out = tmp_path / "out.mp4"
    words = [
        "animate",
        str(person),
        "--motion",
        "nod",
        "--engine",
        "fewshot",
        "-o",
        str(out),
        "--size",
        "128",
    ]
    assert run([*words, "--weights", str(EXAMPLE)]) == 0
    told = capsys.readouterr()
    assert "128x128" in told.out
    assert "gioconda adapt" not in told.err
    verdict = gioconda.verify(out)
    assert verdict.status == "ours"
    assert "fewshot" in json.dumps(verdict.to_json())


@pytest.mark.slow
def test_an_unfitted_person_is_told_to_be_fitted(astronaut, tmp_path, capsys):
    words = ["animate", str(astronaut), "--motion", "nod", "--engine", "fewshot", "--size", "128"]
    assert run([*words, "--weights", str(EXAMPLE), "-o", str(tmp_path / "out.mp4")]) == 0
    assert "may draw a stranger; fit them with gioconda adapt" in capsys.readouterr().err


@pytest.mark.slow
def test_an_identity_of_other_networks_is_told(person, tiny_weights, tmp_path, capsys):
    out = tmp_path / "out.mp4"
    words = ["animate", str(person), "--motion", "nod", "-o", str(out)]
    assert run([*words, "--engine", "fewshot", "--weights", str(tiny_weights)]) == 6
    assert (
        "fitted to other networks; give as --weights the networks of that fitting" in capsys.readouterr().err
    )
    assert run([*words, "--engine", "fewshot"]) == 2
    assert "an identity file needs those that it was fitted to" in capsys.readouterr().err
    assert run([*words, "--weights", str(person)]) == 2
    assert "--weights does not apply to the engine warp" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.slow
def test_the_warp_engine_takes_an_identity_for_its_picture(person, tmp_path):
    frame = next(gioconda.frames(person, "nod", size=256))
    assert frame.image.shape == (256, 256, 3)
    found, _ = identity.read(person)
    assert np.abs(frame.image.mean() - found.picture.mean()) < 12


def test_the_command_adapts_photos_and_videos(astronaut, talking_astronaut, tmp_path, capsys):
    out = tmp_path / "me.safetensors"
    words = ["adapt", str(astronaut), str(talking_astronaut), "--for", "fewshot", "-o", str(out)]
    assert run([*words, "--steps", "2", "--frames", "3", "--weights", str(EXAMPLE)]) == 0
    assert "4 photos, fitted in" in capsys.readouterr().out
    found, digest = identity.read(out)
    assert len(digest) == 64
    assert found.about["settings"]["steps"] == 2
    assert "weights" not in found.about["settings"]
    assert found.about["sources"][0]["name"] == "astronaut.png"
    assert [p.name for p in tmp_path.iterdir()] == ["me.safetensors"]


def test_photos_of_any_size_are_taken(astronaut_image, tmp_path):
    import cv2

    photo = tmp_path / "wide.png"
    cv2.imwrite(
        str(photo), cv2.copyMakeBorder(astronaut_image, 0, 40, 100, 30, cv2.BORDER_REFLECT)[..., ::-1]
    )
    made = adapt_person([photo], tmp_path / "me.safetensors", AdaptSettings(str(EXAMPLE), steps=1))
    found, _ = identity.read(made.path)
    again = detect_faces(found.picture)[0].landmarks
    assert np.abs(again[:, :2] - found.landmarks[:, :2]).mean() < 6  # pixels of 512


@pytest.mark.slow
def test_what_cannot_be_adapted_is_told(astronaut, shared_data, tmp_path, capsys):
    fewshot = ["--for", "fewshot"]
    out, more = str(tmp_path / "me.safetensors"), [*fewshot, "--weights", str(EXAMPLE), "--steps", "1"]
    dog = str(next(p for p in sorted((shared_data / "hard").iterdir()) if "dog" in p.name))
    assert run(["adapt", dog, "-o", out, *more]) == 2
    assert "no human face" in capsys.readouterr().err
    assert run(["adapt", str(tmp_path / "none.jpg"), "-o", out, *more]) == 2
    assert run(["adapt", str(astronaut), "-o", str(tmp_path / "me.mp4"), *more]) == 2
    missing = ["--weights", str(tmp_path / "none.safetensors")]
    assert run(["adapt", str(astronaut), "-o", out, *fewshot, *missing]) == 2
    assert list(tmp_path.iterdir()) == []
    assert run(["adapt", dog, str(astronaut), "-o", out, *more]) == 0
    assert "left out" in capsys.readouterr().err
    assert run(["adapt", out, "-o", str(tmp_path / "again.safetensors"), *more]) == 2


def test_fitted_weights_of_other_networks_are_told(portrait, engine):
    strange = {"psi": np.zeros(7, np.float16)}
    with pytest.raises(WeightsError, match="other networks"):
        engine.prepare(Portrait(portrait.image, portrait.face, fitted=strange))
    whole = adapt([portrait], AdaptSettings(str(EXAMPLE), steps=1))
    engine.prepare(replace(portrait, fitted=whole))
    reshaped, more = ({**whole, name: np.zeros(3)} for name in ("generator.last.weight", "critic.bias"))
    without_skips = {k: v for k, v in whole.items() if "hints" not in k}
    for fitted in (reshaped, more, without_skips):
        with pytest.raises(WeightsError, match="adapt the person again"):
            engine.prepare(replace(portrait, fitted=fitted))


def test_the_engine_is_there_by_name_for_networks_of_ones_own():
    opened = get_engine("fewshot", weights=EXAMPLE)
    assert (opened.name, opened.networks[0][0]) == ("fewshot", EXAMPLE.name)
    with pytest.raises(MissingFileError):
        get_engine("fewshot", weights=Path("absent/fewshot.safetensors"))


@pytest.mark.parametrize("ask", ["animate", "speak", "adapt", "evaluate"])
def test_without_networks_people_are_told_what_to_do_instead(
    ask, astronaut, talking_astronaut, tmp_path, capsys
):
    words = {
        "animate": ["animate", str(astronaut), "--motion", "nod", "--engine", "fewshot"],
        "speak": ["speak", str(astronaut), "--text", "hello", "--engine", "fewshot"],
        "adapt": ["adapt", str(astronaut), "--for", "fewshot"],
        "evaluate": ["evaluate", str(talking_astronaut.parent), "--engines", "warp,fewshot"],
    }[ask]
    out = tmp_path / {"adapt": "me.safetensors", "evaluate": "report"}.get(ask, "out.mp4")
    assert run([*words, "-o", str(out)]) == 2
    told = capsys.readouterr().err
    for hint in (
        "no few-shot networks are packaged",
        "several photos",
        "gioconda adapt film.mp4",
        "--weights",
    ):
        assert hint in told, hint
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="no few-shot networks are packaged"):
        get_engine("fewshot")


def changed(path, out, change):
    """A copy of an identity file with something changed in its tensors or header."""
    from safetensors.numpy import load, save

    content = path.read_bytes()
    tensors = load(content)
    length = int.from_bytes(content[:8], "little")
    told = json.loads(content[8 : 8 + length])["__metadata__"]
    change(tensors, told)
    out.write_bytes(save(tensors, told))
    return out


def damage(name, value):
    def change(tensors, told):
        if name in told:
            told[name] = value
        elif value is None:
            del tensors[name]
        else:
            tensors[name] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        damage("kind", "another"),
        damage("version", "99"),
        damage("about", "{"),
        damage("picture", None),
        damage("landmarks", None),
        damage("picture", np.zeros((32, 32, 3), np.uint8)),
        damage("picture", np.zeros((128, 64, 3), np.uint8)),
        damage("picture", np.zeros((128, 128, 3), np.float32)),
        damage("landmarks", np.full((478, 3), np.nan, np.float32)),
        damage("landmarks", np.zeros((468, 3), np.float32)),
        damage("fitted.psi", np.full(10, np.inf, np.float16)),
    ],
)
def test_identity_files_that_lie_are_refused(person, tmp_path, change):
    with pytest.raises(InputError, match="identity"):
        identity.read(changed(person, tmp_path / "bad.safetensors", change))


@pytest.mark.parametrize("cut", [0, 4, 8, 100, 5000, -1])
def test_identity_files_that_are_cut_are_refused(person, tmp_path, cut, capsys):
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(person.read_bytes()[:cut])
    words = ["animate", str(bad), "--motion", "nod", "-o", str(tmp_path / "o.mp4"), "--engine", "fewshot"]
    assert run([*words, "--weights", str(EXAMPLE)]) == 2
    assert ("is empty" if cut == 0 else "identity file") in capsys.readouterr().err
    assert not (tmp_path / "o.mp4").exists()


def test_what_is_drawn_is_laid_where_its_square_lies():
    square = crop.Square(10.4, 20.6, 64.0)
    image = np.zeros((64, 64, 3), np.uint8)
    image[30:34, 40:44] = 255
    box = (11, 21, 74, 84)
    made = placed(image, square, box)[..., 0]
    ys, xs = np.mgrid[21:84, 11:74]
    weights = np.clip(made, 0, None)
    middle = np.array([(xs * weights).sum(), (ys * weights).sum()]) / weights.sum()
    np.testing.assert_allclose(middle, [10.4 + 41.5, 20.6 + 31.5], atol=0.15)


def test_too_many_photos_or_none_are_told(portrait):
    for photos in ([], [portrait] * 300):
        with pytest.raises(InputError, match="photos"):
            adapt(photos, AdaptSettings(str(EXAMPLE)))


@pytest.mark.slow
def test_who_is_fitted_looks_as_in_the_first_photo(portrait, engine):
    """By the same landmarks in two lights: without a look of each photo's own, both orders would draw their mean."""
    dark = replace(portrait, image=(portrait.image * 0.4).astype(np.uint8))
    settings = AdaptSettings(str(EXAMPLE), steps=60, threads=1, learning_rate=4e-3, jitter=False)
    drawn = []
    for photos in ((portrait, dark), (dark, portrait)):
        who = replace(portrait, fitted=adapt(photos, settings))
        drawn.append(engine.drawn(engine.prepare(who), portrait.face.landmarks).mean())
    square = crop.head_square(portrait.face.landmarks)
    light, less = (crop.cut_square(one.image, square, 64).mean() for one in (portrait, dark))
    assert drawn[0] - drawn[1] > 0.5 * (light - less)


def test_nobody_at_all_is_told(tmp_path):
    with pytest.raises(NoFaceError):
        adapt_person([], tmp_path / "me.safetensors", AdaptSettings(str(EXAMPLE)))
