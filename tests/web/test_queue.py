"""The queue and its workers: crashes, restarts, cancelling, bounds, what stays and what goes."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import av
import cv2
import numpy as np
import psutil
import pytest

import gioconda
from gioconda.cli import run
from gioconda.errors import InputError, LimitError, lacks_memory
from gioconda.inputs.person import read_person
from gioconda.provenance.certificate import signing_identity
from gioconda.web.errors import NotDoneError, QueueFullError, UnfitFileError, UnknownJobError
from gioconda.web.files import PREVIEW
from gioconda.web.queue.jobs import JobQueue
from gioconda.web.queue.perform import perform
from gioconda.web.queue.worker import write_preview
from gioconda.web.requests import JobRequest
from media_factory import write_clip
from places import FEWSHOT_EXAMPLE, SUPPORT
from programs import running
from web_world import (
    ANIMATE,
    EDIT,
    LONG,
    RIGHTS,
    files_below,
    queue_of,
    rendering,
    request,
    settings,
    short_motion,
    small_portrait,
    wait_for,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def inputs(astronaut_image, tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    return {"portrait": [small_portrait(astronaut_image, folder)], "motion": [short_motion(folder)]}


@pytest.fixture(scope="module")
def portrait(inputs):
    return {"portrait": inputs["portrait"]}


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A queue for the tests that leave its worker as good as they found it."""
    with queue_of(tmp_path_factory.mktemp("shared")) as queue:
        yield queue


def ended(queue, job):
    """The job's last state."""
    return list(queue.events(job))[-1]


def test_jobs_become_signed_files_and_inputs_go(shared, inputs):
    data = shared.settings.data
    job = shared.submit(request(**ANIMATE), inputs)
    states = list(shared.events(job))
    assert states[-1].state == "done", states[-1].error
    assert states[-1].result.frames == 10
    assert {s.state for s in states} <= {"queued", "running", "done"}
    result = shared.result_path(job)
    verdict = gioconda.verify(result)
    assert verdict.status == "ours"
    told = json.dumps(verdict.manifest)
    assert "A public-domain portrait." in told
    assert "secret name" not in told  # the user's name of the file
    assert str(data) not in told
    assert shared.cancel(job).state == "done"  # too late, and no harm to the result
    assert files_below(data) == [f"jobs/{job}", f"jobs/{job}/result.mp4"]
    shared.forget(job)
    assert files_below(data) == []


