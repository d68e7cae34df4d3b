"""The command line: what it passes on, what it tells, and how it ends."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import typer

import gioconda
from gioconda import errors
from gioconda.assets import asset_path
from gioconda.cli import app, run
from gioconda.cli.examples import EXAMPLES
from gioconda.provenance import Verdict
from gioconda.requests import Animate
from gioconda.types import ARKIT_NAMES
from programs import running

COMMANDS = (
    "animate",
    "track",
    "edit",
    "verify",
    "doctor",
    "demo",
    "prepare",
    "train",
    "export",
    "export-weights",
)
RESULT = SimpleNamespace(
    path=Path("out.mp4"),
    frames=50,
    seconds=2.0,
    bridged=0,
    size=(640, 480),
    stages={"track": 0.5, "render": 1.5},
    warnings=(),
)


class FakePipeline(ModuleType):
    """Stands in for the pipeline: notes its calls, and raises or answers as told."""

    def __init__(self, answer):
        super().__init__("gioconda.pipeline")
        self.answer, self.calls = answer, []

    def _call(self, *arguments, **options):
        self.calls.append((arguments, options))
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    run = track = verify = animate = _call


@pytest.fixture
def pipeline(monkeypatch):
    def install(answer=RESULT):
        fake = FakePipeline(answer)
        monkeypatch.setitem(sys.modules, "gioconda.pipeline", fake)
        monkeypatch.setattr(gioconda, "pipeline", fake, raising=False)
        return fake

    return install


def gioconda_program(*arguments, **environment):
    """A real run of the installed program: exit code, standard output, standard error."""
    command = [sys.executable, "-m", "gioconda", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=240, check=False, env={**os.environ, **environment}
    )


def test_animate_passes_every_option_on(pipeline, capsys):
    fake = pipeline()
    line = (
        "animate me.jpg --motion clip.mp4 -o out.mp4 --engine warp --absolute --face 1"
        " --no-refine --photo a.jpg --photo b.jpg"
        " --region lips --strength 0.5 --crop --size 256 --no-audio --label --rights mine"
        " --key k.pem --certificate c.pem"
    )
    assert run(line.split()) == 0
    (request,), _ = fake.calls[0]
    assert request.progress is None, "no progress is drawn where standard error is no terminal"
    assert request == Animate(
        Path("me.jpg"),
        "clip.mp4",
        Path("out.mp4"),
        engine="warp",
        refine=False,
        photos=(Path("a.jpg"), Path("b.jpg")),
        absolute=True,
        face=1,
        region="lips",
        strength=0.5,
        crop=True,
        size=256,
        audio=False,
        label=True,
        rights="mine",
        key=Path("k.pem"),
        certificate=Path("c.pem"),
    )
    assert "50 frames, 640x480, in 2.0 s (25.0 frames/s)" in capsys.readouterr().out


def test_animate_keeps_sound_and_the_largest_face_by_default(pipeline):
    fake = pipeline()
    assert run("animate me.jpg --motion nod -o out.mp4".split()) == 0
    ((request,), _) = fake.calls[0]
    assert request == Animate(Path("me.jpg"), "nod", Path("out.mp4"))
    assert (request.audio, request.face, request.region, request.size) == (True, 0, "all", None)
    assert (request.refine, request.photos) == (True, ())


def test_all_faces(pipeline):
    fake = pipeline()
    run("animate me.jpg --motion nod -o out.mp4 --face all".split())
    assert fake.calls[0][0][0].face == "all"


@pytest.mark.parametrize(
    ("count", "words"), [(1, "1 frame without a face was"), (3, "3 frames without a face were")]
)
def test_bridged_frames_are_told(pipeline, capsys, count, words):
    pipeline(SimpleNamespace(**{**vars(RESULT), "bridged": count}))
    run("animate me.jpg --motion clip.mp4 -o out.mp4".split())
    assert f"{words} bridged" in capsys.readouterr().out


def test_warnings_go_to_standard_error(pipeline, capsys):
    pipeline(SimpleNamespace(**{**vars(RESULT), "warnings": ("the sound was left out",)}))
    assert run("animate me.jpg --motion clip.mp4 -o out.gif".split()) == 0
    assert capsys.readouterr().err == "note: the sound was left out\n"


def test_edit_reads_angles_gaze_and_coefficients(pipeline):
    fake = pipeline()
    line = "edit me.jpg -o out.png --yaw 10 --pitch -5 --gaze-x 0.3 --set jawOpen=0.4 --set mouthSmileLeft=.8"
    assert run(line.split()) == 0
    ((request,), _) = fake.calls[0]
    assert (request.yaw, request.pitch, request.roll, request.gaze_x) == (10, -5, 0, 0.3)
    assert request.coefficients == {"jawOpen": 0.4, "mouthSmileLeft": 0.8}


def test_edit_lists_the_names_without_a_portrait(capsys):
    assert run(["edit", "--list"]) == 0
    assert capsys.readouterr().out.split() == list(ARKIT_NAMES)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--set jawOpn=0.4", "did you mean jawOpen"),
        ("--set MOUTHSMILELEFT=1", "mouthSmileLeft"),
        ("--set qqq=1", "--list"),
        ("--set jawOpen", "NAME=VALUE"),
        ("--set jawOpen=wide", "not a number"),
        ("--set jawOpen=2", "outside 0 to 1"),
        ("--yaw 400", "--yaw 400 is outside -90 to 90 degrees"),
        ("--pitch nan", "outside -90 to 90 degrees"),
        ("--gaze-x -3", "outside -1 to 1"),
        ("--size 5", "outside 64 to 4096 pixels"),
        ("--yaw left", "--yaw"),
    ],
)
def test_edit_refuses_what_makes_no_sense(pipeline, capsys, options, words):
    fake = pipeline()
    assert run(["edit", "me.jpg", "-o", "out.png", *options.split()]) == 2
    told = capsys.readouterr()
    assert words in told.err
    assert not told.out
    assert not fake.calls


@pytest.mark.parametrize(
    "option",
    [
        *(
            "--face -1",
            "--face two",
            "--face 16",
            "--strength inf",
            "--strength 9",
            "--region nose",
            "--engine wrap",
        ),
        *("--size 9", "--rights x"),
    ],
)
def test_animate_refuses_what_makes_no_sense(pipeline, capsys, option):
    fake = pipeline()
    assert run(["animate", "me.jpg", "--motion", "nod", "-o", "out.mp4", *option.split()]) == 2
    assert option.split()[0] in capsys.readouterr().err
    assert not fake.calls


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InputError("me.jpg: not a picture"), 2),
        (errors.MissingFileError("me.jpg does not exist"), 2),
        (errors.NoFaceError("me.jpg: no face"), 2),
        (errors.OutputError("out.mp4: the disk is full"), 5),
        (errors.WeightsError("basis.npz is damaged"), 6),
    ],
)
def test_errors_are_one_line_with_their_exit_code(pipeline, capsys, error, code):
    pipeline(error)
    assert run("animate me.jpg --motion clip.mp4 -o out.mp4".split()) == code
    told = capsys.readouterr()
    assert told.err == f"gioconda: {error}\n"
    assert not told.out


VERDICTS = {"ours": 0, "unreadable": 2, "unmarked": 3, "invalid": 4, "altered": 10, "unsigned": 11}


@pytest.mark.parametrize("status", VERDICTS)
def test_verify_ends_with_the_code_of_its_verdict(pipeline, capsys, status):
    pipeline(Verdict("out.mp4", status, reasons=["so it is"]))
    assert run(["verify", "out.mp4"]) == VERDICTS[status]
    told = capsys.readouterr()
    assert "so it is" in (told.err if status == "unreadable" else told.out)
    assert run(["verify", "out.mp4", "--json"]) == VERDICTS[status]
    told = capsys.readouterr()
    assert json.loads(told.out)["status"] == status
    assert not told.err


def test_interrupt_says_stopped(pipeline, capsys):
    pipeline(KeyboardInterrupt())
    assert run("animate me.jpg --motion clip.mp4 -o out.mp4".split()) == 130
    assert capsys.readouterr().err.strip() == "gioconda: stopped"


def test_a_defect_is_told_without_a_traceback(pipeline, capsys, monkeypatch):
    pipeline(ZeroDivisionError("division by zero"))
    line = "animate me.jpg --motion clip.mp4 -o out.mp4".split()
    assert run(line) == 1
    told = capsys.readouterr().err
    assert "ZeroDivisionError: division by zero" in told
    assert "report" in told
    assert "Traceback" not in told
    monkeypatch.setenv("GIOCONDA_DEBUG", "1")
    assert run(line) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    "line", ["animate", "animate me.jpg -o out.mp4", "edit", "verify", "enliven", "--nonsense"]
)
def test_usage_errors_point_to_the_help(capsys, line):
    assert run(line.split()) == 2
    told = capsys.readouterr()
    assert "--help'" in told.err
    assert len(told.err.splitlines()) <= 3
    assert not told.out


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("animate p.jpg d.mp4 o.mp4", "gioconda animate p.jpg --motion d.mp4 --out o.mp4"),
        (
            "animate p.jpg d.mp4 o.mp4 --size 512",
            "gioconda animate p.jpg --motion d.mp4 --out o.mp4 --size 512",
        ),
        ("animate p.jpg d.mp4 -o o.mp4", "gioconda animate p.jpg --motion d.mp4 -o o.mp4"),
        ("animate p.jpg d.mp4", "gioconda animate p.jpg --motion d.mp4 --out FILE"),
        ("edit p.jpg o.png", "gioconda edit p.jpg --out o.png"),
        ("track d.mp4 o.npz", "gioconda track d.mp4 --out o.npz"),
        ("adapt a.jpg b.jpg c.safetensors", "gioconda adapt a.jpg b.jpg --out c.safetensors"),
        ("speak p.jpg 'Good day.' o.mp4", "gioconda speak p.jpg --text 'Good day.' --out o.mp4"),
        ("speak p.jpg voice.wav o.mp4", "gioconda speak p.jpg --audio voice.wav --out o.mp4"),
    ],
)
def test_a_line_without_option_names_is_shown_with_them(capsys, line, meant):
    assert run(shlex.split(line)) == 2
    assert f"Type: {meant}" in capsys.readouterr().err.splitlines()


@pytest.mark.parametrize("command", EXAMPLES)
def test_every_command_explains_itself_with_examples(capsys, command):
    assert run([command, "-h"]) == 0
    told = capsys.readouterr().out
    assert f"gioconda {command}" in told
    assert len(EXAMPLES[command]) == 2
    assert all(f"    {example}" in told.splitlines() for example in EXAMPLES[command])


@pytest.mark.parametrize("line", [line for lines in EXAMPLES.values() for line in lines])
def test_the_examples_are_lines_that_can_be_parsed(line):
    program, name, *words = shlex.split(line)
    command = typer.main.get_command(app).commands[name]
    assert program == "gioconda"
    assert command.make_context(name, [word for word in words if word not in (">", "report.txt")])


def test_every_command_has_examples():
    assert set(EXAMPLES) == set(typer.main.get_command(app).commands)


def test_an_address_is_named_as_it_was_typed(capsys, tmp_path):
    out = tmp_path / "out.png"
    assert run(["edit", "https://example.com/me.jpg", "-o", str(out)]) == 2
    assert "https://example.com/me.jpg is an address" in capsys.readouterr().err
    assert not out.exists()


def test_without_arguments_the_commands_are_listed(capsys):
    assert run([]) == 0
    assert set(COMMANDS) <= set(capsys.readouterr().out.split())


def test_version(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"gioconda {gioconda.__version__}\n"


@pytest.mark.slow
def test_program_reports_a_missing_file_and_leaves_nothing(tmp_path):
    out = tmp_path / "out.mp4"
    done = gioconda_program("animate", tmp_path / "nobody.jpg", "--motion", "nod", "-o", out)
    assert done.returncode == 2
    assert "nobody.jpg" in done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout
    assert not list(tmp_path.iterdir())


def test_program_verifies_nothing_in_a_text_file(tmp_path):
    note = tmp_path / "note.mp4"
    note.write_text("not a video")
    done = gioconda_program("verify", note, "--json")
    assert done.returncode == 2
    assert not done.stderr
    assert json.loads(done.stdout)["status"] == "unreadable"


@pytest.mark.skipif(os.name == "nt", reason="pipes end differently on Windows")
def test_program_ends_quietly_when_its_reader_leaves():
    command = [sys.executable, "-m", "gioconda", "edit", "--list"]
    with running(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        process.stdout = None
        told = process.communicate(timeout=60)[1]
    assert told == b""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals differ on Windows")
@pytest.mark.parametrize("wanted", [signal.SIGINT, signal.SIGTERM])
def test_program_stopped_midway_leaves_the_old_file_alone(tmp_path, wanted):
    out = tmp_path / "out.mp4"
    out.write_text("old")
    command = [sys.executable, "-m", "gioconda", "animate", str(asset_path("astronaut.jpg"))]
    with running(
        [*command, "--motion", "look-around", "-o", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that runs the tests in the background would hand down an ignored SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        deadline = time.monotonic() + 60
        while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(wanted)
        said, told = process.communicate(timeout=60)
    assert (process.returncode, said, told) == (130, "", "gioconda: stopped\n")
    assert [p.name for p in tmp_path.iterdir()] == ["out.mp4"]
    assert out.read_text() == "old"


def test_doctor_finds_a_sound_installation():
    done = gioconda_program("doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    for word in ("opencv-python-headless", "onnxruntime", "cores:", "GPU:", "certificate:", "astronaut.jpg"):
        assert word in done.stdout


@pytest.mark.slow
def test_demo_makes_a_signed_video_and_verify_prints_only_json(tmp_path):
    out = tmp_path / "demo.mp4"
    done = gioconda_program("demo", "-o", out)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    assert "\x1b" not in done.stdout
    assert list(tmp_path.iterdir()) == [out]
    verdict = gioconda_program("verify", out, "--json")
    assert verdict.returncode == 0
    assert not verdict.stderr
    assert json.loads(verdict.stdout)["status"] == "ours"


@pytest.mark.slow
def test_tracked_motion_moves_a_portrait(tmp_path):
    portrait, video, crop = asset_path("astronaut.jpg"), tmp_path / "nod.mp4", ("--crop", "--size", 256)
    motions = [tmp_path / f"nod{suffix}" for suffix in (".npz", ".csv")]
    for line in (
        ("animate", portrait, "--motion", "nod", "-o", video, *crop),
        *(("track", video, "-o", motion) for motion in motions),
        *(("animate", portrait, "--motion", motion, "-o", f"{motion}.webm", *crop) for motion in motions),
    ):
        done = gioconda_program(*line)
        assert done.returncode == 0
        assert not done.stderr or "is enlarged to 256x256" in done.stderr
        assert ": 75 frames" in done.stdout
