"""Person files: photos of one person, kept by `adapt`, that go in as a portrait."""

import io
import json

import cv2
import numpy as np
import pytest
from PIL import Image as Picture
from safetensors.numpy import load, save

import gioconda
from gioconda import face, media
from gioconda.cli import run
from gioconda.errors import InputError, NoFaceError
from gioconda.inputs.person import KIND, MOST_PHOTOS, VERSION, encode_person, read_person
from gioconda.inputs.portrait import load_portraits
from gioconda.limits import WHOLE_SIDE
from gioconda.motion.expression import ARKIT_INDEX
from gioconda.runtime.safetensors import decode_own
from media_factory import write_clip

RIGHTS = "The picture is in the public domain."
JAW = ARKIT_INDEX["jawOpen"]


@pytest.fixture(scope="module")
def person(talking_astronaut, tmp_path_factory):
    """The person file of a film of 40 frames."""
    path = tmp_path_factory.mktemp("person") / "me.safetensors"
    adapted = gioconda.adapt([talking_astronaut], path, frames=12, rights=RIGHTS)
    assert adapted.summary.startswith("12 photos, 12 of one view")
    return path


@pytest.fixture(scope="module")
def film(person, talking_astronaut, tmp_path_factory):
    """The person file, moved by the film that it comes from."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    gioconda.animate(person, talking_astronaut, path, absolute=True)
    return path


def images(frames):
    return np.stack([frame.image for frame in frames]).astype(np.float32)


def test_the_mouth_opens_when_the_drivers_does(film, talking_astronaut):
    jaws = [gioconda.track(path).expression[:, JAW] for path in (talking_astronaut, film)]
    assert np.corrcoef(*jaws)[0, 1] > 0.9


@pytest.mark.slow
@pytest.mark.usefixtures("shared_data")
def test_frames_are_nearer_to_the_true_ones_than_those_of_the_portrait_alone(driver, tmp_path):
    person = tmp_path / "me.safetensors"
    gioconda.adapt([driver], person, frames=8)
    true = images(media.read_frames(driver))
    errors = []
    for source in (person, read_person(person)[0]):
        drawn = images(gioconda.frames(source, driver, absolute=True))
        errors.append(np.abs(drawn - true).mean())
    assert errors[0] < 0.9 * errors[1]


def test_photos_of_its_view_do_not_change_a_portrait_at_rest(person):
    portrait, *others = read_person(person)
    assert all(photo.same_view for photo in others)
    [whole], [alone] = (list(gioconda.frames_of(gioconda.Edit(source))) for source in (person, portrait))
    first, begun = (next(gioconda.frames(source, "nod")) for source in (person, portrait))
    for one, other in ((whole, alone), (first, begun)):
        difference = one.image.astype(np.float32) - other.image
        # Each picture has a watermark of its own, of a few grey levels.
        assert np.abs(difference).mean() < 1
        assert np.abs(cv2.blur(difference, (9, 9))).max() < 3


def test_the_manifest_names_the_person_file_as_the_portrait(film, person):
    first, *others = gioconda.verify(film).manifest["inputs"]
    assert (first["name"], first["sha256"]) == (person.name, media.sha256_file(person))
    assert [one["name"] for one in others] == ["talking_astronaut.mp4"]


def test_a_file_keeps_its_sources_and_the_right(person, talking_astronaut):
    _, about = decode_own(person.read_bytes(), KIND, VERSION)
    assert about["rights"] == RIGHTS
    assert {source["sha256"] for source in about["sources"]} == {media.sha256_file(talking_astronaut)}


def test_a_file_survives_a_round_trip(person, tmp_path):
    photos, copy = read_person(person), tmp_path / "copy.safetensors"
    copy.write_bytes(encode_person(photos, {}))
    for before, after in zip(photos, read_person(copy), strict=True):
        assert np.array_equal(before.face.landmarks, after.face.landmarks)
        assert before.same_view == after.same_view
        assert np.abs(before.image.astype(int) - after.image).mean() < 2
        assert np.abs(before.person - after.person).mean() < 0.02
        assert (after.name, after.sha256) == (copy.name, media.sha256_file(copy))


def test_a_photo_is_the_portrait_and_what_shows_no_face_is_left_out(
    astronaut, astronaut_image, talking_astronaut, tmp_path
):
    grey, out = write_grey(tmp_path / "grey.png"), tmp_path / "me.safetensors"
    adapted = gioconda.adapt([astronaut, grey, talking_astronaut], out, frames=2)
    assert len(adapted.left_out) == 1
    assert "grey.png" in adapted.left_out[0]
    portrait, *frames = read_person(out)
    assert np.abs(portrait.image.astype(int) - astronaut_image).mean() < 2
    # The film shows the face alone.
    assert [photo.same_view for photo in frames] == [False, False]


def test_what_cannot_be_adapted_leaves_no_file(person, tmp_path, capsys):
    out = tmp_path / "me.safetensors"
    with pytest.raises(InputError, match=r"me\.safetensors: .* give the photos"):
        gioconda.adapt([person], out)
    faceless = write_clip(tmp_path / "faceless.mp4")
    with pytest.raises(NoFaceError, match=r"faceless\.mp4: no frame shows a face"):
        gioconda.adapt([faceless], out)
    assert run(["adapt", str(faceless), "-o", str(out)]) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["faceless.mp4"]


def write_grey(path):
    """A picture without a face."""
    assert cv2.imwrite(str(path), np.full((128, 128, 3), 128, np.uint8))
    return path


def as_bytes(content):
    return np.frombuffer(content, np.uint8)


def jpeg_of(size, mode="RGB"):
    """A JPEG of one colour, as bytes."""
    file = io.BytesIO()
    Picture.new(mode, size).save(file, "JPEG")
    return as_bytes(file.getvalue())


def bomb(content):
    """A JPEG whose header states 65,500 pixels a side."""
    start = content.index(b"\xff\xc0") + 5
    return as_bytes(content[:start] + (65500).to_bytes(2, "big") * 2 + content[start + 4 :])


CHANGES = {
    "no photo": lambda a: {"landmarks": a["landmarks"][:0], "same_view": a["same_view"][:0]},
    "too many photos": lambda a: {
        name: np.repeat(a[name][:1], MOST_PHOTOS + 1, 0) for name in ("landmarks", "same_view")
    },
    "landmarks of no photo": lambda a: {"landmarks": np.concatenate([a["landmarks"]] * 2)},
    "landmarks that are no face": lambda a: {"landmarks": np.zeros_like(a["landmarks"])},
    "landmarks that are not finite": lambda a: {"landmarks": a["landmarks"] * np.float32(np.nan)},
    "landmarks of another type": lambda a: {"landmarks": a["landmarks"].astype(np.float64)},
    "no landmarks": lambda _: {"landmarks": None},
    "no picture": lambda _: {"picture.1": None},
    "no mask": lambda _: {"mask.0": None},
    "a picture that is no JPEG": lambda _: {"picture.0": as_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64))},
    "a picture cut short": lambda a: {"picture.0": a["picture.0"][: len(a["picture.0"]) // 2]},
    "a picture without colours": lambda a: {"picture.0": a["mask.0"]},
    "a mask in colour": lambda a: {"mask.0": a["picture.0"]},
    "a picture in four inks": lambda _: {"picture.0": jpeg_of((64, 64), "CMYK")},
    "a picture that is too large": lambda _: {"picture.0": jpeg_of((WHOLE_SIDE + 1, WHOLE_SIDE))},
    "a JPEG bomb": lambda a: {"picture.0": bomb(a["picture.0"].tobytes())},
}


@pytest.mark.parametrize("change", CHANGES)
def test_hostile_files_are_refused(person, tmp_path, capsys, change):
    arrays = load(person.read_bytes())
    arrays = {**arrays, **CHANGES[change](arrays)}
    path = tmp_path / "hostile.safetensors"
    header = {"kind": KIND, "version": VERSION, "about": json.dumps({})}
    path.write_bytes(save({name: array for name, array in arrays.items() if array is not None}, header))
    with pytest.raises(InputError, match=r"hostile\.safetensors is damaged"):
        read_person(path)
    assert run(["edit", str(path), "-o", str(tmp_path / "out.png")]) == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("share", [0.01, 0.5, 0.999])
def test_files_cut_short_are_refused(person, tmp_path, share):
    path, content = tmp_path / "short.safetensors", person.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=r"short\.safetensors"):
        gioconda.edit(path, tmp_path / "out.png")


def test_another_kind_of_file_is_no_person(person, tmp_path):
    path = tmp_path / "other.safetensors"
    path.write_bytes(save(load(person.read_bytes()), {"kind": "something else"}))
    for read in (read_person, lambda path: gioconda.edit(path, tmp_path / "out.png")):
        with pytest.raises(InputError, match=r"other\.safetensors"):
            read(path)


def test_a_face_outside_a_photo_does_no_harm(person, tmp_path):
    photos, path = read_person(person)[:2], tmp_path / "outside.safetensors"
    arrays = load(encode_person(photos, {}))
    arrays["landmarks"][1] += 10_000
    path.write_bytes(save(arrays, {"kind": KIND, "version": VERSION, "about": "{}"}))
    [frame] = gioconda.frames_of(gioconda.Edit(path, coefficients={"jawOpen": 0.5}))
    assert frame.image.std() > 20
    arrays["landmarks"] = np.ascontiguousarray(arrays["landmarks"][::-1])
    path.write_bytes(save(arrays, {"kind": KIND, "version": VERSION, "about": "{}"}))
    with pytest.raises(NoFaceError, match="outside"):
        gioconda.edit(path, tmp_path / "out.png")


def test_edit_draws_from_further_photos_as_from_a_person_file(astronaut, tmp_path):
    look = {"yaw": 14.0, "coefficients": {"jawOpen": 0.5}}
    first, turned, file = (tmp_path / name for name in ("first.png", "turned.png", "me.safetensors"))
    media.write_picture(first, load_portraits(astronaut, chosen=0, crop=True, size=384).portraits[0].image)
    # The further photo: turned as the edit turns, with a green spot on the nose.
    [frame] = gioconda.frames_of(gioconda.Edit(first, **look))
    found, *_ = face.detect_faces(frame.image)
    nose = np.rint(found.landmarks[4, :2]).astype(int).tolist()
    media.write_picture(turned, cv2.circle(frame.image.copy(), nose, 5, (0, 255, 0), -1))
    gioconda.adapt([first, turned], file)
    for request, shown in (
        (gioconda.Edit(file, **look), True),
        (gioconda.Edit(first, photos=[turned], **look), True),
        (gioconda.Edit(first, **look), False),
    ):
        [drawn] = gioconda.frames_of(request)
        red, green, blue = (drawn.image[..., k].astype(int) for k in range(3))
        assert (np.count_nonzero((green > red + 90) & (green > blue + 90)) > 30) == shown
