"""Whatever people hand in: a clear line on standard error, the right exit code, and no half of a file."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image as Picture

import gioconda
from gioconda import media
from gioconda.cli import run
from gioconda.motion import store
from gioconda.motion.templates import template
from media_factory import cut, damage, png_header, rotate, write_clip

USAGE, OUTPUT = 2, 5
SMALL = ("--crop", "--size", "96")


@pytest.fixture
def folder(tmp_path):
    """Where outputs go; an older one lies there."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "old.mp4").write_text("old")
    (out / "old.png").write_text("old")
    return out


@pytest.fixture(scope="module")
def face_images(astronaut_image):
    """Twelve pictures of a face that wanders a little, 192x192."""
    starts = [64 + 2 * i for i in range(12)]
    crops = [astronaut_image[0:256, x : x + 256] for x in starts]
    return [cv2.resize(crop, (192, 192), interpolation=cv2.INTER_AREA) for crop in crops]


@pytest.fixture(scope="module")
def face_clip(face_images, tmp_path_factory):
    """Their video, its index in front, so that a cut one can be read up to the cut."""
    path = tmp_path_factory.mktemp("clip") / "face.mp4"
    return write_clip(path, face_images * 3, container_options={"movflags": "faststart"}, options={"g": "4"})


def told(capfd, line, code):
    """Run a command line that must fail, and return its one line of complaint."""
    assert run([str(word) for word in line]) == code
    said = capfd.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err
    assert said.err.startswith("gioconda: ")
    assert len(said.err.strip().splitlines()) == 1, said.err
    assert "report it" not in said.err
    return said.err


def assert_untouched(folder):
    assert sorted(path.name for path in folder.iterdir()) == ["old.mp4", "old.png"]
    assert {path.read_text() for path in folder.iterdir()} == {"old"}


def text(path):
    path.write_text("this is not a picture\n" * 50)


