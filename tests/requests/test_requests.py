"""Requests: the same options, bounds and values wherever they are set; what cannot be is refused before any work."""

import inspect
import json
from pathlib import Path

import pytest
from typer.main import get_command

import gioconda
from gioconda import requests
from gioconda.batch.jobs import read_jobs
from gioconda.cli import app
from gioconda.cli.requests import read_request
from gioconda.errors import InputError
from gioconda.requests import KINDS, Adapt, Animate, Edit, Export, Place, Speak, options_of
from gioconda.web.requests import JOB

SAID = "It is my own likeness."
ASKED = {
    "animate": {
        "motion": "smile",
        "engine": "warp",
        "absolute": True,
        "region": "lips",
        "strength": 0.5,
        "face": "all",
        "crop": True,
        "size": 256,
        "audio": False,
        "emotion": "sad:0.4",
        "label": True,
    },
    "speak": {
        "text": "Good evening.",
        "voice": "f2",
        "language": "fr",
        "seed": 7,
        "refine": False,
        "emotion": "happy:0.7, surprised",
        "face": 2,
    },
    "edit": {"yaw": -4.5, "gaze_x": 0.25, "coefficients": {"jawOpen": 0.4, "browInnerUp": 1.0}, "size": 64},
    "export": {"shape": "vertical", "size": 640},
}


def source_of(kind):
    """The name of the file from which a kind of request starts."""
    return next(option.name for option in options_of(KINDS[kind]))


def declared(kind):
    """The declared right, where a kind of request has one; an export keeps that of its film."""
    return {"rights": SAID} if any(option.name == "rights" for option in options_of(KINDS[kind])) else {}


def typed(kind):
    """The words of the command line that ask for it."""
    words = []
    for option in options_of(KINDS[kind], Place.COMMAND_LINE):
        value = ASKED[kind].get(option.name)
        if value is None:
            continue
        if isinstance(value, bool):
            words.append(f"--{option.flag if value else option.negated}")
        elif isinstance(value, dict):
            words += [
                word for name, number in value.items() for word in (f"--{option.flag}", f"{name}={number}")
            ]
        else:
            words += [f"--{option.flag}", str(value)]
    return words


def of_request(context):
    """What was typed of a request: the rest is the command's alone."""
    return {name: value for name, value in context.params.items() if name not in ("list", "device")}


def by_command_line(kind, portrait, out):
    command = get_command(app).commands[kind]
    rights = ["--rights", SAID] if declared(kind) else []
    words = [str(portrait), "-o", str(out), *rights, *typed(kind)]
    return read_request(KINDS[kind], of_request(command.make_context(kind, words)))


def by_table(kind, portrait, out):
    row = {"kind": kind, source_of(kind): portrait.name, "out": out.name, **declared(kind)}
    for option in options_of(KINDS[kind], Place.BATCH):
        value = ASKED[kind].get(option.name)
        if isinstance(value, dict):
            value = "|".join(f"{name}={number}" for name, number in value.items())
        if value is not None:
            row[option.flag] = value
    table = portrait.parent / "jobs.jsonl"
    table.write_text(json.dumps(row))
    # A right that is declared for all lines does not stand in the way of one that has none.
    return read_jobs(table, SAID)[0].request


def by_http(kind, portrait, out):
    web = pytest.importorskip("gioconda.web.requests")
    fields = {**ASKED[kind], "kind": kind, **declared(kind)}
    if kind == "animate":
        fields["template"] = fields.pop("motion")
    read = web.JOB.validate_json(json.dumps(fields))
    read.check_files({source_of(kind): 1})
    return read.request({source_of(kind): [portrait]}, out, None)


@pytest.mark.parametrize("way", [by_command_line, by_table, by_http])
@pytest.mark.parametrize("kind", KINDS)
def test_every_way_to_ask_gives_the_same_request(tmp_path, kind, way):
    portrait = tmp_path / "me.png"
    portrait.write_bytes(b"a picture")
    out = tmp_path / ("a.png" if kind == "edit" else "a.mp4")
    asked = {source_of(kind): portrait, "out": out, **declared(kind), **ASKED[kind]}
    assert way(kind, portrait, out) == KINDS[kind](**asked)


@pytest.mark.parametrize("kind", KINDS)
def test_python_sees_every_option_as_an_argument(kind):
    signature = inspect.signature(getattr(gioconda, kind))
    names = {option.name for option in options_of(KINDS[kind])}
    assert names <= set(signature.parameters)
    for option in options_of(KINDS[kind]):
        assert option.required == (signature.parameters[option.name].default is inspect.Parameter.empty)
    assert signature.return_annotation == "Result"
    with pytest.raises(TypeError, match="sised"):
        getattr(gioconda, kind)("me.jpg", sised=3)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Animate("a.png", "nod", strength=3), "strength 3 is outside 0 to 2"),
        (lambda: Animate("a.png", "nod", strength="strong"), "strength 'strong' is not a number"),
        (lambda: Animate("a.png", "nod", size=256.5), "size 256.5 is not a whole number"),
        (lambda: Animate("a.png", "nod", photos=["b.png"] * 33), "photos 33 photos are too many"),
        (lambda: Animate("a.png", "nod", rights="no"), "rights has 2 characters; give 3 to 500"),
        (lambda: Animate("a.png", "nod", face="both"), "face 'both': give 0 for the largest face"),
        (lambda: Animate("a.png", "nod", engine="wrap"), "choose one of warp, fewshot, lipsync"),
        (
            lambda: Animate("a.mp4", "nod", engine="lipsync", crop=True),
            "crop does not apply to the engine lipsync",
        ),
        (lambda: Animate("a.png", "nod", key=3), "key 3 is not a path"),
        (lambda: Speak("a.png"), "give either a sound"),
        (lambda: Speak("a.png", text="Hello", voice="../f2"), "voice '../f2' holds characters"),
        (lambda: Speak("a.png", text="Hello", seed=-1), "seed -1 is outside"),
        (lambda: Edit("a.png", emotion="glad"), "emotion 'glad' is not known; choose one of happy, sad"),
        (lambda: Edit("a.png", yaw=91), "yaw 91 is outside -90 to 90 degrees"),
        (lambda: Edit("a.png", coefficients={"jawOpn": 1}), "did you mean jawOpen"),
        (lambda: Edit("a.png", coefficients={"jawOpen": 2}), "coefficients jawOpen 2 is outside 0 to 1"),
        (lambda: Edit("a.png", face="all"), "face 'all': give 0"),
        (lambda: Export("a.mp4", shape="round"), "choose one of as it is, vertical, square"),
        (lambda: Export("a.mp4", size=63), "size 63 is outside 64 to 4096 pixels"),
    ],
)
def test_a_request_that_cannot_be_is_refused_when_it_is_made(make, words):
    with pytest.raises(InputError) as refused:
        make()
    assert words in str(refused.value)


