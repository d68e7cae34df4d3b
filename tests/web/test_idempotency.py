"""A repeated request with the same Idempotency-Key: after a lost answer, during an upload, after a restart."""

from __future__ import annotations

import asyncio
import json
import sqlite3

import httpx
import pytest
from fastapi.testclient import TestClient

from gioconda.web.http.api import build_app
from gioconda.web.queue.store import Store
from web_world import EDIT, files_below, settings, small_portrait

HERE = "http://127.0.0.1"
KEY = "3f1c-a-key-made-up"


@pytest.fixture(scope="module")
def portrait(astronaut_image, tmp_path_factory):
    return small_portrait(astronaut_image, tmp_path_factory.mktemp("portrait")).read_bytes()


def post(client, job, portrait, key=KEY):
    return client.post("/v1/jobs", files=parts(job, portrait), headers={"Idempotency-Key": key})


def parts(job, portrait):
    return [("job", (None, json.dumps(job))), ("portrait", ("a.png", portrait))]


def test_the_same_request_makes_one_job_also_after_a_restart(tmp_path, portrait):
    with TestClient(build_app(settings(tmp_path, workers=0, queue=1)), base_url=HERE) as client:
        first = post(client, EDIT, portrait)
        job = first.json()["id"]
        assert first.status_code == 202
        again = post(client, dict(reversed(EDIT.items())), portrait)
        assert (again.status_code, again.json()["id"]) == (200, job), "though the queue is full"
        assert again.headers["location"] == f"/v1/jobs/{job}"
        assert len(files_below(tmp_path)) == 2, "one folder with one file"
        for other, picture in (({**EDIT, "yaw": 9}, portrait), (EDIT, portrait + b"\0")):
            refused = post(client, other, picture)
            assert refused.status_code == 422
            assert "new key" in refused.json()["error"]
        assert post(client, EDIT, portrait, "another-key").status_code == 429
    with TestClient(build_app(settings(tmp_path, workers=0)), base_url=HERE) as client:
        assert post(client, EDIT, portrait).json()["id"] == job
        assert client.delete(f"/v1/jobs/{job}").status_code == 204
        fresh = post(client, EDIT, portrait)
        assert fresh.status_code == 202, "a key lives as long as its job"
        assert fresh.json()["id"] != job


@pytest.mark.parametrize(
    ("key", "told"),
    [("short", "8 characters or more"), ("x" * 129, "128 characters or fewer"), ("two words", "the form")],
)
def test_a_key_that_is_none_is_refused(tmp_path, portrait, key, told):
    with TestClient(build_app(settings(tmp_path, workers=0)), base_url=HERE) as client:
        refused = post(client, EDIT, portrait, key)
    assert refused.status_code == 422
    assert f"Idempotency-Key: must have {told}" in refused.json()["error"]
    assert files_below(tmp_path) == []


def test_a_key_whose_upload_is_in_progress_is_busy_until_it_ends(tmp_path, portrait):
    app = build_app(settings(tmp_path, workers=0))
    try:
        asyncio.run(_interrupted(app, portrait))
    finally:
        app.state.queue.close()


async def _interrupted(app, portrait):
    """Send half a body, the same again meanwhile, and once more after the first is cut."""
    whole = httpx.Request("POST", HERE, files=parts(EDIT, portrait))
    body, headers = whole.read(), {"Idempotency-Key": KEY, "Content-Type": whole.headers["content-type"]}
    begun, cut = asyncio.Event(), asyncio.Event()

    async def half():
        yield body[: len(body) // 2]
        begun.set()
        await cut.wait()

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=HERE) as client:
        first = asyncio.create_task(client.post("/v1/jobs", content=half(), headers=headers))
        await begun.wait()
        busy = await client.post("/v1/jobs", content=body, headers=headers)
        assert busy.status_code == 409, busy.text
        assert int(busy.headers["retry-after"]) >= 1
        assert "still being uploaded" in busy.json()["error"]
        cut.set()
        assert (await first).status_code == 400
        assert (await client.post("/v1/jobs", content=body, headers=headers)).status_code == 202


def test_a_database_of_an_earlier_version_gains_the_keys(tmp_path):
    path = tmp_path / "jobs.sqlite"
    with sqlite3.connect(path) as old:
        old.execute(
            "CREATE TABLE jobs (number INTEGER PRIMARY KEY, id TEXT, kind TEXT, request TEXT, state TEXT,"
            " attempts INTEGER DEFAULT 0, created REAL, started REAL, finished REAL, expires REAL, error TEXT,"
            " result TEXT)"
        )
        old.execute(
            "INSERT INTO jobs (id, kind, request, state, created) VALUES ('a', 'edit', '', 'queued', 1)"
        )
    old.close()
    store = Store(path)
    assert (store.state("a").position, store.by_key(KEY)) == (1, None)
    store.close()