def test_a_server_signs_with_its_own_key(inputs, portrait, tmp_path, monkeypatch):
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("GIOCONDA_HOME", str(tmp_path / "elsewhere"))
        studio = signing_identity()
    (tmp_path / "key.pem").write_bytes(studio.key)
    (tmp_path / "chain.pem").write_bytes(studio.chain)
    leaf = ssl.PEM_cert_to_DER_cert(
        studio.chain.decode().split("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----"
    )
    signer = {"key": tmp_path / "key.pem", "certificate": tmp_path / "chain.pem"}
    for changes, signed in ((signer, True), ({}, False)):
        with queue_of(tmp_path / f"data{signed}", **changes) as queue:
            job = queue.submit(request(**EDIT), portrait)
            assert ended(queue, job).state == "done"
            assert (leaf in queue.result_path(job).read_bytes()) == signed
    words = ["serve", "--port", "0", "--key", str(tmp_path / "key.pem")]
    assert run(words) == 2, "told at the start"


def test_a_job_without_a_face_fails_and_says_so(shared, tmp_path):
    bad = shared.submit(request(**EDIT), {"portrait": [_without_face(tmp_path)]})
    state = ended(shared, bad)
    assert (state.state, state.attempts) == ("failed", 1)
    assert "face" in state.error
    assert str(shared.settings.data) not in state.error
    assert files_below(shared.settings.data) == []
    with pytest.raises(NotDoneError):
        shared.result_path(bad)


def _without_face(folder):
    import cv2
    import numpy as np

    path = folder / "grey.png"
    cv2.imwrite(str(path), np.full((128, 128, 3), 128, np.uint8))
    return path


def test_photos_become_a_person_file_that_moves(shared, inputs, portrait):
    kept = shared.submit(request(kind="adapt", rights=RIGHTS), {"source": portrait["portrait"] * 2})
    state = ended(shared, kept)
    assert state.state == "done", state.error
    path = shared.result_path(kept)
    assert read_person(path)
    film = shared.submit(request(**ANIMATE), {"portrait": [path], "motion": inputs["motion"]})
    state = ended(shared, film)
    assert state.state == "done", state.error
    shared.forget(kept)
    shared.forget(film)


def test_an_identity_file_moves_by_the_picture_in_it(shared, inputs, astronaut, tmp_path):
    pytest.importorskip("torch")
    from gioconda.training.fewshot.adapt import AdaptSettings
    from gioconda.training.fewshot.person import adapt_person

    path = tmp_path / "me.safetensors"
    adapt_person([astronaut], path, AdaptSettings(str(FEWSHOT_EXAMPLE), steps=1))
    film = shared.submit(request(**ANIMATE), {"portrait": [path], "motion": inputs["motion"]})
    state = ended(shared, film)
    assert state.state == "done", state.error
    assert gioconda.verify(shared.result_path(film)).manifest["engine"] == "warp"
    shared.forget(film)


def test_a_waiting_job_of_an_older_version_ends_with_a_sentence(shared, inputs, monkeypatch):
    """An engine that a server offered once may be in the queue that the next version finds."""
    older = json.dumps({**ANIMATE, "engine": "fewshot"})
    monkeypatch.setattr(JobRequest, "model_dump_json", lambda _: older)
    state = ended(shared, shared.submit(request(**ANIMATE), inputs))
    assert state.state == "failed"
    assert "fewshot needs a file of the server's machine" in state.error


def test_a_server_without_torch_takes_photos_and_videos(monkeypatch):
    monkeypatch.setattr("gioconda.runtime.extras.find_spec", lambda _: None)
    for purpose in ("photos", "speech"):
        request(kind="adapt", rights=RIGHTS, purpose=purpose).check_files({"source": 1})


def test_the_latest_frame_is_there_while_a_film_is_made(shared, portrait):
    job = shared.submit(request(**LONG), portrait)
    picture = wait_for(lambda: shared.preview(job))
    assert cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR).shape == (360, 360, 3)
    shared.cancel(job)
    assert shared.preview(job) is None


