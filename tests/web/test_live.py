"""Sessions before a webcam: the portrait does what the face does, labelled; bounds, idleness, hostile callers."""

from __future__ import annotations

from itertools import islice

import cv2
import numpy as np
import pytest

import gioconda
from gioconda import media
from gioconda.errors import InputError, LimitError
from gioconda.web.errors import QueueFullError
from gioconda.web.live import sessions, wire
from live_world import HERE, RIGHTS, jpeg_of, openings, picture_of, serving
from web_world import wait_for

pytestmark = pytest.mark.slow

NOBODY = "x" * 22


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("live"), idle_seconds={"live": 600.0, "edit": 600.0}) as client:
        yield client


@pytest.fixture(scope="module")
def live(client, astronaut):
    """A session, and the picture of its portrait."""
    return client.live.open("live", astronaut, RIGHTS)


@pytest.fixture(scope="module")
def webcam(talking_astronaut):
    """Pictures as a webcam gives them, 320x240 with the face in the middle."""
    with media.read_frames(talking_astronaut) as frames:
        images = [
            cv2.resize(one.image, (240, 240), interpolation=cv2.INTER_AREA) for one in islice(frames, 40)
        ]
    return [cv2.copyMakeBorder(one, 0, 0, 40, 40, cv2.BORDER_REPLICATE) for one in images]


def follow(client, name, body, **options):
    return client.post(f"/v1/live/{name}/follow", content=body, **options)


def test_the_portraits_mouth_does_what_the_webcams_does(client, live, webcam):
    shown = []
    for image in webcam:
        answer = follow(client, live[0], jpeg_of(image))
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-face"] == "true"
        shown.append(picture_of(answer.content))
    told, seen = openings(webcam), openings(shown)
    assert np.ptp(told) > 0.05, "the driver does not speak"
    assert np.corrcoef(told[6:], seen[6:])[0, 1] > 0.8
    assert float(answer.headers["x-milliseconds"]) > 0
    figures = client.get("/metrics").text
    assert 'gioconda_sessions{use="live"} 1.0' in figures
    assert 'gioconda_sessions{use="edit"} 0.0' in figures


def test_every_picture_carries_sign_and_watermark(client, live, webcam, tmp_path):
    shown = [picture_of(live[1]), picture_of(follow(client, live[0], jpeg_of(webcam[0])).content)]
    for i, image in enumerate(shown):
        corners = [image[-40:, -130:], image[-40:, :130], image[:40, -130:], image[:40, :130]]
        # white letters on a darkened ground
        assert any((part.min(2) > 200).mean() > 0.05 and (part.max(2) < 100).mean() > 0.3 for part in corners)
        path = tmp_path / f"{i}.png"
        assert cv2.imwrite(str(path), image[..., ::-1])
        assert gioconda.verify(path).watermark is not None


def test_a_picture_without_a_face_is_told_and_the_session_goes_on(client, live, webcam):
    answer = follow(client, live[0], jpeg_of(np.full((240, 320, 3), 90, np.uint8)))
    assert (answer.status_code, answer.headers["x-face"], answer.content) == (204, "false", b"")
    assert follow(client, live[0], jpeg_of(webcam[0])).status_code == 200


def test_calibration_takes_the_next_pictures_for_the_face_at_rest(client, live, webcam):
    calmest, widest = (webcam[int(pick(openings(webcam)))] for pick in (np.argmin, np.argmax))
    follow(client, live[0], jpeg_of(calmest), params={"calibrate": True})
    for _ in range(7):
        follow(client, live[0], jpeg_of(calmest))
    for _ in range(8):
        before = picture_of(follow(client, live[0], jpeg_of(widest)).content)
    answer = follow(client, live[0], jpeg_of(widest), params={"calibrate": True})
    assert answer.headers["x-calibrated"] == "false"
    for _ in range(7):
        answer = follow(client, live[0], jpeg_of(widest))
    assert answer.headers["x-calibrated"] == "true"
    wide, rest = openings([before, picture_of(answer.content)])
    assert rest < wide - 0.02


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"GIF89a not a JPEG", 422),
        (b"\xff\xd8\xff" + bytes(400), 422),
        (jpeg_of(np.zeros((480, 2000, 3), np.uint8)), 413),
        (jpeg_of(np.zeros((100, 100, 3), np.uint8))[:300], 422),
        (bytes(wire.FRAME_BYTES + 1), 413),
    ],
    ids=["empty", "gif", "garbage", "too wide", "cut short", "too many bytes"],
)
def test_what_is_no_webcam_picture_is_refused_and_harms_nobody(client, live, webcam, body, status):
    answer = follow(client, live[0], body)
    # a picture that is cut short has a head that is fine: it may be taken as one without a face
    assert answer.status_code == status or (status == 422 and answer.status_code == 204), answer.text
    if answer.content:
        assert answer.json()["error"]
    assert follow(client, live[0], jpeg_of(webcam[0])).status_code == 200


