"""Who is let in: hosts, origins, tokens, addresses that lead out of a folder, a proxy's prefix, the command itself."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import signal
import socket
import sys

import httpx
import pytest
from fastapi.testclient import TestClient

import gioconda
from gioconda.cli import run
from gioconda.web.http.api import build_app
from gioconda.web.serve import read_token
from programs import address_of, running
from web_world import EDIT, HERE, LONG, NOBODY, post, serve_command, settings, wait_for

pytestmark = pytest.mark.slow

TOKEN = "a-token-that-nobody-guesses"  # noqa: S105


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
    written = tmp_path / "log"
    with written.open("w") as errors, running(command, stderr=errors) as server:
        address = re.search(r"http://\S+:(\d+)", address_of(server, written))
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
        log = [json.loads(line) for line in written.read_text().splitlines()[1:]]
        assert re.match(r"workers: \d+; this machine grants \d+ cores? and .* GiB", log[0]["message"])
        assert {"request", "job queued"} <= {line["message"] for line in log}
        assert not [line for line in log if line["level"] == "error" or "exception" in line]
        assert not any(job in json.dumps(line) for line in log)
