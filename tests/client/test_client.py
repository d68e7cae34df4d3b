"""A client of a real server: films arrive, also through cuts of the network, lost answers and killed servers."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import socket
import threading
import time

import cv2
import numpy as np
import pytest

import gioconda
from gioconda.errors import InputError
from programs import running
from relay import Relay
from web_world import RIGHTS, serve_command, short_motion, small_portrait, wait_for

pytest.importorskip("fastapi")
pytest.importorskip("httpx")
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("client")]

TOKEN = "a-token-that-nobody-guesses"  # noqa: S105
QUICK = {"crop": True, "size": 64, "refine": False, "rights": RIGHTS}


@pytest.fixture(scope="module", autouse=True)
def token():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIOCONDA_TOKEN", TOKEN)
        yield


@pytest.fixture(scope="module")
def portrait(astronaut_image, tmp_path_factory):
    return small_portrait(astronaut_image, tmp_path_factory.mktemp("portrait"))


@pytest.fixture(scope="module")
def motion(tmp_path_factory):
    return short_motion(tmp_path_factory.mktemp("motion"))


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@contextlib.contextmanager
def served(folder, port):
    """A server with its data in a folder; ends by SIGKILL."""
    command = serve_command(folder, "--no-page", "--workers", "1")
    command[command.index("--port") + 1] = str(port)
    with (folder / "log").open("ab") as log, running(command, stderr=log) as process:
        yield process


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    port = free_port()
    with served(tmp_path_factory.mktemp("served"), port):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def client(url):
    with gioconda.Client(url, TOKEN) as client:
        # The server is still starting.
        client._connection.met = True
        yield client


def jobs_in(folder):
    return [path.name for path in (folder / "data" / "jobs").iterdir()]


def test_a_film_from_call_to_file(client, portrait, motion, tmp_path):
    job = client.animate(portrait, motion, tmp_path / "a.webm", **QUICK)
    states = list(job.watch())
    assert (states[-1].state, states[-1].final, states[-1].kind) == ("done", True, "animate")
    assert (states[-1].result.frames, states[-1].result.width) == (10, 64)
    assert states[0].id == job.id == client.job(job.id).state().id
    assert job.save() == tmp_path / "a.webm"
    verdict = client.verify(tmp_path / "a.webm").result()
    assert verdict.status == "ours", verdict.reasons
    assert verdict.path == str(tmp_path / "a.webm")
    exported = client.export(tmp_path / "a.webm", tmp_path / "b.mp4", shape="square").save()
    assert gioconda.verify(exported).manifest["rights"] == RIGHTS
    assert job.result() == (tmp_path / "a.webm").read_bytes()
    with pytest.raises(InputError, match="the result is of type video/webm"):
        job.save(tmp_path / "a.mp4")
    job.forget()
    job.forget()
    with pytest.raises(gioconda.ServerError, match="does not exist or has expired") as gone:
        job.state()
    assert gone.value.status == 404


def test_latest_frame_progress_and_cancel(client, portrait, tmp_path):
    job = client.animate(portrait, "idle", tmp_path / "a.mp4", **{**QUICK, "size": 512})
    picture = wait_for(job.preview)
    assert cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR).any()
    assert job.cancel().state == "cancelled"
    with pytest.raises(gioconda.JobError, match="cancelled"):
        job.save()
    assert not (tmp_path / "a.mp4").exists()

    def stop(stage, done, total):
        raise KeyboardInterrupt

    job = client.animate(portrait, "idle", tmp_path / "a.mp4", progress=stop, **{**QUICK, "size": 512})
    with pytest.raises(KeyboardInterrupt):
        job.save()
    assert job.state().state == "cancelled", "as the function would end"


def test_errors_are_those_of_the_package(client, portrait, url, tmp_path):
    with pytest.raises(InputError, match=re.escape("job.rights: is required")):
        client.animate(portrait, "smile")
    with pytest.raises(InputError, match="give either"):
        client.speak(portrait)
    with pytest.raises(InputError, match="strength 3 is outside 0 to 2"):
        client.animate(portrait, "smile", strength=3)
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(InputError, match="'portrait' is not a picture"):
        client.animate(tmp_path / "text.png", "smile", rights=RIGHTS)
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((256, 256, 3), 128, np.uint8))
    failed = client.edit(tmp_path / "grey.png", yaw=5, rights=RIGHTS)
    with pytest.raises(gioconda.JobError, match="no human face found") as told:
        failed.result()
    assert told.value.state.state == "failed"
    with gioconda.Client(url, "another-token-than-that") as stranger:
        with pytest.raises(gioconda.ServerError, match="token") as refused:
            stranger.job("x" * 22).state()
        assert refused.value.status == 401


def test_async_many_at_once(client, portrait, motion, url, tmp_path):
    async def film(server, number):
        job = await server.animate(portrait, motion, tmp_path / f"{number}.mp4", **QUICK)
        states = [state.state async for state in job.watch()]
        assert await job.save() == tmp_path / f"{number}.mp4"
        await job.forget()
        return states[-1]

    async def films():
        async with gioconda.AsyncClient(url, TOKEN) as server:
            done = await asyncio.gather(*(film(server, number) for number in range(3)))
            verdict = await (await server.verify(tmp_path / "0.mp4")).result()
            with pytest.raises(gioconda.ServerError, match="does not exist"):
                await server.job("x" * 22).state()
            return done, verdict

    done, verdict = asyncio.run(films())
    assert done == ["done"] * 3
    assert verdict.status == "ours"
    assert all(gioconda.verify(tmp_path / f"{number}.mp4").status == "ours" for number in range(3))


def test_a_film_arrives_once_though_answers_are_lost_the_network_is_cut_and_the_server_killed(
    portrait, tmp_path
):
    port = free_port()
    relay = Relay(port)
    long = {**QUICK, "size": 512}
    with served(tmp_path, port) as first, gioconda.Client(f"http://127.0.0.1:{relay.port}", TOKEN) as client:
        wait_for(lambda: "serving" in (tmp_path / "log").read_text())
        relay.lost_answers = 2
        job = client.animate(portrait, "idle", tmp_path / "a.mp4", **long)
        assert jobs_in(tmp_path) == [job.id], "both lost answers were about this job"
        states, saved = [], []
        watching = threading.Thread(target=lambda: states.extend(job.watch()))
        saving = threading.Thread(target=lambda: saved.append(job.save()))
        watching.start(), saving.start()
        wait_for(lambda: client.job(job.id).state().state == "running")
        relay.cut()
        time.sleep(1)
        relay.mend()
        assert client.job(job.id).state().state == "running"
        first.kill()
        first.wait(20)
        with served(tmp_path, port):
            watching.join(60)
            saving.join(60)
    relay.close()
    assert saved == [tmp_path / "a.mp4"]
    assert states[-1].state == "done"
    assert states[-1].attempts == 2, "the server was killed in mid-job"
    assert all(one != other for one, other in itertools.pairwise(states))
    assert gioconda.verify(saved[0]).status == "ours"