def half_a_jpeg(path):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (300, 300, 3), np.uint8)
    data = cv2.imencode(".jpg", noise)[1].tobytes()
    path.write_bytes(data[: len(data) // 3])


def landscape(path):
    rows = np.linspace(0, 1, 240)[:, None, None] * np.array([-60, 40, -150]) + (200, 150, 230)
    assert cv2.imwrite(str(path), np.clip(np.repeat(rows, 320, 1), 0, 255).astype(np.uint8))


def sound_only(path):
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            out.mux(packet)


BAD_PORTRAITS = {
    "missing.jpg": (lambda path: None, "does not exist"),
    "folder.jpg": (Path.mkdir, "is a folder"),
    "empty.jpg": (Path.touch, "is empty"),
    "note.jpg": (text, "note.jpg"),
    "cut.jpg": (half_a_jpeg, "cut.jpg"),
    "huge.png": (lambda path: path.write_bytes(png_header(20_000, 10_000)), "pixels"),
    "hollow.png": (lambda path: path.write_bytes(png_header(300, 300)), "hollow.png"),
    "hills.jpg": (landscape, "no human face"),
    "speck.png": (
        lambda path: path.write_bytes(cv2.imencode(".png", np.zeros((1, 1, 3), np.uint8))[1]),
        "no human face",
    ),
    "strip.png": (
        lambda path: path.write_bytes(cv2.imencode(".png", np.zeros((2, 9000, 3), np.uint8))[1]),
        "no human face",
    ),
    "song.m4a": (sound_only, "song.m4a"),
    "motion.npz": (lambda path: store.save(template("nod"), path), "motion.npz"),
    "page.html": (lambda path: path.write_text("<html><body>me</body></html>"), "page.html"),
    "drawing.svg": (lambda path: path.write_text('<svg xmlns="http://www.w3.org/2000/svg"/>'), "drawing.svg"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BAD_PORTRAITS)
def test_bad_portraits(capfd, tmp_path, folder, name):
    make, words = BAD_PORTRAITS[name]
    make(tmp_path / name)
    for out in ("new.mp4", "old.mp4"):
        message = told(capfd, ["animate", tmp_path / name, "--motion", "nod", "-o", folder / out], USAGE)
        assert name in message
        assert words in message
    assert name in told(capfd, ["edit", tmp_path / name, "-o", folder / "old.png"], USAGE)
    assert_untouched(folder)


@pytest.mark.parametrize("name", ["no_human_face_dog.jpg", "alpaca.jpg"])
def test_animals_are_refused(capfd, shared_data, folder, name):
    path = shared_data / "hard" / name
    message = told(capfd, ["animate", path, "--motion", "nod", "-o", folder / "old.mp4"], USAGE)
    assert f"{name}: no human face found" in message
    assert_untouched(folder)


def test_a_face_that_is_not_there(capfd, shared_data, folder):
    path = shared_data / "hard" / "two_faces.jpg"
    line = ["animate", path, "--motion", "nod", "-o", folder / "old.mp4", "--face", "5"]
    assert "two_faces.jpg: there is no face 5, only 2 found; use --face 0 to 1" in told(capfd, line, USAGE)
    assert_untouched(folder)


def pickled(path):
    arrays = {"times": np.array([{"a": 1}, None], dtype=object), "schema": np.int32(1)}
    np.savez(path, **arrays)


def wrong_shape(path):
    motion = template("nod")
    store.save(motion, path)
    with np.load(path) as data:
        arrays = {name: data[name] for name in data.files}
    np.savez(path, **{**arrays, "expression": arrays["expression"][:, :50]})


def not_finite(path):
    store.save(template("nod"), path)
    with np.load(path) as data:
        arrays = {name: data[name] for name in data.files}
    arrays["rotation"][3] = np.nan
    np.savez(path, **arrays)


def damaged_npz(path):
    store.save(template("nod"), path)
    damage(path, path, start=0.02, end=0.98, every=50)


def no_face(path):
    write_clip(path)


BAD_MOTIONS = {
    "missing.mp4": (lambda path: None, "does not exist"),
    "folder.mp4": (Path.mkdir, "is a folder"),
    "empty.mp4": (Path.touch, "is empty"),
    "note.mp4": (text, "note.mp4"),
    "playlist.m3u8": (lambda path: path.write_text("#EXTM3U\nfile:///etc/passwd\n"), "playlist.m3u8"),
    "picture.png": (landscape, "no human face found"),
    "nobody.mp4": (no_face, "no frame shows a human face"),
    "noise.npz": (lambda path: path.write_bytes(os.urandom(5000)), "noise.npz"),
    "damaged.npz": (damaged_npz, "damaged.npz"),
    "pickled.npz": (pickled, "pickled.npz"),
    "shape.npz": (wrong_shape, "expression"),
    "nan.npz": (not_finite, "not finite"),
    "garbage.csv": (lambda path: path.write_bytes(os.urandom(3000)), "garbage.csv"),
    "table.csv": (lambda path: path.write_text("name,age\nLisa,24\n"), "table.csv"),
    "empty.csv": (Path.touch, "is empty"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BAD_MOTIONS)
def test_bad_motions(capfd, astronaut, tmp_path, folder, name):
    make, words = BAD_MOTIONS[name]
    make(tmp_path / name)
    for out in ("new.mp4", "old.mp4"):
        line = ["animate", astronaut, "--motion", tmp_path / name, "-o", folder / out, *SMALL]
        message = told(capfd, line, USAGE)
        assert name in message
        assert words in message
    assert_untouched(folder)


@pytest.mark.parametrize("name", ["missing.mp4", "note.mp4", "nobody.mp4", "song.mp4", "picture.png"])
def test_bad_videos_cannot_be_tracked(capfd, tmp_path, folder, name):
    make, _ = {**BAD_MOTIONS, "song.mp4": (sound_only, "")}[
        name
    ]  # a motion by its sound, but no face to track
    make(tmp_path / name)
    assert name in told(capfd, ["track", tmp_path / name, "-o", folder / "new.npz"], USAGE)
    assert_untouched(folder)


def test_an_unknown_template_lists_the_known_ones(capfd, astronaut, folder):
    line = ["animate", astronaut, "--motion", "dance", "-o", folder / "old.mp4"]
    message = told(capfd, line, USAGE)
    assert "dance" in message
    assert "look-around" in message
    assert_untouched(folder)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
def test_cut_drivers_give_what_there_is_or_nothing(capfd, astronaut, face_clip, tmp_path, folder, share):
    driver = cut(face_clip, tmp_path / "cut.mp4", share)
    line = ["animate", astronaut, "--motion", driver, "-o", folder / "new.mp4", *SMALL]
    code = run([str(word) for word in line])
    said = capfd.readouterr()
    assert "Traceback" not in said.err
    if share < 0.1:
        assert code == USAGE
    if code == USAGE:
        assert "cut.mp4" in said.err
        assert_untouched(folder)
        return
    assert code == 0
    assert said.err == ""
    frames = len(list(media.read_frames(folder / "new.mp4")))
    assert 0 < frames <= 36
    assert f": {frames} frame" in said.out
    assert gioconda.verify(folder / "new.mp4").status == "ours"


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_damaged_drivers_end_well_or_with_a_word(capfd, astronaut, face_clip, tmp_path, folder, seed):
    driver = damage(face_clip, tmp_path / "damaged.mp4", start=0.2, end=0.9, every=150, seed=seed)
    line = ["animate", astronaut, "--motion", driver, "-o", folder / "new.mp4", *SMALL]
    code = run([str(word) for word in line])
    said = capfd.readouterr()
    assert code in (0, USAGE)
    assert "Traceback" not in said.err
    assert (folder / "new.mp4").exists() == (code == 0)


BAD_OUTPUTS = {
    "out.avi": (USAGE, ".mp4, .webm, .gif"),
    "out": (USAGE, "has no suffix"),
    "out.png": (USAGE, ".mp4"),
    "no/such/folder/out.mp4": (OUTPUT, "folder does not exist"),
    "out/old.mp4/out.mp4": (OUTPUT, "old.mp4"),
}


@pytest.mark.parametrize("name", BAD_OUTPUTS)
def test_bad_outputs_of_animate(capfd, astronaut, tmp_path, folder, name):
    code, words = BAD_OUTPUTS[name]
    message = told(capfd, ["animate", astronaut, "--motion", "nod", "-o", tmp_path / name], code)
    assert words in message
    assert_untouched(folder)


def test_a_folder_is_no_output(capfd, astronaut, tmp_path, folder):
    (folder / "old.mp4").rename(tmp_path / "kept")
    (folder / "old.mp4").mkdir()
    line = ["animate", astronaut, "--motion", "nod", "-o", folder / "old.mp4"]
    assert "is a folder" in told(capfd, line, OUTPUT)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(capfd, astronaut, folder):
    folder.chmod(0o500)
    line = ["animate", astronaut, "--motion", "nod", "-o", folder / "new.mp4"]
    assert "new.mp4" in told(capfd, line, OUTPUT)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("edit {astronaut} -o {folder}/out.mp4", ".png, .jpg"),
        ("track {astronaut} -o {folder}/out.mp4", ".npz, .csv"),
        ("animate {astronaut} --motion nod -o {folder}/old.mp4 --engine magic", "choose one of warp"),
        ("animate {astronaut} --motion nod -o {folder}/old.mp4 --strength 5", "--strength 5"),
        ("animate {astronaut} --motion nod -o {folder}/old.mp4 --size 8", "--size 8"),
        ("edit {astronaut} -o {folder}/old.png --set jawOpn=0.5", "jawOpen"),
        ("edit {astronaut} -o {folder}/old.png --yaw 300", "--yaw 300"),
        ("animate {astronaut} --motion nod -o {folder}/old.mp4 --key {folder}/no.pem", "certificate"),
        (
            "edit {astronaut} -o {folder}/old.png --key {folder}/no.pem --certificate {folder}/no.pem",
            "no.pem",
        ),
        ("edit {astronaut} -o {folder}/old.png --key {note} --certificate {note}", "note.pem"),
    ],
)
def test_options_that_cannot_be_met(capfd, astronaut, tmp_path, folder, line, words):
    note = tmp_path / "note.pem"
    note.write_text("not a key")
    words_typed = line.format(astronaut=astronaut, folder=folder, note=note).split()
    assert words in told(capfd, words_typed, USAGE)
    assert_untouched(folder)


def turned(path, image):
    exif = Picture.Exif()
    exif[0x0112] = 6  # stored lying on its side; shown turned clockwise
    Picture.fromarray(np.rot90(image)).save(path, exif=exif, quality=95)


def sixteen_bits(path, image):
    assert cv2.imwrite(str(path), image[:, :, ::-1].astype(np.uint16) * 257)


def sixteen_bits_grey(path, image):
    assert cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.uint16) * 257)


