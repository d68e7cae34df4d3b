"""Sessions for sliders: pictures and files are what the request says; both quick tabs in a real Chromium."""

from __future__ import annotations

import asyncio
import json
from itertools import islice

import cv2
import numpy as np
import pytest
from starlette.requests import Request

import gioconda
from gioconda.cli import run
from gioconda.motion import store
from gioconda.motion.pose import euler_from_rotation
from gioconda.types import ARKIT_INDEX
from gioconda.web.errors import MalformedError
from gioconda.web.http.live_sessions import body
from gioconda.web.live import sessions
from live_world import RIGHTS, open_session, openings, picture_of
from live_world import serving as answering

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("edit")]

TURNED = {"time": 1.0, "yaw": 18.0, "coefficients": {"jawOpen": 0.6}}
CALM = {"time": 2.0}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with answering(tmp_path_factory.mktemp("edit")) as client:
        yield client


@pytest.fixture(scope="module")
def name(client, astronaut):
    answer = open_session(client, astronaut, "edit")
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"/v1/sessions/{answer.json()['id']}"
    return answer.json()["id"]


def looked(client, name, **look):
    answer = client.post(f"/v1/sessions/{name}/look", json=look)
    assert answer.status_code == 200, answer.text
    return picture_of(answer.content)


@pytest.mark.slow
def test_the_picture_follows_sliders_whatever_was_shown_before(client, name):
    rest = looked(client, name)
    values = (0.0, 0.3, 0.6, 0.9)
    shown = [looked(client, name, coefficients={"jawOpen": value}) for value in values]
    assert (np.diff(openings(shown)) > 0.01).all()
    looked(client, name, yaw=25, roll=10, gaze_x=-1)
    assert np.array_equal(looked(client, name), rest)
    assert rest.shape == (512, 512, 3)


def test_a_session_states_its_pictures_and_where_the_faces_are(client, name):
    state = client.get(f"/v1/sessions/{name}").json()
    assert (state["width"], state["height"], state["use"]) == (512, 512, "edit")
    (face,) = state["faces"]
    # the astronaut's face is in the upper half of her portrait, left of the middle
    assert 0.3 < face["x"] + face["width"] / 2 < 0.5
    assert 0.1 < face["y"] + face["height"] / 2 < 0.35
    answer = client.get(f"/v1/sessions/{name}/picture")
    assert answer.headers["content-type"] == "image/jpeg"
    assert np.array_equal(picture_of(answer.content), looked(client, name))


def test_the_picture_is_that_of_the_job(client, name, astronaut):
    look = {"yaw": 12.0, "gaze_x": 0.5, "coefficients": {"jawOpen": 0.4}, "emotion": "happy", "strength": 0.7}
    shown = looked(client, name, **look)
    options = {**look, "emotion": "happy:0.7", "crop": True, "size": 512, "label": True}
    del options["strength"]
    job = next(gioconda.frames_of(gioconda.requests.Edit(astronaut, **options))).image
    assert np.abs(shown.astype(int) - job).mean() < 2.5
    assert np.abs(shown.astype(int) - looked(client, name)).mean() > 5


def test_a_moment_of_a_template_is_that_of_the_film(client, name, astronaut):
    film = gioconda.frames(astronaut, "surprise", crop=True, size=512, label=True)
    first, *_, frame = islice(film, 16)
    shown = looked(client, name, template="surprise", at=frame.time)
    assert np.abs(shown.astype(int) - frame.image).mean() < 2.5
    assert np.abs(shown.astype(int) - first.image).mean() > 2.5


def test_small_pictures_are_labelled_and_marked_too(client, name, tmp_path):
    assert looked(client, name, side=96).shape == (96, 96, 3)
    assert looked(client, name, side=700).shape == (512, 512, 3)
    small = looked(client, name, emotion="surprised", side=256)
    corner = small[-24:, -110:]
    # white letters on a darkened ground
    assert (corner.min(2) > 180).mean() > 0.03
    assert (corner.max(2) < 100).mean() > 0.3
    path = tmp_path / "small.png"
    assert cv2.imwrite(str(path), small[..., ::-1])
    assert gioconda.verify(path).watermark is not None


def test_an_emotion_moves_the_face_that_was_chosen(client, name):
    smile, rest = looked(client, name, emotion="happy"), looked(client, name, emotion="happy", strength=0)
    assert np.array_equal(rest, looked(client, name))
    assert np.abs(smile.astype(int) - rest).mean() > 1


@pytest.mark.parametrize(
    ("fields", "files", "status"),
    [
        ({"use": "edit", "rights": ""}, {"portrait": b"\x89PNG\r\n\x1a\n"}, 422),
        ({"use": "edit"}, {"portrait": b"\x89PNG\r\n\x1a\n"}, 422),
        ({"use": "paint", "rights": RIGHTS}, {"portrait": b"\x89PNG\r\n\x1a\n"}, 422),
        ({"use": "edit", "rights": RIGHTS, "side": 10_000}, {"portrait": b"\x89PNG\r\n\x1a\n"}, 422),
        ({"use": "edit", "rights": RIGHTS, "path": "/etc/passwd"}, {"portrait": b"\xff\xd8\xff"}, 422),
        ({"use": "edit", "rights": RIGHTS}, {}, 422),
        ({"use": "edit", "rights": RIGHTS}, {"portrait": b"\x89PNG\r\n\x1a\n"}, 422),
        ({"use": "edit", "rights": RIGHTS}, {"portrait": b"no picture"}, 415),
        ({"use": "edit", "rights": RIGHTS}, {"motion": b"PK\x03\x04"}, 400),
        ("{", {"portrait": b"\xff\xd8\xff"}, 400),
    ],
)
def test_what_opens_no_session_is_refused_in_a_sentence_and_leaves_nothing(client, fields, files, status):
    before, folder = client.live.count, client.app.state.settings.data / "live"
    field = fields if isinstance(fields, str) else json.dumps(fields)
    parts = [("session", (None, field)), *((role, ("x", content)) for role, content in files.items())]
    answer = client.post("/v1/sessions", files=parts)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]
    assert client.live.count == before
    assert [path for path in folder.iterdir() if path.is_dir()] == []