def test_a_preview_shows_what_is_transparent_over_white(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frame = np.zeros((64, 64, 4), np.uint8)
    frame[:, :32] = (255, 0, 0, 255)
    write_preview(frame)
    shown = cv2.imread(PREVIEW)[:, :, ::-1].astype(int)
    assert np.abs(shown[:, :24] - (254, 0, 0)).max() < 8
    assert shown[:, 40:].min() > 247


def test_cancel_stops_the_work_and_leaves_nothing(shared, portrait):
    running, waiting = (shared.submit(request(**LONG), portrait) for _ in range(2))
    rendering(shared, running)
    assert shared.cancel(waiting).state == "cancelled"
    (pid,) = shared.worker_memory()
    since = time.monotonic()
    assert shared.cancel(running).state == "cancelled"
    assert time.monotonic() - since < 2.0
    assert files_below(shared.settings.data) == []
    with suppress(psutil.NoSuchProcess):  # a worker that heeds lives on, and rests
        worker = psutil.Process(pid)
        worker.cpu_percent()
        assert worker.cpu_percent(0.3) < 50
    assert shared.cancel(running).state == "cancelled"  # once more does no harm


def test_a_link_in_a_jobs_folder_is_not_followed(shared, portrait, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("not yours")
    job = shared.submit(request(**EDIT), portrait)
    assert ended(shared, job).state == "done"
    path = shared.result_path(job)
    path.unlink()
    path.symlink_to(secret)
    with pytest.raises(UnknownJobError):
        shared.result_path(job)
    shared.forget(job)
    assert secret.read_text() == "not yours"


def test_a_killed_worker_loses_no_job(shared, inputs, portrait):
    long = shared.submit(request(**LONG), portrait)
    others = [shared.submit(request(**ANIMATE), inputs) for _ in range(3)]
    rendering(shared, long)
    (pid,) = shared.worker_memory()
    os.kill(pid, signal.SIGKILL)
    again = wait_for(lambda: (s := shared.state(long)).attempts == 2 and s)
    assert again.state == "running"
    shared.cancel(long)
    assert all(ended(shared, job).state == "done" for job in others)
    assert shared.restarts == 1


def test_a_result_expires(tmp_path, portrait):
    with queue_of(tmp_path, keep_seconds=4.0) as queue:
        done = queue.submit(request(**EDIT), portrait)
        assert ended(queue, done).state == "done"
        assert queue.result_path(done).is_file()
        wait_for(lambda: files_below(tmp_path) == [])
        with pytest.raises(UnknownJobError):
            queue.state(done)


def test_a_job_whose_worker_crashes_each_time_fails(tmp_path, portrait):
    with queue_of(tmp_path, attempts=1) as queue:
        crashed = queue.submit(request(**LONG), portrait)
        rendering(queue, crashed)
        (pid,) = queue.worker_memory()
        os.kill(pid, signal.SIGKILL)
        state = ended(queue, crashed)
        assert (state.state, state.attempts) == ("failed", 1)
        assert "signal 9" in state.error


def test_a_job_that_takes_too_long_ends(tmp_path, portrait):
    with queue_of(tmp_path, attempts=1, job_seconds=3.0) as queue:
        endless = request(**{**LONG, "size": 2048})  # no machine is done with it in 3 s
        state = ended(queue, queue.submit(endless, portrait))
        assert (state.state, state.attempts) == ("failed", 1)
        assert "longer than 3 s" in state.error
        assert files_below(tmp_path) == []


def test_a_job_that_takes_too_much_memory_ends(tmp_path, portrait):
    # enough to start in, and far less than frames of this size take
    with queue_of(tmp_path, memory_bytes=400 * 2**20) as queue:
        state = ended(queue, queue.submit(request(**{**LONG, "size": 2048}), portrait))
        assert state.state == "failed"
        # Either the server sees it, or the system refuses the worker more before the server looks.
        assert re.search(
            "needs more than 400 MiB of memory|needs more memory than the server allows", state.error
        )
        assert files_below(tmp_path) == []


@pytest.mark.parametrize(
    ("error", "lacking"),
    [
        (MemoryError(), True),
        (ImportError("libx.so: failed to map segment from shared object"), True),
        (RuntimeError("std::bad_alloc"), True),
        (ImportError("No module named 'x'"), False),
        (OSError(28, "No space left on device"), False),
    ],
)
def test_errors_of_too_little_memory_are_told_from_others(error, lacking):
    outer = ValueError("the step that needed it")
    outer.__cause__ = error
    assert lacks_memory(outer) is lacking


def test_a_restart_picks_up_what_waited_and_what_ran(tmp_path, inputs, portrait):
    script = (
        "import sys, time\nfrom pathlib import Path\nimport web_world as w\n"
        "from gioconda.web.queue.jobs import JobQueue\n"
        "portrait, motion, data = map(Path, sys.argv[1:])\n"
        "queue = JobQueue(w.settings(data))\n"
        "files = {'portrait': [portrait]}\n"
        "ran = queue.submit(w.request(**w.LONG), files)\n"
        "waited = queue.submit(w.request(**w.ANIMATE), {**files, 'motion': [motion]})\n"
        "w.rendering(queue, ran)\nprint(ran, waited, *queue.worker_memory(), flush=True)\ntime.sleep(60)\n"
    )
    data = tmp_path / "data"
    with running(
        [sys.executable, "-c", script, inputs["portrait"][0], inputs["motion"][0], data],
        stdout=subprocess.PIPE,
        text=True,
        cwd=SUPPORT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(SUPPORT.parent)])},
    ) as server:
        ran, waited, pid = server.stdout.readline().split()
        with pytest.raises(InputError, match="another server"):
            JobQueue(settings(data))
    wait_for(lambda: not psutil.pid_exists(int(pid)), 5.0)  # its worker does not outlive it
    with queue_of(data) as queue:
        assert queue.state(ran).attempts >= 1
        rendering(queue, ran)
        assert queue.state(ran).attempts == 2
    with queue_of(data, workers=0) as queue:  # what a server stops in order has lost no attempt
        state = queue.state(ran)
        assert (state.state, state.attempts, state.position) == ("queued", 1, 1)
        assert queue.state(waited).state == "queued"


