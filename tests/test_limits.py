"""Every cap of `limits.py` holds, says by how much it was passed, and comes before the work that it spares."""

import dataclasses
import io
import json

import cv2
import numpy as np
import pytest

from gioconda import face, media
from gioconda.batch.table import read_rows
from gioconda.engines.fewshot import identity
from gioconda.engines.fewshot.network import read_tensors
from gioconda.errors import GiocondaError, InputError, LimitError
from gioconda.limits import LIMITS, Limits
from gioconda.motion import livelink, store
from gioconda.motion.templates import template
from gioconda.runtime.onnx import open_graph
from gioconda.speech import voice
from media_factory import write_clip


@pytest.fixture
def cap():
    """Sets a cap wherever it is read: all modules share the one value."""
    before = dataclasses.asdict(LIMITS)

    def set_one(name, value):
        assert name in before
        object.__setattr__(LIMITS, name, value)

    yield set_one
    for name, value in before.items():
        object.__setattr__(LIMITS, name, value)


def picture(path):
    cv2.imwrite(str(path), np.zeros((48, 64, 3), np.uint8))
    return path


def animation(path):
    from PIL import Image

    frames = [Image.fromarray(np.full((48, 64, 3), 9 * i, np.uint8)) for i in range(6)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100)
    return path


def sound(path):
    return media.write_sound(path, np.zeros(32_000, np.float32), 16_000)


def weights(path):
    from safetensors.numpy import save_file

    save_file({"a": np.zeros(400, np.float32)}, path, {"about": "x" * 400})
    return path


def motion(path):
    store.save(template("nod"), path)
    return path


def columns(path):
    livelink.write_livelink(path, template("nod"))
    return path


def jobs(path):
    path.write_text("out,portrait\n" + "a.mp4,a.png\n" * 5)
    return path


def read_all(reader):
    with reader as items:
        return len(list(items))


def writer(path):
    return media.open_writer(path.with_suffix(".mp4"), (64, 48), times=[0.0])


# cap, a value below what the file has, the file's name, what makes it, what reads it, words of the error
CAPS = [
    ("file_bytes", 100, "a.png", picture, media.read_picture, "100"),
    ("file_bytes", 100, "a.mp4", write_clip, media.probe, "100"),
    (
        "picture_pixels",
        3000,
        "a.png",
        picture,
        media.read_picture,
        "64x48 = 3,072 pixels, the limit is 3,000",
    ),
    ("picture_pixels", 3000, "a.jpg", picture, media.read_picture, "3,072"),
    ("picture_pixels", 3000, "a.webp", picture, media.read_picture, "3,072"),
    ("video_pixels", 3000, "a.mp4", write_clip, media.probe, "64x48 = 3,072 pixels, the limit is 3,000"),
    ("video_pixels", 3000, "a.gif", animation, media.probe, "64x48 = 3,072 pixels"),
    ("video_seconds", 1.0, "a.mp4", write_clip, media.probe, "limit is 1"),
    ("video_seconds", 0.5, "a.gif", animation, media.probe, "cut it"),
    ("video_frames", 29, "a.mp4", write_clip, media.probe, "30 frames, the limit is 29"),
    ("video_frames", 5, "a.gif", animation, media.probe, "6 frames"),
    ("video_frames", 20, "a.npz", motion, store.load, "the limit is 20"),
    ("video_frames", 20, "a.csv", columns, livelink.read_livelink, "more than 20"),
    ("video_seconds", 0.5, "a.npz", motion, store.load, "limit is 0"),
    ("video_seconds", 0.5, "a.csv", columns, livelink.read_livelink, "limit is 0"),
    ("sound_seconds", 1.0, "a.wav", sound, lambda path: read_all(media.read_sound(path)), "the limit is 1"),
    (
        "text_characters",
        10,
        "a.txt",
        lambda path: path,
        lambda _: voice.say("Good evening, all."),
        "limit is 10",
    ),
    ("motion_bytes", 1000, "a.npz", motion, store.load, "the limit is 1,000"),
    ("csv_bytes", 1000, "a.csv", columns, livelink.read_livelink, "1,000"),
    ("identity_bytes", 1000, "a.safetensors", weights, identity.read, "larger than"),
    ("weights_bytes", 1000, "a.safetensors", weights, read_tensors, "larger than"),
    ("weights_bytes", 1000, "a.onnx", weights, lambda path: open_graph(path, 1), "larger than"),
    ("header_bytes", 300, "a.safetensors", weights, identity.read, "header"),
    ("output_side", 60, "a.png", picture, writer, "the limit of a side is 60"),
    ("table_bytes", 50, "a.csv", jobs, read_rows, "the limit is 50"),
    ("table_lines", 4, "a.csv", jobs, read_rows, "more than 4 jobs"),
]


@pytest.mark.parametrize(
    ("name", "value", "file", "make", "read", "words"), CAPS, ids=lambda v: v if isinstance(v, str) else ""
)
def test_a_cap_holds(cap, tmp_path, name, value, file, make, read, words):
    path = tmp_path / file
    made = make(path)
    read_once = getattr(LIMITS, name)
    cap(name, value)
    with pytest.raises((GiocondaError, ValueError)) as told:
        read(path if made is None else made)
    assert words in str(told.value)
    if isinstance(told.value, GiocondaError) and name != "header_bytes":
        assert isinstance(told.value, LimitError)
    assert read_once > value
    assert not list(tmp_path.glob(".*.part*"))


def test_every_cap_is_tried():
    tried = {name for name, *_ in CAPS} | {"faces"}
    assert tried == {field.name for field in dataclasses.fields(Limits)}


def test_what_is_within_the_caps_is_read(cap, tmp_path):
    cap("picture_pixels", 3072)
    cap("video_pixels", 3072)
    cap("video_frames", 30)
    assert media.read_picture(picture(tmp_path / "a.png"))[0].shape == (48, 64, 3)
    assert read_all(media.read_frames(write_clip(tmp_path / "a.mp4"))) == 30


def test_of_many_faces_the_largest_are_taken(cap, astronaut_image):
    face_alone = astronaut_image[0:256, 80:336]
    small = cv2.resize(face_alone, (160, 160), interpolation=cv2.INTER_AREA)
    crowd = np.full((256, 440, 3), 128, np.uint8)
    crowd[:, :256], crowd[48:208, 270:430] = face_alone, small
    assert len(face.detect_faces(crowd)) == 2
    cap("faces", 1)
    (kept,) = face.detect_faces(crowd)
    assert kept.landmarks[:, 0].max() < 256


def test_a_header_that_claims_more_than_there_is_costs_nothing(tmp_path):
    header = json.dumps({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 16)
    with pytest.raises(InputError, match="safetensors"):
        identity.read(path)


def test_a_gif_whose_frames_outgrow_the_first_ends_before_them(cap, tmp_path):
    small, large = (gif(*size) for size in ((64, 48), (640, 480)))
    path = tmp_path / "grows.gif"
    path.write_bytes(small[:-1] + large[frames_at(large) :])
    with media.read_frames(path) as reader:
        assert len(list(reader)) == 2
    cap("video_pixels", 10_000)
    with media.read_frames(path) as reader:
        assert len(list(reader)) == 1
        assert reader.truncated


def gif(width, height):
    """A GIF of one plain frame."""
    from PIL import Image

    out = io.BytesIO()
    Image.new("P", (width, height), 3).save(out, "GIF")
    return out.getvalue()


def frames_at(data):
    """Where the frames of a GIF begin, behind its header and palette."""
    return 13 + (3 * 2 ** ((data[10] & 7) + 1) if data[10] & 128 else 0)