def test_an_ended_session_is_not_found(client, astronaut):
    other = open_session(client, astronaut, "edit", side=128).json()
    assert (other["width"], looked(client, other["id"]).shape) == (128, (128, 128, 3))
    assert client.delete(f"/v1/sessions/{other['id']}").status_code == 204
    for method, path in (("GET", ""), ("GET", "/picture"), ("DELETE", ""), ("POST", "/look")):
        answer = client.request(method, f"/v1/sessions/{other['id']}{path}", content="{}")
        assert answer.status_code == 404
        assert "session" in answer.json()["error"]


def test_a_face_that_is_not_there_opens_nothing(client, astronaut):
    answer = open_session(client, astronaut, "edit", face=1)
    assert answer.status_code == 422
    assert "no face 1" in answer.json()["error"]


@pytest.mark.slow
def test_keyframes_are_played_as_they_are_saved(client, name, astronaut, tmp_path):
    keys = [CALM, TURNED]  # in any order
    shown = [
        picture_of(client.post(f"/v1/sessions/{name}/play", json={"keys": keys, "at": at}).content)
        for at in (0.0, 1.0, 2.0)
    ]
    assert int(np.argmax(openings(shown))) == 1
    answer = client.post("/v1/motions", json={"keys": keys})
    assert answer.headers["content-disposition"].startswith("attachment")
    path, film = tmp_path / "keyframes.npz", tmp_path / "film.mp4"
    path.write_bytes(answer.content)
    table = client.post("/v1/motions", json={"keys": keys}, params={"format": "csv"})
    assert table.headers["content-type"].startswith("text/csv")
    assert table.text.startswith("Timecode")
    assert client.post("/v1/motions", json={"keys": keys}, params={"format": "exe"}).status_code == 422
    motion = store.load(path)
    yaw = euler_from_rotation(motion.rotation)[0]
    assert (motion.times[-1], len(motion), int(np.argmax(yaw))) == (2.0, 51, 25)
    assert yaw[[0, 25, 50]] == pytest.approx([0, 18, 0], abs=0.01)
    assert motion.expression[25, ARKIT_INDEX["jawOpen"]] == pytest.approx(0.6)
    options = ["--motion", str(path), "-o", str(film), "--crop", "--size", "256"]
    assert run(["animate", str(astronaut), *options]) == 0
    film_openings = openings([frame.image for frame in _frames(film)])
    assert abs(int(np.argmax(film_openings)) - 25) <= 3


def _frames(path):
    from gioconda import media

    with media.read_frames(path) as frames:
        return list(frames)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("look", "no JSON"),
        ("look", "[1]"),
        ("look", '{"yaw": 1e9}'),
        ("look", '{"yaw": NaN}'),
        ("look", '{"yaw": "x", "portrait": "/etc/passwd"}'),
        ("look", '{"coefficients": {"jawOpen": 2}}'),
        ("look", '{"coefficients": {"__class__": 0.5}}'),
        ("look", '{"emotion": "bored"}'),
        ("look", '{"emotion": "happy", "strength": 2}'),
        ("look", '{"template": "smile", "yaw": 3}'),
        ("look", '{"template": "../smile"}'),
        ("look", '{"side": 8}'),
        ("look", " " * 300_000),
        ("play", '{"keys": [], "at": 0}'),
        ("play", json.dumps({"keys": [TURNED] * 101, "at": 0})),
        ("play", json.dumps({"keys": [TURNED, TURNED], "at": 0})),
        ("play", json.dumps({"keys": [{**TURNED, "time": 0}], "at": 0})),
    ],
)
def test_what_is_no_look_is_refused_in_a_sentence(client, name, path, body):
    answer = client.post(f"/v1/sessions/{name}/{path}", content=body)
    assert answer.status_code in (400, 413, 422), answer.text
    assert answer.json()["error"]
    assert client.live.get(name).alive


def test_keyframes_too_late_or_none_make_no_file(client):
    for keys in ([], [{"time": 1e4}], [{"time": 1.0}, {"time": 1.01}], [{"coefficients": {}}]):
        answer = client.post("/v1/motions", json={"keys": keys})
        assert answer.status_code in (400, 422)
        assert answer.json()["error"]


@pytest.mark.slow
def test_the_longest_unused_portrait_makes_room(client, name, astronaut, monkeypatch):
    """The last one that looks at the shared session: it is gone then."""
    monkeypatch.setitem(sessions.MOST, "edit", 1)
    second, _ = client.live.open("edit", astronaut, RIGHTS)
    assert client.post(f"/v1/sessions/{name}/look", json={}).status_code == 404
    assert looked(client, second).size
    client.live.close(second)


def test_a_client_that_leaves_in_mid_request_is_no_bug():
    async def gone():
        return {"type": "http.disconnect"}

    async def answer():
        request = Request({"type": "http", "method": "POST", "headers": []}, gone)
        with pytest.raises(MalformedError, match="interrupted"):
            await body(request, 100)

    asyncio.run(answer())
