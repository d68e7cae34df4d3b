"""The HTTP API: each address with real media, and requests that do not hold."""

from __future__ import annotations

import io
import json
import os
import time
import wave

import cv2
import numpy as np
import pytest
from fastapi.testclient import TestClient

import gioconda
from gioconda import media
from gioconda.web.http.api import build_app
from gioconda.web.requests import JOB
from web_world import (
    ANIMATE,
    EDIT,
    HERE,
    LONG,
    NOBODY,
    files_below,
    post,
    rendering,
    settings,
    wait_for,
)

pytestmark = pytest.mark.slow

TOKEN = "a-token-that-nobody-guesses"  # noqa: S105
ADAPT = {"kind": "adapt", "rights": ANIMATE["rights"]}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A client of a server with one worker."""
    app = build_app(settings(tmp_path_factory.mktemp("served")))
    with TestClient(app, base_url=HERE, raise_server_exceptions=False) as client:
        yield client


def done(client, job):
    """The states that are told of a job until it has ended."""
    with client.stream("GET", f"/v1/jobs/{job}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        return [json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data: ")]


def test_animate_from_upload_to_signed_file(server, inputs, tmp_path):
    answer = post(server, ANIMATE, portrait=inputs[0], motion=inputs[1])
    assert answer.status_code == 202, answer.text
    job = answer.json()["id"]
    assert answer.headers["location"] == f"/v1/jobs/{job}"
    states = done(server, job)
    assert states[-1]["state"] == "done", states[-1]
    assert server.get(f"/v1/jobs/{job}").json() == states[-1]
    result = server.get(f"/v1/jobs/{job}/result")
    assert result.headers["content-type"] == "video/mp4"
    assert "attachment" in result.headers["content-disposition"]
    path = tmp_path / "result.mp4"
    path.write_bytes(result.content)
    assert gioconda.verify(path).status == "ours"
    assert states[-1]["result"]["seconds"] == pytest.approx(media.probe(path).seconds, abs=0.01)
    head = server.head(f"/v1/jobs/{job}/result")
    assert (head.headers["content-length"], head.content) == (str(len(result.content)), b"")
    sidecar = server.get(f"/v1/jobs/{job}/sidecar")
    assert sidecar.status_code == 404
    assert "no sidecar" in sidecar.json()["error"]
    part = server.get(f"/v1/jobs/{job}/result", headers={"Range": "bytes=0-9"})
    assert (part.status_code, part.content) == (206, result.content[:10])
    verify = post(server, {"kind": "verify"}, file=result.content).json()["id"]
    assert done(server, verify)[-1]["state"] == "done"
    verdict = server.get(f"/v1/jobs/{verify}/result").json()
    assert verdict["status"] == "ours"
    assert "/" not in verdict["path"]
    assert server.delete(f"/v1/jobs/{job}").status_code == 204
    assert server.get(f"/v1/jobs/{job}/result").status_code == 404


def test_a_colour_may_lie_behind_a_transparent_picture(server, astronaut_image):
    clear = np.dstack([astronaut_image, np.full(astronaut_image.shape[:2], 255, np.uint8)])
    clear[:128, :64, 3] = 0
    _, png = cv2.imencode(".png", cv2.cvtColor(clear, cv2.COLOR_RGBA2BGRA))
    job = post(server, {**EDIT, "crop": False, "background": "#00ff00"}, portrait=png.tobytes()).json()["id"]
    assert done(server, job)[-1]["state"] == "done"
    result = np.frombuffer(server.get(f"/v1/jobs/{job}/result").content, np.uint8)
    red, green, blue = cv2.imdecode(result, cv2.IMREAD_COLOR)[5, 5, ::-1].astype(int)
    assert green > 240
    assert max(red, blue) < 15


def test_speak_and_edit(server, inputs):
    say = {**ANIMATE, "kind": "speak", "text": "Hi.", "format": "webm"}
    speak = post(server, say, portrait=inputs[0]).json()["id"]
    edit = post(server, EDIT, portrait=inputs[0]).json()["id"]
    spoken = done(server, speak)[-1]["result"]
    assert spoken["sidecar"]
    (word,) = spoken["words"]
    assert word["text"] == "Hi."
    assert 0.2 < word["start"] < word["end"] < spoken["seconds"] < 3.0
    assert server.get(f"/v1/jobs/{speak}/sidecar").headers["content-type"] == "application/c2pa"
    picture = done(server, edit)[-1]["result"]
    assert (picture["media_type"], picture["seconds"], picture["words"]) == ("image/png", 0.0, [])
    assert server.get(f"/v1/jobs/{edit}/sidecar").status_code == 404
    assert server.get(f"/v1/jobs/{edit}/result").content.startswith(b"\x89PNG")


def test_a_pickle_in_a_motion_is_not_carried_out(server, inputs, tmp_path):
    bomb = io.BytesIO()
    np.savez(bomb, times=np.array([_Trap(tmp_path / "executed")], dtype=object))
    answer = post(server, ANIMATE, portrait=inputs[0], motion=bomb.getvalue())
    assert answer.status_code == 202, answer.text
    state = done(server, answer.json()["id"])[-1]
    assert state["state"] == "failed"
    assert "bug" not in state["error"]
    assert not (tmp_path / "executed").exists()


class _Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_cancel_and_metrics_and_health(server, inputs):
    job = post(server, LONG, portrait=inputs[0]).json()["id"]
    rendering(server.app.state.queue, job)
    assert server.get(f"/v1/jobs/{job}").json()["progress"]["rate"] is not False
    assert server.get(f"/v1/jobs/{job}/result").status_code == 409
    preview = wait_for(lambda: (got := server.get(f"/v1/jobs/{job}/preview")).status_code == 200 and got)
    assert preview.headers["content-type"] == "image/jpeg"
    picture = cv2.imdecode(np.frombuffer(preview.content, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (360, 360, 3)
    assert picture.std() > 20, "a face, not an empty picture"
    since = time.monotonic()
    assert server.post(f"/v1/jobs/{job}/cancel").json()["state"] == "cancelled"
    assert time.monotonic() - since < 2.0
    assert done(server, job)[-1]["state"] == "cancelled"
    after = server.get(f"/v1/jobs/{job}/preview")
    assert (after.status_code, after.content) == (204, b"")
    assert server.get(f"/v1/jobs/{NOBODY}/preview").status_code == 404
    figures = server.get("/metrics").text
    assert 'gioconda_jobs_ended_total{kind="animate",state="cancelled"} 1.0' in figures
    assert job not in figures
    assert server.get("/healthz").json()["status"] == "ok"


def test_the_server_tells_its_limits_and_what_it_can_do(idle, monkeypatch):
    told = idle.get("/v1/server").json()
    assert (told["version"], told["upload_bytes"]) == (gioconda.__version__, 2**20)
    assert {"animate", "speak", "edit", "verify", "adapt"} <= set(told["kinds"])
    assert {use["use"]: use["side"] for use in told["sessions"]}["edit"] == 512
    monkeypatch.setattr("gioconda.runtime.extras.find_spec", lambda _: None)
    told = idle.get("/v1/server").json()
    able = {purpose["name"]: purpose for purpose in told["purposes"]}
    assert {name: purpose["available"] for name, purpose in able.items()} == {"photos": True, "speech": True}
    assert "adapt" in told["kinds"], "photos can be kept and mouths collected"


def test_voices_are_listed_and_can_be_heard(idle):
    told = idle.get("/v1/voices").json()
    assert {"f2", "m1"} <= set(told["voices"])
    assert {"code": "fr", "name": "French (France)"} in told["languages"]
    for name in told["voices"]:
        JOB.validate_python({"kind": "speak", "rights": "mine", "text": "a", "voice": name})
    high, low, usual, french = (
        idle.get(f"/v1/voices/{voice}/sample", params=language)
        for voice, language in (("f2", {}), ("m1", {}), ("usual", {}), ("f2", {"language": "fr"}))
    )
    assert (high.headers["content-type"], high.headers["cache-control"]) == (
        "audio/wav",
        "public, max-age=86400",
    )
    assert len({high.content, low.content, usual.content, french.content}) == 4
    assert pitch(high) > 1.3 * pitch(low), "a woman's voice and a man's"
    for address, status in (("nobody/sample", 404), ("..%2ff2/sample", 404), ("f2/sample?language=xx", 422)):
        assert idle.get(f"/v1/voices/{address}").status_code == status, address


def pitch(answer):
    """Hertz of a voice in a WAV file: the median over its voiced pieces of 40 ms."""
    with wave.open(io.BytesIO(answer.content)) as sound:
        rate = sound.getframerate()
        levels = np.frombuffer(sound.readframes(sound.getnframes()), "<i2").astype(float)
    assert 1.5 < len(levels) / rate < 6.0
    lags = np.arange(rate // 350, rate // 70)
    found = []
    for piece in np.split(levels, range(rate // 25, len(levels), rate // 25))[:-1]:
        likeness = [piece[:-lag] @ piece[lag:] / (piece @ piece + 1) for lag in lags]
        if piece.std() > 500 and max(likeness) > 0.5:
            found.append(rate / lags[np.argmax(likeness)])
    return np.median(found)


def test_a_full_queue_is_told_with_a_time(idle, inputs):
    first, second, third = (post(idle, EDIT, portrait=inputs[0]) for _ in range(3))
    assert (first.status_code, second.status_code, third.status_code) == (202, 202, 429)
    assert int(third.headers["retry-after"]) >= 1
    assert "limit" in third.json()["error"]
    assert idle.get("/healthz").status_code == 503  # nobody works here


@pytest.mark.parametrize(
    ("job", "role", "field", "choices"),
    [
        ({**ANIMATE, "engine": "fewshot"}, "portrait", "engine", "choose warp or lipsync"),
        ({**ADAPT, "purpose": "fewshot"}, "source", "purpose", "choose photos or speech"),
    ],
)
def test_what_needs_a_file_of_the_server_is_not_offered_and_says_so(idle, inputs, job, role, field, choices):
    answer = post(idle, job, **{role: inputs[0]})
    assert answer.status_code == 422
    problem = answer.json()["error"]
    assert problem.startswith(f"job.{field}: fewshot needs a file of the server's machine")
    assert choices in problem
    assert files_below(idle.folder) == []
    schemas = idle.get("/openapi.json").json()["components"]["schemas"]
    assert "fewshot" not in json.dumps(schemas), "nothing says that it could be chosen"


@pytest.mark.parametrize(
    ("job", "files", "status"),
    [
        ({**EDIT, "rights": None}, {"portrait": b"P"}, 422),
        ({name: EDIT[name] for name in EDIT if name != "rights"}, {"portrait": b"P"}, 422),
        ({**EDIT, "portrait": "/etc/passwd"}, {"portrait": b"P"}, 422),
        ({**EDIT, "yaw": 1000}, {"portrait": b"P"}, 422),
        ({**EDIT, "background": "wall"}, {"portrait": b"P"}, 422),
        ({**EDIT, "background": "/etc/hostname"}, {"portrait": b"P"}, 422),
        ({**EDIT, "coefficients": {"../x": 1}}, {"portrait": b"P"}, 422),
        ({**ANIMATE, "template": "../../etc/passwd"}, {"portrait": b"P"}, 422),
        ({**ANIMATE, "kind": "speak", "text": "a", "voice": "../../x"}, {"portrait": b"P"}, 422),
        ({**ANIMATE, "kind": "speak", "text": "a", "language": "../x"}, {"portrait": b"P"}, 422),
        ({**ANIMATE, "engine": "http://127.0.0.1:1/"}, {"portrait": b"P"}, 422),
        (ANIMATE, {"portrait": b"P"}, 422),  # no motion
        (EDIT, {}, 422),
        ("{", {"portrait": b"P"}, 400),
        ('{"kind":"edit","rights":"\\ud800abc"}', {"portrait": b"P"}, 400),
        ("[]", {"portrait": b"P"}, 422),
        (EDIT, {"portrait": b""}, 415),
        (EDIT, {"portrait": b"#EXTM3U\nhttp://127.0.0.1:9/a.ts\n"}, 415),
        (EDIT, {"portrait": b"ffconcat version 1.0\nfile /etc/passwd\n"}, 415),
        (
            EDIT,
            {"portrait": b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>"},
            415,
        ),
        (EDIT, {"portrait": b"%!PS\n(/etc/passwd) (r) file"}, 415),
        (EDIT, {"portrait": b"push graphic-context\nimage over 0,0 0,0 'https://127.0.0.1/x'"}, 415),
        (EDIT, {"portrait": b"v=0\nc=IN IP4 127.0.0.1\n"}, 415),
        (EDIT, {"portrait": b"\x80\x04\x95\x0f."}, 415),  # a pickle
        (EDIT, {"secrets": b"P"}, 400),
        (EDIT, {"portrait": b"P" + bytes(2**20)}, 413),
    ],
)
def test_what_does_not_hold_is_refused_and_leaves_nothing(idle, inputs, job, files, status):
    given = {
        role: content.replace(b"P", inputs[0], 1) if content[:1] == b"P" else content
        for role, content in files.items()
    }
    answer = post(idle, job, **given)
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error", "request_id"}
    assert str(idle.folder) not in answer.text
    assert files_below(idle.folder) == []


@pytest.mark.parametrize(
    ("job", "told"),
    [
        ("{", "not valid JSON"),
        ({"rights": "mine"}, "the kinds are animate, speak, edit, export, verify, adapt"),
        (
            {**EDIT, "turn": 3},
            "job.turn: a job of kind 'edit' has no such field; its fields are format, yaw,",
        ),
        ({**EDIT, "yaw": 1000, "crop": 1}, "job.yaw: must be at most 90; job.crop: must be true or false"),
        ({**ANIMATE, "face": "both"}, "job.face: must be a whole number or 'all'"),
        ({"kind": "edit"}, "job.rights: is required"),
    ],
)
def test_a_refused_request_says_what_each_field_must_be(idle, inputs, job, told):
    said = post(idle, job, portrait=inputs[0]).json()["error"]
    assert told in said
    assert "Input" not in said


def test_bodies_that_are_cut_short_or_damaged(idle, inputs):
    for content, kind in (
        (
            b'--b\r\nContent-Disposition: form-data; name="portrait"\r\n\r\n' + inputs[0][:500],
            "multipart/form-data; boundary=b",
        ),
        (b"nonsense", "multipart/form-data; boundary=b"),
        (b"x" * 100, "multipart/form-data; boundary=" + "b" * 5000),
        (b"--b--\r\n", "multipart/form-data"),
        (json.dumps(EDIT).encode(), "application/json"),
        (b"", ""),
    ):
        answer = idle.post("/v1/jobs", content=content, headers={"Content-Type": kind})
        assert answer.status_code in (400, 415), answer.text
        assert files_below(idle.folder) == []
    whole = f'--b\r\nContent-Disposition: form-data; name="job"\r\n\r\n{json.dumps(EDIT)}\r\n--b\r\n'.encode()
    cut = whole + b'Content-Disposition: form-data; name="portrait"\r\n\r\n' + inputs[0][:500]
    answer = idle.post("/v1/jobs", content=cut, headers={"Content-Type": "multipart/form-data; boundary=b"})
    assert answer.status_code == 400, answer.text  # a file without its end is no file
    assert files_below(idle.folder) == []


def test_head_is_answered_as_get_without_a_body(idle, inputs):
    job = post(idle, EDIT, portrait=inputs[0]).json()["id"]
    for address in (
        "/docs",
        "/openapi.json",
        "/healthz",
        "/metrics",
        f"/v1/jobs/{job}",
        "/v1/jobs/" + NOBODY,
    ):
        asked, got = idle.head(address), idle.get(address)
        assert asked.status_code == got.status_code, address
        assert asked.headers["content-type"] == got.headers["content-type"]
        assert not asked.content
    since = time.monotonic()
    assert idle.head(f"/v1/jobs/{job}/events").headers["content-type"].startswith("text/event-stream")
    assert time.monotonic() - since < 5.0  # the job never ends
    assert idle.head("/v1/jobs").status_code == 405
