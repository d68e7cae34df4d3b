"""What a client sends: the package's own functions, options and errors, derived and not written again."""

import inspect
import json
import subprocess
import sys

import cv2
import numpy as np
import pytest

import gioconda
from corpus import seeds
from gioconda.client.connection import Connection, Patience
from gioconda.client.errors import ServerError
from gioconda.client.submission import submission_of
from gioconda.errors import InputError, MissingFileError
from gioconda.motion import store
from gioconda.requests import Adapt, Animate, Edit, Export, Speak, Verify

JOB = pytest.importorskip("gioconda.web.requests").JOB
RIGHTS = "It is my own likeness."


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("me.png", "you.png", "clip.mp4", "voice.wav", "film.webm", "film.c2pa"):
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


ASKED = [
    Animate(
        "me.png", "smile", "a.gif", rights=RIGHTS, face="all", crop=True, size=np.int64(256), audio=False
    ),
    Animate("me.png", "clip.mp4", photos=("me.png", "you.png"), strength=0.5, rights=RIGHTS, label=True),
    Speak("me.png", text="smile", voice="f2", emotion="happy:0.7", refine=False, rights=RIGHTS),
    Speak("me.png", "a.webm", audio="voice.wav", seed=7, background="#00ff00", rights=RIGHTS),
    Edit("me.png", "a.jpeg", coefficients={"jawOpen": 0.4}, yaw=-4.5, like="you.png", rights=RIGHTS),
    Export("film.webm", "a.mov", shape="vertical", size=640),
    Adapt(("me.png", "you.png"), purpose="speech", rights=RIGHTS),
    Verify("film.webm"),
]


def _comparable(option, value):
    """A value, with paths as text."""
    if option.media is None or value is None:
        return value
    return [*map(str, value)] if isinstance(value, (list, tuple)) else str(value)


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: asked.kind)
def test_the_server_reads_the_request_that_was_asked_for(folder, asked):
    sent = submission_of(asked)
    job = JOB.validate_json(sent.job)
    files = {}
    for role, path in sent.files:
        files.setdefault(role, []).append(path)
    job.check_files({role: len(paths) for role, paths in files.items()})
    sidecar = files.pop("sidecar", None)
    assert (sidecar is not None) == (asked.kind in ("export", "verify")), "that of a WebM goes along"
    out = getattr(asked, "out", None)
    if out is not None:
        assert job.suffix == f".{str(out).rpartition('.')[2]}".replace("jpeg", "jpg")
    read = job.request(files, out, lambda *_: None)
    for option in gioconda.requests.options_of(asked):
        before, after = (getattr(one, option.name) for one in (asked, read))
        assert _comparable(option, after) == _comparable(option, before), option.name
    assert len(sent.key) >= 8
    assert sent.key != submission_of(asked).key, "the same request twice makes two jobs"


@pytest.mark.parametrize("kind", ["animate", "speak", "edit", "export", "adapt", "verify"])
@pytest.mark.parametrize("client", [gioconda.Client, gioconda.AsyncClient])
def test_methods_have_the_arguments_of_the_functions(client, kind):
    function, method = (inspect.signature(getattr(home, kind)) for home in (gioconda, client))
    assert list(function.parameters.values()) == list(method.parameters.values())[1:]


def test_pictures_and_motions_in_memory_are_sent_as_files(folder, astronaut_image):
    motion = seeds.short_motion(3)
    sent = dict(submission_of(Animate(astronaut_image, motion, rights=RIGHTS)).files)
    picture = cv2.imdecode(np.frombuffer(sent["portrait"], np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(picture[..., ::-1], astronaut_image)
    (folder / "a.npz").write_bytes(sent["motion"])
    np.testing.assert_allclose(store.load(folder / "a.npz").times, motion.times)


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        (lambda: Animate("nobody.png", "smile"), MissingFileError, "nobody.png does not exist"),
        (lambda: Adapt([".", "me.png"]), InputError, "is a folder"),
        (lambda: Animate("me.png", "smile", key="me.png"), InputError, "key names a file of this machine"),
        (lambda: Animate("me.png", "smile", refine="me.png"), InputError, "refine names a file"),
        (lambda: Animate("me.png", "smile", background="you.png"), InputError, "background names a file"),
        (lambda: Animate("me.png", lambda: None), InputError, "motion cannot be sent"),
        (lambda: Edit("me.png", "me.png"), InputError, "it would be lost"),
    ],
)
def test_what_a_server_cannot_use_is_refused_before_anything_is_sent(folder, asked, error, words):
    with pytest.raises(error, match=words):
        submission_of(asked())


@pytest.mark.parametrize("url", ["127.0.0.1:7860", "ftp://host", "http://", ""])
def test_what_is_no_address_is_refused(url):
    with pytest.raises(InputError, match="is not the address of a server"):
        gioconda.Client(url)


def test_pauses_grow_and_end():
    patience, problem = Patience(), ServerError("away")
    pauses = [patience.pause(problem, 60) for _ in range(9)]
    assert pauses[:3] == [0.25, 0.5, 1.0]
    assert max(pauses) == 5
    assert patience.pause(problem, 60, least=17) == 17, "as the server asks"
    with pytest.raises(ServerError, match="away"):
        patience.pause(problem, 0)
    patience.renew()
    assert patience.pause(problem, 60) == 0.25


def test_a_server_that_was_never_there_is_told_soon():
    httpx = pytest.importorskip("httpx")
    connection = Connection("http://127.0.0.1:1", None, 300.0)
    patience = Patience()
    assert connection.lost(patience, httpx.ConnectError("refused")) < 1
    patience._since -= 6
    with pytest.raises(ServerError, match=r"http://127.0.0.1:1 cannot be reached \(refused\)"):
        connection.lost(patience, httpx.ConnectError("refused"))
    connection.met = True
    assert connection.lost(patience, httpx.ConnectError("refused")) > 0


def test_neither_the_client_nor_a_request_loads_httpx_before_it_is_used():
    code = "import sys, gioconda; gioconda.Client; gioconda.ServerError; print(json.dumps([*sys.modules]))"
    done = subprocess.run([sys.executable, "-c", f"import json; {code}"], capture_output=True, check=True)
    assert not {"httpx", "av", "cv2", "onnxruntime", "c2pa"} & set(json.loads(done.stdout))