def with_alpha(path, image):
    alpha = np.full(image.shape[:2], 255, np.uint8)
    alpha[:, :20] = 0
    Picture.fromarray(np.dstack([image, alpha])).save(path)


ODD_PORTRAITS = {
    "turned.jpg": turned,
    "grey.jpg": lambda path, image: Picture.fromarray(image).convert("L").save(path),
    "grey_alpha.png": lambda path, image: Picture.fromarray(image).convert("LA").save(path),
    "print.jpg": lambda path, image: Picture.fromarray(image).convert("CMYK").save(path, quality=95),
    "palette.gif": lambda path, image: Picture.fromarray(image).convert("P").save(path),
    "alpha.png": with_alpha,
    "alpha.webp": with_alpha,
    "deep.png": sixteen_bits,
    "deep_grey.png": sixteen_bits_grey,
    "deep.tiff": sixteen_bits,
    "odd.bmp": lambda path, image: Picture.fromarray(image[:-1, :-1]).save(path),
    "wrong_name.txt": lambda path, image: Picture.fromarray(image).save(path, format="PNG"),
    "Ünï côdé 画.png": lambda path, image: Picture.fromarray(image).save(path),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ODD_PORTRAITS)
def test_odd_portraits_work(capfd, astronaut_image, tmp_path, name):
    ODD_PORTRAITS[name](tmp_path / name, np.ascontiguousarray(astronaut_image[:384, 32:416]))
    out = tmp_path / "out.png"
    line = ["edit", tmp_path / name, "-o", out, "--crop", "--size", 128, "--yaw", 5]
    assert run([str(word) for word in line]) == 0
    said = capfd.readouterr().err
    assert ("lies over white" in said) if name in ("alpha.png", "alpha.webp") else not said
    plain = next(gioconda.frames_of(gioconda.Edit(astronaut_image, crop=True, size=128, yaw=5))).image
    luma = [cv2.cvtColor(i, cv2.COLOR_RGB2GRAY).ravel() for i in (media.read_picture(out)[0], plain)]
    assert np.corrcoef(*luma)[0, 1] > 0.9, "upright, and as bright"