def test_every_option_explains_itself_in_a_sentence():
    for kind in KINDS.values():
        for option in options_of(kind):
            assert option.help.endswith("."), option.name
            assert option.help[0].isupper(), option.name


def test_an_output_is_asked_for_where_one_is_written_and_refused_where_none_is(tmp_path):
    with pytest.raises(InputError, match="names no output"):
        gioconda.run(Animate("a.png", "nod"))
    with pytest.raises(InputError, match="leave the output out"):
        gioconda.frames_of(Animate("a.png", "nod", tmp_path / "a.mp4"))


@pytest.mark.parametrize("kind", ["animate", "speak", "edit"])
def test_old_calls_without_an_output_still_work_and_warn(astronaut, kind):
    how = {"animate": {"motion": "nod"}, "speak": {"text": "Oh."}, "edit": {"yaw": 5}}[kind]
    with pytest.warns(DeprecationWarning, match="gioconda.frames") as told:
        made = getattr(gioconda, kind)(astronaut, crop=True, size=64, refine=False, **how)
    assert Path(told[0].filename) == Path(__file__), "the caller is told, not us"
    image = made if kind == "edit" else next(made).image
    assert image.shape == (64, 64, 3)


def test_revoice_still_works_and_warns(astronaut, tmp_path):
    with pytest.warns(DeprecationWarning, match="lipsync"), pytest.raises(InputError, match="still picture"):
        gioconda.pipeline.revoice(astronaut, "nod", tmp_path / "a.mp4")


def test_requests_are_public():
    assert {requests.Animate, requests.Speak, requests.Edit, requests.Export} == {
        gioconda.Animate,
        gioconda.Speak,
        gioconda.Edit,
        gioconda.Export,
    }


def adapt_typed(photos, out, *options):
    """The request of `gioconda adapt` with these words."""
    words = [*map(str, photos), "-o", str(out), *options, "--rights", SAID]
    return read_request(Adapt, of_request(get_command(app).commands["adapt"].make_context("adapt", words)))


def test_adapt_is_the_same_request_however_it_is_asked_for(tmp_path):
    photos, out = (tmp_path / "a.jpg", tmp_path / "b.jpg"), tmp_path / "person.safetensors"
    sent = JOB.validate_python({"kind": "adapt", "frames": 3, "rights": SAID, "purpose": "photos"}).request(
        {"source": photos}, out, lambda *_: None
    )
    asked = Adapt(photos, out, purpose="photos", frames=3, rights=SAID)
    assert adapt_typed(photos, out, "--for", "photos", "--frames", "3") == asked == sent
    asked = Adapt(photos, out, purpose="fewshot", steps=5, seed=7, weights=tmp_path / "w", rights=SAID)
    words = f"--for fewshot --steps 5 --seed 7 --weights {tmp_path / 'w'}"
    assert adapt_typed(photos, out, *words.split()) == asked
    assert set(inspect.signature(gioconda.adapt).parameters) >= {"sources", "out", "purpose", "steps"}


@pytest.mark.parametrize("purpose", ["speech", "photos"])
@pytest.mark.parametrize("option", [{"steps": 3}, {"seed": 1}, {"weights": "w.safetensors"}])
def test_options_of_fitting_do_not_apply_where_nothing_is_fitted(purpose, option):
    with pytest.raises(InputError, match=f"does not apply to {purpose}"):
        Adapt(["talk.mp4"], "person.safetensors", purpose=purpose, **option)


@pytest.mark.parametrize("linked", [False, True])
def test_an_output_never_replaces_an_input_unless_that_is_said(tmp_path, linked):
    original, out = tmp_path / "me.jpg", tmp_path / "me.jpg"
    original.write_bytes(b"the only one")
    if linked:
        out = tmp_path / "link.jpg"
        out.hardlink_to(original)
    with pytest.raises(InputError, match="it would be lost"):
        gioconda.edit(original, out)
    assert original.read_bytes() == b"the only one"
    # past that check: it is no picture
    with pytest.raises(InputError, match="picture"):
        gioconda.edit(original, out, overwrite=True)
    with pytest.raises(InputError, match="is the background and the output"):
        gioconda.edit(tmp_path / "other.jpg", out, background=original)
    with pytest.raises(InputError, match="it would be lost"):
        gioconda.adapt([tmp_path / "a.jpg", original], out)
