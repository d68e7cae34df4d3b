"""Webhooks: a job's final state, signed and sent again until it is taken, to no host but those that are allowed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from fastapi.testclient import TestClient

from gioconda.cli import run
from gioconda.errors import InputError
from gioconda.web.http.api import build_app
from gioconda.web.queue import webhooks
from web_world import EDIT, queue_of, settings, small_portrait, wait_for

HERE = "http://127.0.0.1"
TOKEN = "a-token-that-nobody-guesses"  # noqa: S105


@pytest.fixture(scope="module")
def portrait(astronaut_image, tmp_path_factory):
    return small_portrait(astronaut_image, tmp_path_factory.mktemp("portrait")).read_bytes()


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(webhooks, "FIRST_PAUSE", 0.05)


@contextmanager
def receiving(statuses=(), port=0):
    """A receiver that answers with these statuses, then 204: its address, and the requests that it has got."""
    requests, answers = [], list(statuses)

    class Handler(BaseHTTPRequestHandler):
        # Seconds.
        timeout = 10

        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            requests.append((self.path, self.headers, body))
            self.send_response(answers.pop(0) if answers else 204)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        do_GET = do_POST  # noqa: N815

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}", requests
        finally:
            server.shutdown()
            thread.join(10)
            assert not thread.is_alive()


def submitted(client, portrait, url):
    files = [("job", (None, json.dumps(EDIT))), ("portrait", ("a.png", portrait))]
    return client.post("/v1/jobs", files=files, headers={"Webhook": url})


@contextmanager
def client_of(folder, **changes):
    app = build_app(settings(folder, workers=0, token=TOKEN, **changes))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with TestClient(app, base_url=HERE, headers=headers) as client:
        yield client


def test_the_final_state_arrives_signed_after_failures_and_once(tmp_path, portrait):
    with (
        receiving((500, 302, 429)) as (host, got),
        client_of(tmp_path, webhook_hosts=(host,)) as client,
    ):
        assert client.get("/v1/server").json()["webhooks"] == [host]
        answer = submitted(client, portrait, f"http://{host}/done?who=me")
        assert answer.status_code == 202, answer.text
        job = answer.json()["id"]
        state = client.post(f"/v1/jobs/{job}/cancel").json()
        wait_for(lambda: len(got) == 4, 10)
        assert not wait_or(lambda: len(got) > 4, 0.4), "taken is taken"
    assert {path for path, _, _ in got} == {"/done?who=me"}, "no redirect is followed"
    for _, headers, body in got:
        assert json.loads(body) == state
        said = f"{job}.{headers['webhook-timestamp']}.".encode() + body
        digest = hmac.new(TOKEN.encode(), said, hashlib.sha256).digest()
        assert headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
        assert headers["webhook-id"] == job
        assert "authorization" not in headers


def wait_or(condition, seconds):
    """Whether something happens within a time."""
    try:
        return wait_for(condition, seconds)
    except AssertionError:
        return False


def test_a_restart_goes_on_and_an_hour_is_the_end(tmp_path, portrait, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    changes = {"webhook_hosts": (f"127.0.0.1:{port}",)}
    with client_of(tmp_path, **changes) as client:
        jobs = [submitted(client, portrait, f"http://127.0.0.1:{port}").json()["id"] for _ in range(2)]
        client.post(f"/v1/jobs/{jobs[0]}/cancel")
        tries = "SELECT webhook_tries FROM jobs WHERE id = ?"
        store = client.app.state.queue._store
        wait_for(lambda: store._rows(tries, (jobs[0],))[0][0] >= 2)
    with receiving(port=port) as (_, got), queue_of(tmp_path, workers=0, token=TOKEN, **changes) as queue:
        wait_for(lambda: got, 10)
        assert [json.loads(body)["id"] for _, _, body in got] == [jobs[0]]
        assert got[0][0] == "/"
    monkeypatch.setattr(webhooks, "GIVE_UP_SECONDS", 0.2)
    with queue_of(tmp_path, workers=0, token=TOKEN, **changes) as queue:
        queue.cancel(jobs[1])
        left = "SELECT webhook FROM jobs WHERE id = ?"
        wait_for(lambda: queue._store._rows(left, (jobs[1],)) == [(None,)], 5)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://169.254.169.254/latest", "sends no webhooks to 169.254.169.254"),
        ("http://127.0.0.1:22/", "127.0.0.1:22"),
        ("https://allowed.example:8443/", "--webhook-host allowed.example:8443"),
        ("https://allowed.example@evil.example/", "without a password"),
        ("https://me:secret@allowed.example/", "without a password"),
        ("https://evil.example\\@allowed.example/", "such as https"),
        ("https://allowed.example.evil.example/", "sends no webhooks"),
        ("https://allowed.example./", "sends no webhooks"),
        ("https://allowed.example:port/", "such as https"),
        ("https://[allowed.example/", "such as https"),
        ("file:///etc/passwd", "Webhook: must have the form"),
        ("gopher://allowed.example/", "Webhook: must have the form"),
    ],
)
def test_no_other_host_is_asked(tmp_path, portrait, url, told):
    with client_of(tmp_path, webhook_hosts=("allowed.example",)) as client:
        refused = submitted(client, portrait, url)
        assert refused.status_code == 422
        assert told in refused.json()["error"]
        assert "secret" not in refused.json()["error"]


def test_the_usual_ports_of_an_allowed_name_are_allowed():
    for url in ("https://hooks.example/a", "http://HOOKS.example:80", "https://hooks.example:443/?b"):
        webhooks.check_webhook(url, ("hooks.example",))
    with pytest.raises(InputError):
        webhooks.check_webhook("http://hooks.example:443/", ("hooks.example",))


def test_a_server_sends_to_no_host_of_its_own_accord(tmp_path, portrait, capsys, monkeypatch):
    with client_of(tmp_path) as client:
        assert "--webhook-host" in submitted(client, portrait, "https://a.example/").json()["error"]
    monkeypatch.delenv("GIOCONDA_TOKEN", raising=False)
    assert run(["serve", "--port", "0", "--data", str(tmp_path), "--webhook-host", "a.example"]) == 2
    assert "--token-file" in capsys.readouterr().err