def one_frame(path, images):
    write_clip(path, images[:1])


def ten_bits(path, images):
    write_clip(
        path, images, codec="libx265", pix_fmt="yuv420p10le", options={"x265-params": "log-level=none"}
    )


def odd_sized(path, images):
    write_clip(path, [image[:181, :187] for image in images], pix_fmt="yuv444p")


def on_its_side(path, images):
    rotate(write_clip(path, [np.ascontiguousarray(np.rot90(image)) for image in images]), -90)


def animated(path, images):
    first, *rest = [Picture.fromarray(image) for image in images]
    first.save(path, save_all=True, append_images=rest, duration=50)


# How many frames come of a driver. A single one is a picture: a film of 4 s goes into its expression and back.
ODD_DRIVERS = {
    "one.mp4": (one_frame, 101),
    "ten_bits.mp4": (ten_bits, 12),
    "odd.mkv": (odd_sized, 12),
    "turned.mov": (on_its_side, 12),
    "loop.gif": (animated, 12),
    "loop.webp": (animated, 12),
    "wrong_name.jpg": (lambda path, images: write_clip(path.with_suffix(".mp4"), images).rename(path), 12),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ODD_DRIVERS)
def test_odd_drivers_work(capfd, astronaut, face_images, tmp_path, name):
    make, count = ODD_DRIVERS[name]
    make(tmp_path / name, face_images)
    out = tmp_path / "out.mp4"
    line = ["animate", astronaut, "--motion", tmp_path / name, "-o", out, *SMALL]
    assert run([str(word) for word in line]) == 0, capfd.readouterr().err
    said = capfd.readouterr()
    assert said.err == "" or "is a single picture" in said.err
    assert f": {count} frame" in said.out
    assert "bridged" not in said.out
    assert len(list(media.read_frames(out))) == count


