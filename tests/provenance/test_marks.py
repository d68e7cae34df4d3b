"""Marks of real outputs: seen by another reader, told to a layman, and alive after what happens to films."""

import base64
import io
import json
import os
import subprocess
import sys

import jsonschema
import numpy as np
import pytest
from PIL import Image as Picture

import gioconda
from gioconda import cli, pipeline
from gioconda.assets import ASSETS
from gioconda.media import read_frames, sha256_file, write_sound
from gioconda.motion.templates import template
from gioconda.provenance import sidecar_path
from media_factory import write_clip
from places import FEWSHOT_EXAMPLE, ROOT

FRAMES = 6
READER = """
import sys, json, base64, io, c2pa
kinds = {"mp4": "video/mp4", "gif": "image/gif", "png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}
told = {}
for name in sys.argv[1:]:
    stem, suffix = name.rsplit(".", 1)
    with open(name, "rb") as file:
        if suffix in kinds:
            reader = c2pa.Reader(kinds[suffix], file)
        else:
            reader = c2pa.Reader("application/octet-stream", file, open(stem + ".c2pa", "rb").read())
        manifest, small = reader.get_active_manifest(), []
        for item in manifest["ingredients"]:
            if "thumbnail" in item:
                picture = io.BytesIO()
                reader.resource_to_stream(item["thumbnail"]["identifier"], picture)
                small.append(base64.b64encode(picture.getvalue()).decode())
        failed = [one["code"] for one in reader.get_validation_results()["activeManifest"]["failure"]]
        told[suffix] = [reader.get_validation_state(), failed, manifest, small]
print(json.dumps(told))
"""


def few(name):
    """The first frames of a template."""
    whole = template(name)
    fields = ("times", "rotation", "translation", "scale", "expression", "gaze", "confidence")
    return whole.with_(**{field: getattr(whole, field)[:FRAMES] for field in fields}, residual=None)


@pytest.fixture(scope="module")
def outputs(astronaut, tmp_path_factory):
    """Real outputs by their suffix; the mp4 is driven by a film, the others by a template or sliders."""
    folder = tmp_path_factory.mktemp("outputs")
    driver = folder / "driver.mp4"
    pipeline.animate(astronaut, few("talk"), driver, crop=True, size=256)
    said = {"crop": True, "size": 256, "rights": "NASA, public domain"}
    pipeline.animate(astronaut, driver, folder / "out.mp4", **said)
    networks = {"engine": "fewshot", "weights": FEWSHOT_EXAMPLE}
    pipeline.animate(astronaut, few("smile"), folder / "out.gif", **networks, **said)
    pipeline.animate(astronaut, few("smile"), folder / "film.webm", **said)
    for suffix in ("png", "jpg", "webp"):
        pipeline.edit(astronaut, folder / f"still.{suffix}", yaw=8, **said)
    return {path.suffix[1:]: path for path in folder.iterdir() if path.stem in ("out", "film", "still")}


@pytest.fixture(scope="module")
def seen(outputs):
    """What the C2PA library's own reader says of them, in a process that knows nothing of ours."""
    names = [str(path) for suffix, path in outputs.items() if suffix != "c2pa"]
    done = subprocess.run([sys.executable, "-I", "-c", READER, *names], capture_output=True, check=True)
    return json.loads(done.stdout)


def assertion(manifest, label):
    return next(one["data"] for one in manifest["assertions"] if one["label"] == label)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["mp4", "gif", "webm", "png", "jpg", "webp"])
def test_another_reader_sees_how_an_output_was_made(outputs, seen, astronaut, suffix):
    state, failed, manifest, _ = seen[suffix]
    assert state == "Valid"
    assert failed == ["signingCredential.untrusted"]
    action = assertion(manifest, "c2pa.actions.v2")["actions"][-1]
    assert action["action"] == ("c2pa.edited" if suffix in ("png", "jpg", "webp") else "c2pa.created")
    assert action["digitalSourceType"].endswith("/compositeWithTrainedAlgorithmicMedia")
    assert manifest["ingredients"][0]["instance_id"] == f"sha256:{sha256_file(astronaut)}"
    job = assertion(manifest, "org.gioconda.job")
    assert job["rights"] == "NASA, public domain"
    assert job["version"] == gioconda.__version__
    verdict = pipeline.verify(outputs[suffix])
    binding = assertion(manifest, "c2pa.soft-binding")["blocks"][0]["value"]
    assert verdict.status == "ours"
    assert verdict.watermark["payload"] == binding


