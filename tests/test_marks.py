"""Marks of real outputs: seen by another reader, told to a layman, and alive after what happens to films."""

import base64
import io
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image as Picture

from gioconda import pipeline
from gioconda.media import sha256_file
from gioconda.motion.templates import template
from gioconda.provenance import sidecar_path
from gioconda.weights import ASSETS

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
    pipeline.animate(astronaut, few("smile"), folder / "out.gif", engine="fewshot", **said)
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


@pytest.mark.parametrize("suffix", ["mp4", "gif", "webm", "png", "jpg", "webp"])
def test_another_reader_sees_how_an_output_was_made(outputs, seen, astronaut, suffix):
    state, failed, manifest, _ = seen[suffix]
    assert state == "Valid"
    assert failed == ["signingCredential.untrusted"]
    action = assertion(manifest, "c2pa.actions.v2")["actions"][0]
    assert action["action"] == "c2pa.created"
    assert action["digitalSourceType"].endswith("/compositeWithTrainedAlgorithmicMedia")
    assert manifest["ingredients"][0]["instance_id"] == f"sha256:{sha256_file(astronaut)}"
    job = assertion(manifest, "org.gioconda.job")
    assert job["rights"] == "NASA, public domain"
    assert job["version"] == pipeline.gioconda.__version__
    verdict = pipeline.verify(outputs[suffix])
    binding = assertion(manifest, "c2pa.soft-binding")["blocks"][0]["value"]
    assert verdict.status == "ours"
    assert verdict.watermark["payload"] == binding


def test_inputs_that_can_be_seen_are_shown(seen, outputs, astronaut_image):
    _, _, manifest, small = seen["mp4"]
    assert [one["title"] for one in manifest["ingredients"]] == ["astronaut.png", "driver.mp4"]
    shown = [np.asarray(Picture.open(io.BytesIO(base64.b64decode(one)))) for one in small]
    assert [max(one.shape) for one in shown] == [160, 160]
    whole = np.asarray(Picture.fromarray(astronaut_image).resize((160, 160)))
    assert np.abs(shown[0].astype(int) - whole).mean() < 6
    assert np.abs(shown[1].astype(int) - whole).mean() > 20


def test_networks_are_named_with_their_hashes(seen):
    named = {
        s: {w["name"]: w["sha256"] for w in assertion(seen[s][2], "org.gioconda.job")["weights"]}
        for s in seen
    }
    for suffix, names in (
        ("mp4", ["refiner.onnx"]),
        ("gif", ["fewshot.safetensors", "fewshot_generator.onnx"]),
    ):
        assert {name: named[suffix].get(name) for name in names} == {name: ASSETS[name] for name in names}
    assert "refiner.onnx" not in named["gif"]


def test_a_sidecar_may_be_read_by_whoever_may_read_its_film(outputs):
    film = outputs["webm"]
    assert sidecar_path(film).stat().st_mode == film.stat().st_mode
