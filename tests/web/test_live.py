"""Sessions that a face drives, over a WebSocket: the portrait does what the face does, labelled; bounds, hostile
callers."""

from __future__ import annotations

import struct
from itertools import islice

import cv2
import numpy as np
import pytest
from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

import gioconda
from gioconda import face, media
from gioconda.errors import InputError, LimitError
from gioconda.web.errors import QueueFullError
from gioconda.web.live import sessions, stream, wire
from live_world import HERE, RIGHTS, jpeg_of, open_session, openings, picture_of, serving
from web_world import wait_for

pytestmark = pytest.mark.slow

NOBODY = "x" * 22
LANDMARKS, CAMERA = 1, 2
SIZE = (320, 240)


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("live"), idle_seconds={"live": 600.0, "edit": 600.0}) as client:
        yield client


@pytest.fixture(scope="module")
def live(client, astronaut):
    """The id of a session."""
    return open_session(client, astronaut, "live").json()["id"]


@pytest.fixture(scope="module")
def webcam(talking_astronaut):
    """Pictures as a webcam gives them, 320x240 with the face in the middle."""
    with media.read_frames(talking_astronaut) as frames:
        images = [
            cv2.resize(one.image, (240, 240), interpolation=cv2.INTER_AREA) for one in islice(frames, 40)
        ]
    return [cv2.copyMakeBorder(one, 0, 0, 40, 40, cv2.BORDER_REPLICATE) for one in images]


@pytest.fixture(scope="module")
def tracked(webcam):
    """The landmarks of those pictures, (N, 478, 3) float32."""
    with face.FaceTracker() as tracker:
        return np.stack([tracker.process(image)[0].landmarks for image in webcam])


def landmarks(points, seconds, size=SIZE):
    """A message with landmarks, or with none."""
    return (
        struct.pack("<Bdff", LANDMARKS, seconds, *size) + b""
        if points is None
        else (struct.pack("<Bdff", LANDMARKS, seconds, *size) + points.astype("<f4").tobytes())
    )


def connected(client, name, **options):
    """A context with the connection of a session, after its first message."""
    return client.websocket_connect(f"{HERE.replace('http', 'ws')}/v1/sessions/{name}/stream", **options)


def driven(socket, message):
    """What a message finds, and the time and the picture (H, W, 3) that it gives, or None."""
    socket.send_bytes(message)
    found = socket.receive_json()
    if found["type"] != "face" or not found["found"]:
        return found, None, None
    answer = socket.receive_bytes()
    kind, seconds = struct.unpack_from("<Bd", answer)
    assert kind == stream.PICTURE
    return found, seconds, picture_of(answer[9:])


def test_landmarks_move_the_portraits_mouth_as_the_drivers(client, live, webcam, tracked):
    shown = []
    with connected(client, live) as socket:
        state = socket.receive_json()
        assert (state["session"]["use"], state["session"]["width"]) == ("live", 384)
        assert {kind["name"] for kind in state["streams"]} >= {"landmarks", "camera"}
        for i, points in enumerate(tracked):
            found, seconds, picture = driven(socket, landmarks(points, 100 + i / 25))
            assert seconds == pytest.approx(100 + i / 25)
            assert found["calibrated"] == (i >= 25), "the neutral face comes from the first second"
            shown.append(picture)
    told, seen = openings(webcam), openings(shown)
    assert np.ptp(told) > 0.05, "the driver does not speak"
    assert np.corrcoef(told[6:], seen[6:])[0, 1] > 0.8
    assert found["milliseconds"] > 0
    figures = client.get("/metrics").text
    assert 'gioconda_sessions{use="live"} 1.0' in figures


def test_pictures_of_a_camera_move_it_too(client, live, webcam):
    with connected(client, live) as socket:
        socket.receive_json()
        shown = []
        for i, image in enumerate(webcam):
            found, seconds, picture = driven(socket, struct.pack("<Bd", CAMERA, i / 25) + jpeg_of(image))
            assert seconds == i / 25
            shown.append(picture)
        assert found["calibrated"]
    assert np.corrcoef(openings(webcam)[6:], openings(shown)[6:])[0, 1] > 0.8


def test_every_picture_carries_sign_and_watermark(client, live, tracked, tmp_path):
    with connected(client, live) as socket:
        socket.receive_json()
        shown = [driven(socket, landmarks(tracked[0], 1.0))[2]]
    shown.append(picture_of(client.get(f"/v1/sessions/{live}/picture").content))
    for i, image in enumerate(shown):
        corners = [image[-40:, -130:], image[-40:, :130], image[:40, -130:], image[:40, :130]]
        # white letters on a darkened ground
        assert any((part.min(2) > 200).mean() > 0.05 and (part.max(2) < 100).mean() > 0.3 for part in corners)
        path = tmp_path / f"{i}.png"
        assert cv2.imwrite(str(path), image[..., ::-1])
        assert gioconda.verify(path).watermark is not None