def test_inputs_that_can_be_seen_are_shown(seen, outputs, astronaut_image):
    _, _, manifest, small = seen["mp4"]
    assert [one["title"] for one in manifest["ingredients"]] == ["astronaut.png", "driver.mp4"]
    shown = [np.asarray(Picture.open(io.BytesIO(base64.b64decode(one)))) for one in small]
    assert [max(one.shape) for one in shown] == [160, 160]
    made = Picture.fromarray(next(read_frames(outputs["mp4"])).image).resize((160, 160))
    whole = Picture.fromarray(astronaut_image).resize((160, 160))
    for one in shown:  # both were cut out around the face
        assert np.abs(one - np.asarray(made, int)).mean() < 15
        assert np.abs(one - np.asarray(whole, int)).mean() > 30


def test_networks_are_named_with_their_hashes(seen):
    named = {
        s: {w["name"]: w["sha256"] for w in assertion(seen[s][2], "org.gioconda.job")["weights"]}
        for s in seen
    }
    assert named["mp4"]["refiner.onnx"] == ASSETS["refiner.onnx"]
    for name in ("fewshot.safetensors", "fewshot_generator.onnx"):
        assert named["gif"][name] == sha256_file(FEWSHOT_EXAMPLE.with_name(name))
    assert "refiner.onnx" not in named["gif"]
    for names in named.values():
        assert len(names["face_landmarks.onnx"]) == 64, "the tracker's are named too"


def test_a_sidecar_may_be_read_by_whoever_may_read_its_film(outputs):
    film = outputs["webm"]
    assert sidecar_path(film).stat().st_mode == film.stat().st_mode


@pytest.fixture
def verified(capsys):
    """Exit code and standard output of the command."""

    def run(path, *options):
        code = cli.run(["verify", str(path), *options])
        return code, capsys.readouterr().out

    return run


def again(path, name, **options):
    """The film, encoded anew under another name."""
    return write_clip(path.with_name(name), [frame.image for frame in read_frames(path)], **options)


def garbage(folder):
    """Files that hold no picture."""
    folder.mkdir()
    (folder / "note.txt").write_text("hello", encoding="utf-8")
    (folder / "noise.mp4").write_bytes(np.random.default_rng(1).bytes(5000))
    (folder / "list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", encoding="utf-8")
    (folder / "empty.png").touch()
    write_sound(folder / "hum.wav", np.zeros(8000, np.float32), 16000)
    os.mkfifo(folder / "pipe.mp4")
    return [*folder.iterdir(), folder, folder / "absent.mp4"]


def test_every_verdict_fits_the_published_schema(outputs, tmp_path):
    schema = json.loads((ROOT / "docs" / "verify.schema.json").read_text("utf-8"))
    broken = tmp_path / "broken.jpg"
    changed = bytearray(outputs["jpg"].read_bytes())
    changed[-2000] ^= 1
    broken.write_bytes(changed)
    files = [*outputs.values(), *garbage(tmp_path / "garbage"), broken]
    files += [again(outputs["mp4"], f"again.{kind}") for kind in ("mkv", "mov")]
    files += [again(outputs["mp4"], "again.avi", codec="mjpeg", pix_fmt="yuvj420p")]
    validator = jsonschema.Draft202012Validator(schema)
    seen, over_http = set(), {"explanation"}
    for path in files:
        told = json.loads(json.dumps(pipeline.verify(path).to_json()))
        validator.validate(told)
        assert {*told, *over_http} == set(schema["properties"]), "the schema knows every key"
        for part in ("manifest", "watermark"):
            known = schema["properties"][part]["oneOf"][1]["properties"]
            assert told[part] is None or set(told[part]) == set(known)
        seen.add((path.suffix, told["status"]))
    assert {("." + kind, "altered") for kind in ("mkv", "mov", "avi")} <= seen
    assert {".txt", ".m3u8", ".wav", ".png", ""} <= {
        suffix for suffix, status in seen if status == "unreadable"
    }
    assert (".jpg", "invalid") in seen
    assert not validator.is_valid({**told, "status": "genuine"})


def test_explain_tells_a_layman_what_it_means_and_what_not(outputs, astronaut, tmp_path, verified):
    code, told = verified(outputs["mp4"], "--explain")
    assert code == 0
    for part in ("made with Gioconda", "not been changed", "does not tell who", "Both marks", "NASA"):
        assert part in told
    code, told = verified(again(outputs["mp4"], "shared.mp4"), "--explain")
    assert code == 10
    assert "changed since" in told
    assert "watermark in the picture survived" in told
    code, told = verified(astronaut, "--explain")
    assert code == 3
    assert "does not mean that it is genuine" in told
    (tmp_path / "note.txt").write_text("hello", encoding="utf-8")
    code, told = verified(tmp_path / "note.txt", "--explain")
    assert code == 2
    assert "Nothing can be said" in told
    assert verified(outputs["mp4"], "--explain", "--json")[0] == 2
