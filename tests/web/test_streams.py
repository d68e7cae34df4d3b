"""The page's event streams: an event handed in while a stream ends is not lost, and the server's end ends all."""

import asyncio
import json
from types import SimpleNamespace

import pytest

from gioconda.web.page import streams

CLOSE = b'data: {"msg":"close_stream"}\n\n'
QUEUE = SimpleNamespace(closed=False)


def scope(path, query=b""):
    return {"type": "http", "path": path, "query_string": query}


async def gradio(scope, receive, send):
    """What Gradio does: answers an event with its id, and ends the stream once nothing is left."""
    if scope["path"] == streams.JOIN:
        await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    body = CLOSE if scope["path"] == streams.STREAM else json.dumps({"event_id": "e"}).encode()
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def silent():
    await asyncio.sleep(3600)


def telling(body):
    """What is received of a request with a body."""

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


class Page:
    """Reads the stream's end only `late` seconds after it was sent, as over a network."""

    def __init__(self, late):
        self.open, self._late = False, late

    def reading(self):
        self.open = True

        async def send(message):
            if message.get("body") == CLOSE:
                asyncio.get_running_loop().call_later(self._late, setattr, self, "open", False)

        return send


def test_an_event_handed_in_while_its_stream_ends_finds_the_stream_ended():
    seen = []

    async def run():
        answering, page = streams.Streams(gradio, QUEUE), Page(late=0.1)

        async def send(message):
            if message["type"] == "http.response.body":
                seen.append(page.open)

        await answering(scope(streams.STREAM, b"session_hash=one"), silent, page.reading())
        assert page.open  # the end is under way
        body = json.dumps({"session_hash": "one"}).encode()
        await answering(scope(streams.JOIN), telling(body), send)

    asyncio.run(run())
    assert seen == [False]


@pytest.mark.parametrize("body", [b"[]", b"{", b'{"session_hash": 3}', b'{"session_hash": "other"}'])
def test_events_of_others_do_not_wait(body, monkeypatch):
    monkeypatch.setattr(streams, "_WAIT", 30.0)

    async def run():
        answering, page = streams.Streams(gradio, QUEUE), Page(late=0)
        await answering(scope(streams.STREAM, b"session_hash=one"), silent, page.reading())
        took = asyncio.get_running_loop().time()

        async def send(_message):
            pass

        await answering(scope(streams.JOIN), telling(body), send)
        assert asyncio.get_running_loop().time() - took < 10

    asyncio.run(run())


def test_the_ends_of_many_sessions_are_not_kept_for_ever():
    async def run():
        answering = streams.Streams(gradio, QUEUE)

        async def send(_message):
            pass

        for number in range(streams.SESSIONS + 50):
            await answering(scope(streams.STREAM, f"session_hash={number}".encode()), silent, send)
        assert len(answering.ended) == streams.SESSIONS

    asyncio.run(run())


def test_a_stream_ends_when_the_server_does():
    sent = []

    async def endless(_scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        assert await receive() == {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    async def run():
        queue = SimpleNamespace(closed=False)
        following = asyncio.create_task(
            streams.Streams(endless, queue)(scope(f"{streams.HEARTBEAT}one"), silent, send)
        )
        await asyncio.sleep(0.05)
        assert not following.done()
        queue.closed = True
        await asyncio.wait_for(following, 2)
        assert sent[-1] == {"type": "http.response.body", "body": b"", "more_body": False}

    asyncio.run(run())
