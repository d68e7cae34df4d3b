"""Exports of finished films: the whole picture in another shape, format or size, with sound, times and marks."""

import json

import cv2
import numpy as np
import pytest

import gioconda
from corpus import seeds
from gioconda import media, provenance
from gioconda.errors import InputError
from gioconda.films import framed
from gioconda.limits import EXPORT_SIDE
from gioconda.motion import store

RIGHTS = "A public-domain portrait."


@pytest.fixture(scope="module")
def film(astronaut, tmp_path_factory):
    """The astronaut says a word, 160x128 with a visible label and sound."""
    folder = tmp_path_factory.mktemp("film")
    picture = cv2.imread(str(astronaut))[20:276, 80:400]
    cv2.imwrite(str(folder / "wide.png"), picture)
    path = folder / "film.mp4"
    gioconda.speak(folder / "wide.png", path, text="Oh!", size=160, refine=False, label=True, rights=RIGHTS)
    return path


def frames_of(path):
    with media.read_frames(path) as frames:
        return list(frames)


def images_of(path):
    return np.array([frame.image for frame in frames_of(path)]).astype(np.float32)


def marks_of(path):
    verdict = gioconda.verify(path)
    assert verdict.status == "ours", verdict.reasons
    assert verdict.watermark["payload"] == verdict.manifest["watermark"]
    return verdict.manifest


def test_a_vertical_film_shows_the_whole_film_over_a_dark_blur_of_itself(film, tmp_path):
    out = tmp_path / "out.webm"
    result = gioconda.export(film, out, shape="vertical")
    assert result.size == (160, 284)
    before, after = images_of(film), images_of(out)
    middle = after[:, 78:206]
    assert np.abs(middle - before).mean() < 4, "label and all"
    above, below = after[:, :70], after[:, 214:]
    for part, near in ((above, before[:, :30]), (below, before[:, -30:])):
        assert 3 < part.mean() < 0.6 * near.mean(), "dark, not black"
        assert np.abs(np.diff(part, axis=2)).mean() < 0.5 * np.abs(np.diff(near, axis=2)).mean(), "blurred"
    times = [[frame.time for frame in frames_of(path)] for path in (film, out)]
    np.testing.assert_allclose(*times, atol=0.001)
    manifest, first = marks_of(out), marks_of(film)
    assert manifest["watermark"] == first["watermark"]
    assert (manifest["engine"], manifest["rights"]) == ("warp", RIGHTS)
    assert manifest["weights"] == first["weights"]
    [named] = manifest["inputs"]
    assert (named["role"], named["sha256"]) == ("film", media.sha256_file(film))


def test_the_sound_is_kept(film, tmp_path):
    out = tmp_path / "out.mov"
    gioconda.export(film, out, shape="square", size=96)
    assert media.probe(out).width == media.probe(out).height == 96
    loud = []
    for path in (film, out):
        sound = np.concatenate(list(media.read_sound(path)))
        loud.append(np.abs(sound[: len(sound) // 800 * 800]).reshape(-1, 800).mean(1))
    length = min(map(len, loud))
    assert np.corrcoef(loud[0][:length], loud[1][:length])[0, 1] > 0.95
    assert gioconda.verify(out).status == "ours"


def test_another_format_alone_changes_no_pixel_so_that_no_mark_is_laid_twice(film, tmp_path):
    out = tmp_path / "out.apng"
    gioconda.export(film, out)
    assert np.array_equal(images_of(out), images_of(film))
    assert marks_of(out)["watermark"] == marks_of(film)["watermark"]


def test_a_transparent_film_stays_transparent_where_the_format_can(astronaut_image, tmp_path):
    alpha = np.zeros((512, 512), np.uint8)
    cv2.circle(alpha, (220, 130), 130, 255, -1)
    cv2.imwrite(str(tmp_path / "cut.png"), np.dstack([astronaut_image[..., ::-1], alpha]))
    motion = tmp_path / "nod.npz"
    store.save(seeds.short_motion(3), motion)
    film = tmp_path / "film.apng"
    gioconda.animate(tmp_path / "cut.png", motion, film, size=96, refine=False, background="transparent")
    gioconda.export(film, tmp_path / "out.mov", shape="vertical", size=256)
    with media.read_frames(tmp_path / "out.mov") as frames:
        seen = next(frames).alpha
    assert seen.shape == (256, 144)
    assert seen[:40].max() < 8, "beside the film, too"
    assert seen[40:216, :].max() > 250
    over_white = gioconda.export(film, tmp_path / "out.mp4")
    assert "lies over white" in over_white.warnings[0]
    assert gioconda.verify(tmp_path / "out.mov").status == "ours"


def test_what_is_no_unchanged_film_of_ours_is_refused_and_leaves_nothing(film, clip, astronaut, tmp_path):
    changed, bare = tmp_path / "changed.mp4", tmp_path / "bare.webm"
    whole = bytearray(film.read_bytes())
    whole[-3] ^= 1
    changed.write_bytes(whole)
    gioconda.export(film, bare)
    provenance.sidecar_path(bare).unlink()
    for path, words in (
        (changed, "so it was changed; give a film as Gioconda wrote it"),
        (clip, "Gioconda did not make it"),
        (bare, "put its .c2pa file into the same folder"),
        (astronaut, "is not a film"),
        (tmp_path / "none.mp4", "does not exist"),
    ):
        with pytest.raises(InputError, match=words):
            gioconda.export(path, tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize(
    ("film_size", "shape", "longest", "outer", "inner"),
    [
        ((512, 512), "as it is", None, (512, 512), (512, 512)),
        ((641, 480), "as it is", None, (641, 480), (641, 480)),
        ((1280, 720), "as it is", 320, (320, 180), (320, 180)),
        ((512, 512), "vertical", None, (512, 910), (512, 512)),
        ((1280, 720), "vertical", None, (1080, EXPORT_SIDE), (1080, 608)),
        ((720, 1280), "vertical", None, (720, 1280), (720, 1280)),
        ((300, 900), "vertical", None, (506, 900), (300, 900)),
        ((1280, 720), "square", None, (1280, 1280), (1280, 720)),
        ((256, 256), "square", 512, (512, 512), (512, 512)),
    ],
)
def test_shapes_hold_the_whole_film(film_size, shape, longest, outer, inner):
    assert framed(film_size, shape, longest) == (outer, inner)


def test_over_http_a_webm_comes_with_its_manifest(film, tmp_path, monkeypatch):
    pytest.importorskip("fastapi")
    from gioconda.web.files import own_name
    from gioconda.web.queue.perform import perform
    from gioconda.web.requests import JOB

    gioconda.export(film, tmp_path / "a.webm", size=128)
    work = tmp_path / "job"
    work.mkdir()
    for role, path in (("film", tmp_path / "a.webm"), ("sidecar", tmp_path / "a.c2pa")):
        content = path.read_bytes()
        (work / own_name(role, 0, content)).write_bytes(content)
    monkeypatch.chdir(work)
    job = JOB.validate_json(json.dumps({"kind": "export", "shape": "square", "format": "mp4"}))
    job.check_files({"film": 1, "sidecar": 1})
    told = perform(job, lambda *_: None)
    assert (told.width, told.height, told.media_type) == (128, 128, "video/mp4")
    assert gioconda.verify(work / "result.mp4").status == "ours"