def program(*arguments, limit=None, **environment):
    """A real run of the program, its files held to `limit` bytes."""

    def hold():
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    command = [sys.executable, "-m", "gioconda", *map(str, arguments)]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, **environment},
        preexec_fn=hold if limit else None,
    )


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="file sizes are limited otherwise on Windows")
@pytest.mark.parametrize(
    ("command", "name", "limit"),
    [
        ("animate", "old.mp4", 30_000),
        ("animate", "new.webm", 8_000),
        ("animate", "new.gif", 30_000),
        ("edit", "old.png", 20_000),
        ("track", "new.npz", 10_000),
    ],
)
def test_a_full_disk_is_told_and_leaves_nothing(astronaut, face_clip, folder, command, name, limit):
    line = {
        "animate": ["animate", astronaut, "--motion", "look-around", *SMALL],
        "edit": ["edit", astronaut],
        "track": ["track", face_clip],
    }[command]
    done = program(*line, "-o", folder / name, limit=limit)
    assert done.returncode == OUTPUT, done.stderr
    assert name in done.stderr
    assert "full" in done.stderr
    assert "Traceback" not in done.stderr
    assert_untouched(folder)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="file sizes are limited otherwise on Windows")
def test_a_disk_that_is_full_just_when_signing(astronaut, tmp_path, folder):
    whole = tmp_path / "whole.mp4"
    line = ["animate", astronaut, "--motion", "nod", *SMALL]
    assert program(*line, "-o", whole).returncode == 0
    done = program(*line, "-o", folder / "old.mp4", limit=whole.stat().st_size - 3000)
    assert done.returncode == OUTPUT, done.stderr
    assert done.stderr.startswith("gioconda: old.mp4 cannot be signed")
    assert len(done.stderr.splitlines()) == 1
    assert_untouched(folder)


@pytest.mark.slow
def test_a_real_run_says_nothing_but_its_result(astronaut, face_clip, tmp_path):
    out = tmp_path / "out.mp4"
    done = program("animate", astronaut, "--motion", face_clip, "-o", out, *SMALL)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{out}: 36 frames, 96x96, in ")
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["note.jpg", "cut.jpg", "hills.jpg"])
def test_a_real_run_fails_in_one_line(tmp_path, folder, name):
    BAD_PORTRAITS[name][0](tmp_path / name)
    done = program("animate", tmp_path / name, "--motion", "nod", "-o", folder / "old.mp4")
    assert (done.returncode, done.stdout) == (USAGE, "")
    assert done.stderr.startswith("gioconda: ")
    assert name in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert_untouched(folder)
