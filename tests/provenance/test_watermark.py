"""The watermark: what is marked is read, also after what happens to films; what is plain never is."""

import time

import cv2
import numpy as np
import pytest

from gioconda.provenance import Watermarker, describe_payload, job_payload, read_watermark
from marks_world import PAYLOAD, marked_fixture, pictures, plain_fixture, recode  # noqa: F401


def test_payload_tells_version_engine_and_job():
    fields = describe_payload(PAYLOAD)
    assert fields["version"] == 1
    assert fields["engine"] == "warp"
    assert job_payload("warp", "portrait hash", "another motion") != PAYLOAD
    assert (
        describe_payload(job_payload("warp", "a"))["job"] != describe_payload(job_payload("warp", "b"))["job"]
    )
    assert describe_payload(job_payload("one of tomorrow", "x"))["engine"] == "other"


def test_one_picture_tells_its_payload(marked):
    assert read_watermark(marked[:1]).payload == PAYLOAD


@pytest.mark.parametrize("size", [(256, 256), (300, 420), (1280, 720), (1281, 723)])
def test_every_size_tells_its_payload(astronaut_image, size):
    image = cv2.resize(astronaut_image, size, interpolation=cv2.INTER_AREA)
    for number in (PAYLOAD, 1 << 28, (1 << 28) + 2**24 - 1):
        assert read_watermark([Watermarker(size, number).apply(image)]).payload == number


def test_a_long_picture_tells_its_payload():
    image = np.random.default_rng(1).normal(128, 4, (9000, 256, 3)).clip(0, 255).astype(np.uint8)
    assert read_watermark([Watermarker((256, 9000), PAYLOAD).apply(image)]).payload == PAYLOAD


def test_mark_is_faint_and_grey(plain, astronaut_image):
    noise = np.random.default_rng(1).integers(0, 256, (512, 512, 3), np.uint8)
    for image in (plain[3], astronaut_image, noise, np.full((512, 512, 3), 128, np.uint8)):
        change = Watermarker((512, 512), PAYLOAD).apply(image).astype(int) - image
        assert 10 * np.log10(255**2 / np.mean(change**2)) >= 42
    flat = Watermarker((512, 512), PAYLOAD).apply(np.full((512, 512, 3), 128, np.uint8)).astype(int) - 128
    assert np.abs(flat).max() == 1
    assert (flat == flat[:, :, :1]).all()


def test_mark_leaves_its_input_alone(plain):
    before = plain[0].copy()
    Watermarker((512, 512), PAYLOAD).apply(plain[0])
    assert (before == plain[0]).all()


def test_mark_refuses_another_size_and_a_foreign_payload(plain):
    with pytest.raises(ValueError, match="shape"):
        Watermarker((512, 500), PAYLOAD).apply(plain[0])
    with pytest.raises(ValueError, match="job_payload"):
        Watermarker((512, 512), 7)


def test_mark_costs_little(plain):
    mark = Watermarker((512, 512), PAYLOAD)
    times = []
    for _ in range(30):
        since = time.perf_counter()
        mark.apply(plain[0])
        times.append(time.perf_counter() - since)
    assert min(times) < 0.0015  # 0.3 ms measured; the rest is room for slow machines


ATTACKS = {
    "crf 23": lambda images: recode(images, 23),
    "crf 28": lambda images: recode(images, 28),
    "half": lambda images: recode(images, 23, (256, 256)),
    "three quarters": lambda images: recode(images, 23, (384, 384)),
    "crop": lambda images: recode([i[20:480, 33:493] for i in images], 23),
    "crop and stretch": lambda images: recode([i[20:480, 33:493] for i in images], 23, (512, 512)),
    "darker": lambda images: [cv2.convertScaleAbs(i, alpha=0.8, beta=-10) for i in images],
}


@pytest.mark.slow
@pytest.mark.parametrize("attack", ATTACKS)
def test_mark_outlives(marked, attack):
    assert read_watermark(ATTACKS[attack](marked)).payload == PAYLOAD


@pytest.mark.parametrize("engine", ["warp", "fewshot", "lipsync"])
def test_of_a_mark_upon_a_mark_both_are_told_and_no_third(marked, engine):
    later = job_payload(engine, "the film that carries the first")
    mark = Watermarker((512, 512), later)
    reading = read_watermark(recode([mark.apply(image) for image in recode(marked, 23)], 23))
    told = {reading.payload, *(reading.naming(number).payload for number in (PAYLOAD, later, later ^ 1))}
    assert told == {PAYLOAD, later}
    assert reading.naming(later).payload == later
    assert read_watermark(marked).naming(later).payload == PAYLOAD


def test_mark_in_a_real_clip_outlives_a_strong_encoding(shared_data):
    path = sorted((shared_data / "lrw_ar" / "id10").iterdir())[0]
    images = list(pictures(path))
    height, width = images[0].shape[:2]
    mark = Watermarker((width, height), PAYLOAD)
    assert read_watermark(recode([mark.apply(i) for i in images], 28)).payload == PAYLOAD


@pytest.mark.parametrize(
    "images",
    [
        [],
        [np.zeros((40, 30, 3), np.uint8)],
        [np.full((200, 300, 3), 80, np.uint8)],
        [np.random.default_rng(0).integers(0, 256, (40_000, 64, 3), np.uint8)],
        [np.random.default_rng(0).integers(0, 256, (64, 40_000, 3), np.uint8)],
        [np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)],
        [
            np.kron(np.indices((32, 32)).sum(0) % 2 * 200, np.ones((8, 8)))
            .astype(np.uint8)[..., None]
            .repeat(3, 2)
        ],
    ],
    ids=["nothing", "tiny", "flat", "tall", "wide", "noise", "chequers"],
)
def test_no_mark_where_none_is(images):
    assert read_watermark(images).payload is None


@pytest.mark.slow
def test_plain_media_raise_no_alarm(shared_data, plain):
    assert read_watermark(plain).payload is None
    videos = sorted((shared_data / "driving").glob("*.mp4"))[:8]
    videos += [sorted(folder.iterdir())[0] for folder in sorted((shared_data / "lrw_ar").glob("id*"))[:8]]
    stills = sorted((shared_data / "portraits").iterdir())[:8]
    readings = {path.name: read_watermark(pictures(path)) for path in (*videos, *stills)}
    assert len(readings) >= 20
    assert {name for name, reading in readings.items() if reading.payload is not None} == set()
