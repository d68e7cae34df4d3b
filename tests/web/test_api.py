"""The HTTP API: each address with real media, who is let in, attacks on files and addresses, the command itself."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import wave

import cv2
import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient

import gioconda
from gioconda import media
from gioconda.cli import run
from gioconda.web.http.api import build_app
from gioconda.web.requests import JOB
from gioconda.web.serve import read_token
from web_world import (
    ANIMATE,
    EDIT,
    LONG,
    files_below,
    rendering,
    serve_command,
    settings,
    short_motion,
    small_portrait,
    wait_for,
)

pytestmark = pytest.mark.slow

HERE = "http://127.0.0.1"
TOKEN = "a-token-that-nobody-guesses"  # noqa: S105
NOBODY = "x" * 22


@pytest.fixture(scope="module")
def inputs(astronaut_image, tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    return small_portrait(astronaut_image, folder).read_bytes(), short_motion(folder).read_bytes()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A client of a server with one worker."""
    app = build_app(settings(tmp_path_factory.mktemp("served")))
    with TestClient(app, base_url=HERE, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def idle(tmp_path):
    """A client of a server that does no job, with little room."""
    app = build_app(settings(tmp_path, workers=0, queue=2, upload_bytes=2**20))
    with TestClient(app, base_url=HERE, raise_server_exceptions=False, follow_redirects=False) as client:
        client.folder = tmp_path
        yield client


def post(client, job, *, name="../../etc/passwd", **files):
    """Hand in a job; the files' own names are hostile."""
    field = job if isinstance(job, str) else json.dumps(job)
    parts = [("job", (None, field)), *((role, (name, content)) for role, content in files.items())]
    return client.post("/v1/jobs", files=parts)


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
    assert {name: purpose["available"] for name, purpose in able.items()} == {
        "photos": True,
        "fewshot": False,
        "speech": True,
    }
    assert "pip install 'gioconda[train]'" in able["fewshot"]["reason"]
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


def test_a_proxy_may_serve_it_under_a_prefix(tmp_path, inputs):
    fixed = build_app(settings(tmp_path / "fixed", workers=0, root_path="/gio", token=TOKEN))
    told = build_app(settings(tmp_path / "told", workers=0))
    entitled = {"Authorization": f"Bearer {TOKEN}"}
    for app, headers in ((fixed, entitled), (told, {"X-Forwarded-Prefix": "/gio/"})):
        with TestClient(app, base_url=HERE, headers=headers, follow_redirects=False) as client:
            for start in ("", "/gio"):
                assert client.get(f"{start}/").headers["location"] == "/gio/docs"
                assert "/v1/jobs" in client.get(f"{start}/docs").text
                assert client.get(f"{start}/v1/jobs/{NOBODY}").status_code == 404
            assert post(client, EDIT, portrait=inputs[0]).headers["location"].startswith("/gio/v1/jobs/")
    with TestClient(fixed, base_url=HERE) as client:
        assert client.get("/gio/healthz").status_code == 503
        assert client.get("/gio/metrics").status_code == 401
    with TestClient(told, base_url=HERE, headers={"X-Forwarded-Prefix": "//evil.example"}) as client:
        assert "evil" not in client.get("/", follow_redirects=False).headers["location"]


def test_hosts_origins_and_headers(idle):
    for host, status in (
        ("127.0.0.1:7860", 503),
        ("localhost", 503),
        ("[::1]:80", 503),
        ("evil.example", 400),
        ("127.0.0.1.evil.example", 400),
        ("127.0.0.1@evil.example", 400),
        ("", 400),
        ("a b", 400),
    ):
        assert idle.get("/healthz", headers={"Host": host}).status_code == status, host
    for origin, status in (("http://evil.example", 403), ("null", 403), (HERE, 415)):
        assert idle.post("/v1/jobs", headers={"Origin": origin}).status_code == status, origin
    assert idle.post("/v1/jobs", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    answer = idle.get(
        "/v1/jobs/" + NOBODY, headers={"X-Request-ID": "my-id", "Origin": "http://evil.example"}
    )
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == "my-id"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert not any(name.startswith("access-control") for name in answer.headers)
    odd = idle.get("/healthz", headers={"X-Request-ID": "<script>"}).headers["x-request-id"]
    assert re.fullmatch("[0-9a-f]{16}", odd)


def test_the_reference_needs_no_other_site(idle):
    assert idle.get("/").headers["location"] == "/docs"
    page = idle.get("/docs")
    assert "/v1/jobs/{job}/events" in page.text
    assert "http" not in re.sub(r"(description|meaning|<td>).*", "", page.text)
    (script,) = re.findall("<script>(.*?)</script>", page.text, re.DOTALL)
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = page.headers["content-security-policy"]
    assert f"script-src 'sha256-{allowed}'" in policy
    assert "unsafe" not in policy


def test_the_token(tmp_path, inputs):
    app = build_app(settings(tmp_path, workers=0, token=TOKEN))
    with TestClient(app, base_url=HERE) as client:
        for given in (
            None,
            "Bearer wrong",
            f"Bearer {TOKEN}x",
            f"Basic {TOKEN}",
            "Bearer",
            f"bearer  {TOKEN[:-1]}",
        ):
            headers = {} if given is None else {"Authorization": given}
            for address in ("/v1/jobs/" + NOBODY, "/metrics", "/v1/jobs/" + NOBODY + "/result"):
                answer = client.get(address, headers=headers)
                assert answer.status_code == 401, given
                assert answer.headers["www-authenticate"]
                assert ("wrong" if given else "required") in answer.json()["error"]
        assert client.post("/v1/jobs").status_code == 401
        assert client.get("/healthz").status_code == 503
        client.headers["Authorization"] = f"Bearer {TOKEN}"
        assert post(client, EDIT, portrait=inputs[0]).status_code == 202
        assert client.app.openapi()["components"]["securitySchemes"]


def test_jobs_of_others_cannot_be_listed_or_guessed(idle, inputs):
    jobs = {post(idle, EDIT, portrait=inputs[0]).json()["id"] for _ in range(2)}
    assert all(re.fullmatch("[A-Za-z0-9_-]{22}", job) for job in jobs)
    assert idle.get("/v1/jobs").status_code == 405
    for address in ("/metrics", "/healthz", "/docs", "/openapi.json"):
        assert not any(job in idle.get(address).text for job in jobs)


def test_tokens_are_read_and_weak_ones_refused(tmp_path, monkeypatch):
    monkeypatch.delenv("GIOCONDA_TOKEN", raising=False)
    assert read_token(None) is None
    monkeypatch.setenv("GIOCONDA_TOKEN", TOKEN)
    assert read_token(None) == TOKEN
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    assert read_token(file) == TOKEN
    for weak in (b"short", b"", b"two words in one file", b"\xff" * 20):
        file.write_bytes(weak)
        with pytest.raises(gioconda.InputError):
            read_token(file)


def test_the_command_tells_what_stands_in_its_way(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("GIOCONDA_TOKEN", raising=False)
    assert run(["serve", "--host", "0.0.0.0", "--data", str(tmp_path)]) == 2  # noqa: S104
    assert "--token-file" in capsys.readouterr().err
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert run(["serve", "--port", port, "--data", str(tmp_path)]) == 2
    assert "--port" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert run(["serve", "--port", "0", "--data", str(tmp_path)]) == 2
    assert "gioconda[web]" in capsys.readouterr().err


TRAVERSALS = (
    "../../../../etc/passwd",
    "..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e/%2e%2e/jobs.sqlite",
    "%252e%252e%252fjobs.sqlite",
    "..%5c..%5cjobs.sqlite",
    "..%c0%af..%c0%afetc",
    "....//....//jobs.sqlite",
    "%00",
    f"{NOBODY}%00",
    f"{NOBODY}%0a",
    f"{NOBODY}%0d%0aX-Evil:%201",
    "/etc/passwd",
    "%2fetc%2fpasswd",
    "file:///etc/passwd",
    "file:%2f%2f%2fetc%2fpasswd",
    "http://127.0.0.1:1/",
    "http:%2f%2f169.254.169.254%2f",
    "*",
    ".",
    "jobs.sqlite",
    NOBODY,
)


def raw(port, line):
    """The answer to a request whose first line is sent as it is, dots and all."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(f"{line} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_the_command_serves_lets_nobody_out_of_a_folder_and_ends_cleanly(tmp_path, inputs):
    command = serve_command(tmp_path, "--no-page")
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        address = re.search(r"http://\S+:(\d+)", server.stderr.readline())
        with httpx.Client(base_url=address[0], timeout=10) as client:
            wait_for(lambda: client.get("/healthz").status_code == 200)
            assert client.get("/").headers["location"] == "/docs"
            job = post(client, LONG, portrait=inputs[0]).json()["id"]
            for path in (
                *TRAVERSALS,
                f"{job}/../{job}/..",
                f"{job}/portrait.png",
                f"{job}/result/../portrait.png",
            ):
                for ending in ("", "/result", "/sidecar", "/events"):
                    answer = raw(int(address[1]), f"GET /v1/jobs/{path}{ending}")
                    assert re.match(rb"HTTP/1.1 (400|404|405|307) ", answer), (path, ending, answer[:200])
                    assert not re.search(rb"SQLite|root:|PNG|\r\nX-Evil", answer), (path, ending)
            wait_for(lambda: client.get(f"/v1/jobs/{job}").json()["state"] == "running")
            with client.stream("GET", f"/v1/jobs/{job}/events") as stream:
                assert next(stream.iter_lines()) == "event: state"
                server.send_signal(signal.SIGINT)
                assert server.wait(10) == 0  # a listener does not hold it up
        log = [json.loads(line) for line in server.stderr.read().splitlines()]
        assert {"request", "job queued"} <= {line["message"] for line in log}
        assert not [line for line in log if line["level"] == "error" or "exception" in line]
        assert not any(job in json.dumps(line) for line in log)
    finally:
        server.kill()
        server.stderr.close()