def test_what_shows_no_face_is_told_and_the_session_goes_on(client, live, tracked):
    with connected(client, live) as socket:
        socket.receive_json()
        empty = bytes([CAMERA]) + jpeg_of(np.full((240, 320, 3), 90, np.uint8))
        no_face = np.random.default_rng(1).normal(size=(478, 3))
        points = (None, tracked[0] + (500, 0, 0), 0 * no_face, 1e30 * no_face, np.nan * no_face)
        for message in (empty, *(landmarks(shape, 1.0) for shape in points)):
            found, _, picture = driven(socket, message)
            assert (found["found"], picture) == (False, None)
        assert driven(socket, landmarks(tracked[0], 1.2))[2] is not None


def test_calibration_takes_the_next_second_for_the_face_at_rest(client, live, webcam, tracked):
    calmest, widest = (tracked[int(pick(openings(webcam)))] for pick in (np.argmin, np.argmax))
    with connected(client, live) as socket:
        socket.receive_json()
        for i in range(30):
            driven(socket, landmarks(calmest, 200 + i / 25))
        for i in range(30, 40):
            found, _, before = driven(socket, landmarks(widest, 200 + i / 25))
        assert found["calibrated"]
        socket.send_json({"type": "calibrate"})
        assert socket.receive_json() == {"type": "state", "calibrated": False}
        for i in range(40, 70):
            found, _, after = driven(socket, landmarks(widest, 200 + i / 25))
            assert found["calibrated"] == (i >= 65)
    wide, rest = openings([before, after])
    assert rest < wide - 0.02


@pytest.mark.parametrize("ending", [".npz", ".csv"])
def test_a_recording_makes_a_film_that_moves_as_the_driver_did(
    client, live, webcam, tracked, tmp_path, ending
):
    address = f"/v1/sessions/{live}/recording"
    with connected(client, live) as socket:
        socket.receive_json()
        calm = tracked[int(np.argmin(openings(webcam)))]
        for i in range(27):
            driven(socket, landmarks(calm, 300 + i / 25))
        socket.send_json({"type": "record", "on": True})
        assert socket.receive_json()["recording"] is True
        assert client.get(address).status_code == 422, "nothing is recorded yet"
        for i, points in enumerate(tracked):
            found = driven(socket, landmarks(points, 302 + i / 25))[0]
        assert found["recorded"] == pytest.approx(len(tracked) / 25, abs=0.01)
        socket.send_json({"type": "record", "on": False})
        assert socket.receive_json() == {"type": "state", "recording": False, "recorded": found["recorded"]}
        driven(socket, landmarks(calm, 310.0))
    answer = client.get(address, params={"format": ending[1:]})
    path = tmp_path / f"recording{ending}"
    path.write_bytes(answer.content)
    portrait = tmp_path / "portrait.png"
    assert cv2.imwrite(
        str(portrait), picture_of(client.get(f"/v1/sessions/{live}/picture").content)[..., ::-1]
    )
    frames = list(gioconda.frames(portrait, path, size=256, refine=False))
    assert frames[-1].time == pytest.approx(len(tracked) / 25, abs=0.05)
    seen = openings([frame.image for frame in frames])
    count = min(len(seen), len(tracked) + 1)
    assert np.corrcoef(openings(webcam)[: count - 1], seen[1:count])[0, 1] > 0.8


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\x09unknown kind",
        b"\x03" + bytes(320),
        bytes([CAMERA]),
        bytes([CAMERA]) + b"GIF89a not a JPEG",
        bytes([CAMERA]) + jpeg_of(np.zeros((480, 2000, 3), np.uint8)),
        bytes([CAMERA]) + bytes(wire.FRAME_BYTES + 1),
        bytes([LANDMARKS]) + bytes(100),
        landmarks(np.zeros((478, 3)), float("nan")),
        landmarks(np.zeros((478, 3)), 1.0, size=(1e9, 240)),
        "{",
        "[1]",
        '{"type": "eval"}',
        '{"type": "record"}',
        '{"type": "calibrate", "portrait": "/etc/passwd"}',
        '{"type": "' + 70_000 * "x" + '"}',
    ],
    ids=str,
)
def test_what_is_no_message_is_refused_in_a_sentence_and_harms_nobody(client, live, tracked, message):
    with connected(client, live) as socket:
        socket.receive_json()
        if isinstance(message, str):
            socket.send_text(message)
        else:
            socket.send_bytes(message)
        if message:
            answer = socket.receive_json()
            assert answer["type"] == "error"
            assert len(answer["error"]) > 20
        assert driven(socket, landmarks(tracked[0], 1.0))[2] is not None