def test_the_queue_is_bounded_and_expires(tmp_path, portrait):
    with queue_of(tmp_path, workers=0, queue=2, keep_seconds=0.3) as queue:
        jobs = [queue.submit(request(**EDIT), portrait) for _ in range(2)]
        assert [queue.state(job).position for job in jobs] == [1, 2]
        with pytest.raises(QueueFullError) as full:
            queue.submit(request(**EDIT), portrait)
        assert full.value.retry_after >= 1
        assert len(list((tmp_path / "jobs").iterdir())) == 2
        queue.cancel(jobs[0])
        time.sleep(0.35)
        stray = tmp_path / "incoming" / ("x" * 22)
        stray.mkdir()
        os.utime(stray, (0, 0))
        queue.sweep()
        with pytest.raises(UnknownJobError):
            queue.state(jobs[0])
        assert queue.state(jobs[1]).state == "queued"  # what waits does not expire
        assert files_below(tmp_path) == [f"jobs/{jobs[1]}", f"jobs/{jobs[1]}/portrait.png"]


def test_submit_takes_only_real_files_of_the_right_kind(tmp_path, inputs):
    picture = inputs["portrait"][0]
    link = tmp_path / "link.png"
    link.symlink_to(picture)
    playlist = tmp_path / "clip.mp4"
    playlist.write_text("#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n")
    os.mkfifo(tmp_path / "pipe")
    with queue_of(tmp_path / "data", workers=0, upload_bytes=10_000) as queue:
        for path, error in (
            (link, InputError),
            (tmp_path, InputError),
            (tmp_path / "pipe", InputError),
            (tmp_path / "absent.png", InputError),
            ("file:///etc/passwd", InputError),
            (playlist, UnfitFileError),
            (picture, LimitError),
        ):
            with pytest.raises(error):
                queue.submit(request(**EDIT), {"portrait": [Path(path)]})
        assert files_below(tmp_path / "data") == []
        assert queue.waiting == 0


def test_a_playlist_past_the_check_of_kinds_opens_no_file_and_no_address(tmp_path, portrait, monkeypatch):
    """What a job's folder would hold if a playlist came through: libav itself would follow it."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(portrait["portrait"][0], "portrait.png")
    write_clip(tmp_path / "secret.mp4")
    with socket.create_server(("127.0.0.1", 0)) as asked:
        asked.settimeout(0.2)
        address = f"http://127.0.0.1:{asked.getsockname()[1]}/a.ts"
        for named in ("secret.mp4", address):
            Path("motion.mp4").write_text(f"ffconcat version 1.0\nfile '{named}'\n")
            with pytest.raises(InputError, match="is neither a video nor a picture"):
                perform(request(**ANIMATE), lambda *_: None)
        with pytest.raises(TimeoutError):
            asked.accept()
        Path("motion.mp4").write_text("ffconcat version 1.0\nfile secret.mp4\n")
        with av.open("motion.mp4") as followed:
            assert followed.format.name == "concat"  # or the attack would be none


def test_an_idle_server_looks_nothing_up_and_wakes_for_work_and_for_a_dead_worker(
    tmp_path, portrait, monkeypatch
):
    with queue_of(tmp_path, token="t" * 16, webhook_hosts=("hooks.example",)) as queue:
        wait_for(lambda: queue.workers_up == 1)
        lookups, look_up = [], queue._store._rows
        monkeypatch.setattr(queue._store, "_rows", lambda *asked: lookups.append(asked) or look_up(*asked))
        time.sleep(2.5)
        assert lookups == []
        (pid,) = queue.worker_memory()
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: queue.workers_up == 1 and pid not in queue.worker_memory())
        assert queue.restarts == 0
        assert ended(queue, queue.submit(request(**EDIT), portrait)).state == "done"