def test_random_bytes_behind_a_good_head_never_end_the_session(client, live, webcam):
    rng = np.random.default_rng(3)
    good = jpeg_of(webcam[0])
    for _ in range(25):
        bad = bytearray(good)
        for at in rng.integers(20, len(bad), 40):
            bad[at] = rng.integers(256)
        assert follow(client, live[0], bytes(bad)).status_code in (200, 204, 413, 422)
    assert client.live.get(live[0]).alive


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "https://evil.example"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"host": "evil.example"}, 400),
        ({"origin": HERE}, 200),
    ],
)
def test_pages_of_other_sites_get_no_picture(client, live, webcam, headers, status):
    assert follow(client, live[0], jpeg_of(webcam[0]), headers=headers).status_code == status


def test_the_token_is_asked_for(tmp_path):
    token = "t" * 20
    with serving(tmp_path, token=token) as client:
        assert follow(client, NOBODY, b"x").status_code == 401
        allowed = {"authorization": f"Bearer {token}"}
        assert follow(client, NOBODY, b"x", headers=allowed).status_code == 422


def test_unknown_sessions_are_not_found(client, webcam):
    for name in (NOBODY, "..%2f..%2fetc", "short"):
        assert follow(client, name, jpeg_of(webcam[0])).status_code == 404


def test_more_pictures_at_once_than_fit_are_refused(client, live):
    session = client.live.get(live[0])
    for _ in range(sessions.WAITING):
        assert session._room.acquire(blocking=False)
    answer = client.post(f"/v1/sessions/{live[0]}/look", json={})
    for _ in range(sessions.WAITING):
        session._room.release()
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "1"


def test_sessions_are_bounded_let_go_when_idle_and_ended_by_a_flood(astronaut, tmp_path, monkeypatch):
    monkeypatch.setitem(sessions.MOST, "live", 1)
    with serving(tmp_path, idle_seconds={"live": 2.0, "edit": 60.0}) as client:
        first, _ = client.live.open("live", astronaut, RIGHTS)
        pid = client.live.get(first).pid
        with pytest.raises(QueueFullError, match="limit"):
            client.live.open("live", astronaut, RIGHTS)
        wait_for(lambda: client.live.count == 0)
        assert client.post(f"/v1/sessions/{first}/look", json={}).status_code == 404
        assert not _runs(pid)
        second, _ = client.live.open("live", astronaut, RIGHTS)
        assert 404 in _flood(client, second), "a flood has to end"
        assert client.live.count == 0


def _flood(client, name):
    """The answers to more requests at once than fit."""
    session = client.live.get(name)
    for _ in range(sessions.WAITING):
        session._room.acquire()
    return [client.post(f"/v1/sessions/{name}/look", json={}).status_code for _ in range(3 * sessions.FLOOD)]


def test_a_portrait_without_a_face_or_right_starts_nothing(client, tmp_path, astronaut):
    before = client.live.count
    path = tmp_path / "grey.png"
    assert cv2.imwrite(str(path), np.full((80, 80, 3), 90, np.uint8))
    with pytest.raises(InputError, match="no human face"):
        client.live.open("live", path, RIGHTS)
    with pytest.raises(InputError, match="declare"):
        client.live.open("live", astronaut, " ")
    with pytest.raises(InputError):
        client.live.open("live", tmp_path / "nothing.png", RIGHTS)
    assert client.live.count == before


def test_a_jpegs_size_is_told_by_its_head():
    assert wire.check_jpeg(jpeg_of(np.zeros((120, 200, 3), np.uint8))) == (200, 120)
    with pytest.raises(LimitError):
        wire.check_jpeg(jpeg_of(np.zeros((10, 200, 3), np.uint8)))


def _runs(pid):
    import psutil

    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