def test_random_bytes_behind_a_good_head_never_end_the_session(client, live, webcam):
    rng = np.random.default_rng(3)
    good = jpeg_of(webcam[0])
    with connected(client, live) as socket:
        socket.receive_json()
        for _ in range(25):
            bad = bytearray(good)
            for at in rng.integers(20, len(bad), 40):
                bad[at] = rng.integers(256)
            assert driven(socket, bytes([CAMERA]) + bytes(bad))[0]["type"] in ("face", "error")
    assert client.live.get(live).alive


def test_a_stale_message_is_dropped_for_a_newer_one(client, live, tracked):
    with connected(client, live) as socket:
        socket.receive_json()
        for i in range(40):
            socket.send_bytes(landmarks(tracked[0], 400 + i / 25))
        times = []
        while not times or times[-1] < 400 + 39 / 25:
            found = socket.receive_json()
            times.append(struct.unpack_from("<Bd", socket.receive_bytes())[1])
    assert len(times) + found["dropped"] == 40
    assert len(times) < 30


def test_a_flood_ends_the_stream_and_not_the_session(client, live):
    with connected(client, live) as socket:
        socket.receive_json()
        for _ in range(3 * stream.MOST_A_SECOND):
            socket.send_text("{}")
        with pytest.raises(WebSocketDisconnect) as ended:
            list(iter(socket.receive_json, None))
    assert ended.value.code == stream.FLOODED
    assert client.get(f"/v1/sessions/{live}").status_code == 200


def test_a_newer_connection_takes_over(client, live, tracked):
    with connected(client, live) as first:
        first.receive_json()
        with connected(client, live) as second:
            second.receive_json()
            assert driven(second, landmarks(tracked[0], 1.0))[2] is not None
            with pytest.raises(WebSocketDisconnect) as ended:
                first.receive_json()
            assert ended.value.code == stream.REPLACED
            assert driven(second, landmarks(tracked[0], 1.1))[2] is not None


def test_a_session_that_dies_ends_its_stream(client, astronaut):
    name = open_session(client, astronaut, "live", side=64).json()["id"]
    with connected(client, name) as socket:
        socket.receive_json()
        client.delete(f"/v1/sessions/{name}")
        with pytest.raises(WebSocketDisconnect) as ended:
            socket.receive_json()
    assert ended.value.code == stream.ENDED


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "https://evil.example"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"host": "evil.example"}, 400),
        ({"origin": HERE}, None),
    ],
)
def test_pages_of_other_sites_get_no_stream(client, live, headers, status):
    if status is None:
        with connected(client, live, headers=headers) as socket:
            assert socket.receive_json()["type"] == "state"
        return
    with pytest.raises(WebSocketDenialResponse) as refused, connected(client, live, headers=headers):
        pass
    assert refused.value.status_code == status
    assert refused.value.json()["error"]


def test_the_token_is_asked_for_and_may_come_as_a_subprotocol(tmp_path):
    token = "t" * 20
    with serving(tmp_path, token=token) as client:
        for options, status in (
            ({}, 401),
            ({"subprotocols": ["gioconda.v1", "gioconda.token.wrong"]}, 401),
            # There is no such session, but the token is right.
            ({"subprotocols": ["gioconda.v1", f"gioconda.token.{token}"]}, 404),
            ({"headers": {"authorization": f"Bearer {token}"}}, 404),
        ):
            with pytest.raises(WebSocketDenialResponse) as refused, connected(client, NOBODY, **options):
                pass
            assert refused.value.status_code == status
        assert client.post("/v1/sessions").status_code == 401


def test_the_subprotocol_is_chosen_and_is_not_the_token(client, live):
    with connected(client, live, subprotocols=["gioconda.token.abc", "gioconda.v1"]) as socket:
        assert socket.accepted_subprotocol == "gioconda.v1"


def test_more_pictures_at_once_than_fit_are_refused(client, live):
    session = client.live.get(live)
    for _ in range(sessions.WAITING):
        assert session._room.acquire(blocking=False)
    answer = client.post(f"/v1/sessions/{live}/look", json={})
    for _ in range(sessions.WAITING):
        session._room.release()
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "1"


def test_sessions_are_bounded_let_go_when_idle_and_ended_by_a_flood(astronaut, tmp_path, monkeypatch):
    monkeypatch.setitem(sessions.MOST, "live", 1)
    monkeypatch.setattr(sessions, "FLOOD", 20)
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
