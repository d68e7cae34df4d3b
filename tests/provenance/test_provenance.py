"""Content Credentials and the verdict: what we wrote is ours, what was changed since is told, and what is plain."""

import hashlib
import json
import os
import stat
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import cv2
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from PIL import Image as Picture

from gioconda.errors import InputError, MissingFileError, OutputError
from gioconda.provenance import Claim, Ingredient, credentials, explain, sidecar_path, sign, verify
from gioconda.provenance.certificate import IDENTITY_NAME, signing_identity
from gioconda.provenance.credentials import read_credentials
from marks_world import PAYLOAD, marked_fixture, pictures, plain_fixture, recode  # noqa: F401
from media_factory import write_clip

KEYS = {"schema", "path", "status", "exit_code", "survived", "manifest", "watermark", "reasons"}


@pytest.fixture(autouse=True)
def home(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.getbasetemp() / "gioconda-home"
    monkeypatch.setenv("GIOCONDA_HOME", str(folder))
    return folder


def claim(**changes):
    inputs = (
        Ingredient("me.jpg", "a" * 64, "portrait", "image/jpeg"),
        Ingredient("drive.mp4", "b" * 64, "motion", "video/mp4"),
    )
    values = {
        "engine": "warp",
        "version": "0.1.0",
        "inputs": inputs,
        "payload": PAYLOAD,
        "rights": "my own face",
    }
    return Claim(**{**values, **changes})


def save(path, images):
    """Write pictures as a file of the kind that the name tells."""
    if path.suffix in (".png", ".jpg", ".webp"):
        Picture.fromarray(images[0]).save(path)
    elif path.suffix == ".gif":
        first, *rest = [Picture.fromarray(image) for image in images]
        first.save(path, save_all=True, append_images=rest, duration=80)
    elif path.suffix == ".webm":
        write_clip(path, images, codec="libvpx-vp9", options={"crf": "32", "b:v": "0", "cpu-used": "8"})
    else:
        write_clip(path, images, options={"crf": "18", "preset": "veryfast"})
    return path


def signed(path, images, **changes):
    beside = sign(save(path, images), path.name, claim(**changes))
    if beside is not None:
        beside.rename(sidecar_path(path))
    return path


@pytest.fixture
def ours(tmp_path, marked):
    return signed(tmp_path / "ours.mp4", marked)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".png", ".jpg", ".webp", ".gif", ".webm"])
def test_what_we_wrote_is_ours(tmp_path, marked, suffix):
    path = signed(tmp_path / f"out{suffix}", marked)
    verdict = verify(path, pictures)
    assert (verdict.status, verdict.exit_code) == ("ours", 0), verdict.reasons
    assert verdict.watermark["payload"] == f"{PAYLOAD:08x}" == verdict.manifest["watermark"]
    assert sidecar_path(path).exists() == (suffix == ".webm")
    left = {p.name for p in tmp_path.iterdir()} - {path.name, sidecar_path(path).name}
    assert not left


def test_verdict_tells_how_it_was_made(ours):
    told = json.loads(json.dumps(verify(ours, pictures).to_json()))
    assert set(told) == KEYS
    assert told["schema"] == 1
    manifest = told["manifest"]
    assert manifest["engine"] == "warp"
    assert manifest["rights"] == "my own face"
    assert manifest["action"] == "c2pa.created"
    assert manifest["digitalSourceType"].endswith("/compositeWithTrainedAlgorithmicMedia")
    assert [(i["role"], i["sha256"]) for i in manifest["inputs"]] == [
        ("portrait", "a" * 64),
        ("motion", "b" * 64),
    ]


def test_an_edit_names_its_parent(tmp_path, marked):
    path = signed(tmp_path / "edit.png", marked, action="edited", weights=(("net", "c" * 64),))
    verdict = verify(path, pictures)
    assert verdict.status == "ours"
    assert verdict.manifest["action"] == "c2pa.edited"
    assert verdict.manifest["weights"] == [{"name": "net", "sha256": "c" * 64}]


def test_a_fresh_process_with_the_librarys_reader_agrees(tmp_path, marked):
    small = cv2.imencode(".jpg", marked[0][::8, ::8])[1].tobytes()
    item = Ingredient("me.jpg", "a" * 64, "portrait", "image/jpeg", thumbnail=small)
    path = signed(tmp_path / "seen.mp4", marked, inputs=(item,))
    code = (
        "import sys, json, c2pa\n"
        "with open(sys.argv[1], 'rb') as f, c2pa.Reader('video/mp4', f) as r:\n"
        "    failed = [e['code'] for e in r.get_validation_results()['activeManifest']['failure']]\n"
        "    print(json.dumps([r.get_validation_state(), failed, r.get_active_manifest()]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, check=True, text=True)
    state, failed, manifest = json.loads(done.stdout)
    assert state == "Valid"
    assert failed == ["signingCredential.untrusted"]
    labels = {a["label"]: a["data"] for a in manifest["assertions"]}
    assert labels["c2pa.soft-binding"]["blocks"][0]["value"] == f"{PAYLOAD:08x}"
    assert manifest["ingredients"][0]["instance_id"] == "sha256:" + "a" * 64
    assert manifest["ingredients"][0]["thumbnail"]["format"] == "image/jpeg"


def test_re_encoded_is_altered(tmp_path, ours):
    again = write_clip(tmp_path / "again.mp4", list(pictures(ours)), options={"crf": "26"})
    verdict = verify(again, pictures)
    assert (verdict.status, verdict.exit_code) == ("altered", 10)
    assert verdict.manifest is None
    assert verdict.watermark["engine"] == "warp"


def test_of_a_webm_without_its_sidecar_nobody_can_tell_whether_it_was_changed(tmp_path, marked):
    path = signed(tmp_path / "out.webm", marked)
    sidecar_path(path).unlink()
    verdict = verify(path, pictures)
    assert (verdict.status, verdict.exit_code) == ("unsigned", 11)
    assert "sidecar is missing" in " ".join(verdict.reasons)
    assert "cannot be told" in explain(verdict)


def test_a_renamed_webm_finds_its_sidecar_by_its_hash(tmp_path, marked):
    path = signed(tmp_path / "out.webm", marked)
    other = signed(tmp_path / "b.webm", marked[::-1])
    sidecar_path(path).rename(tmp_path / "of-out.c2pa")
    assert verify(path, pictures).status == "ours"
    # The sidecar of another film has the name that this film takes.
    other.unlink()
    assert verify(path.rename(tmp_path / "b.webm"), pictures).status == "ours"
    (tmp_path / "of-out.c2pa").unlink()
    assert verify(tmp_path / "b.webm", pictures).status == "invalid"


def test_changed_bytes_are_invalid(ours):
    data = bytearray(ours.read_bytes())
    data[len(data) // 2] ^= 1
    ours.write_bytes(data)
    verdict = verify(ours, pictures)
    assert (verdict.status, verdict.exit_code) == ("invalid", 4)
    assert "assertion.bmffHash.mismatch" in " ".join(verdict.reasons)


def test_a_long_film_is_hashed_in_pieces_and_no_change_escapes(tmp_path, marked, monkeypatch):
    monkeypatch.setattr(credentials, "_PIECES_FROM_MB", 0)
    monkeypatch.setattr(credentials, "_PIECE_KB", 1)
    path = signed(tmp_path / "long.mp4", marked)
    assert verify(path, pictures).status == "ours"
    whole = path.read_bytes()
    media = whole.rindex(b"mdat") + 4
    for place in (media + 8, (media + len(whole)) // 2, len(whole) - 8):
        changed = bytearray(whole)
        changed[place] ^= 255
        path.write_bytes(changed)
        assert "assertion.bmffHash.mismatch" in read_credentials(path).failures, place
    first, second = media + 1024, media + 3 * 1024
    assert whole[first : first + 1024] != whole[second : second + 1024]
    swapped = bytearray(whole)
    swapped[first : first + 1024] = whole[second : second + 1024]
    swapped[second : second + 1024] = whole[first : first + 1024]
    path.write_bytes(swapped)
    failures = read_credentials(path).failures
    assert "assertion.bmffHash.mismatch" in failures, "pieces that changed places"


def test_a_damaged_manifest_is_invalid(tmp_path, marked):
    path = signed(tmp_path / "ours.png", marked)
    data = path.read_bytes()
    at = data.index(b"org.gioconda.job")
    path.write_bytes(data[:at] + b"\0" * 40 + data[at + 40 :])
    assert verify(path, pictures).exit_code == 4


@pytest.mark.slow
def test_a_sidecar_of_another_file_is_invalid(tmp_path, marked, plain):
    first = signed(tmp_path / "a.webm", marked)
    other = save(tmp_path / "b.webm", plain)
    sidecar_path(first).rename(sidecar_path(other))
    assert verify(other, pictures).status == "invalid"


@pytest.mark.slow
def test_plain_files_are_unmarked(tmp_path, plain):
    for suffix in (".mp4", ".png", ".gif", ".webm"):
        verdict = verify(save(tmp_path / f"plain{suffix}", plain), pictures)
        assert (verdict.status, verdict.exit_code) == ("unmarked", 3), verdict.reasons
        assert verdict.manifest is None
        assert verdict.watermark is None


def test_credentials_of_others_are_not_ours(tmp_path, plain, monkeypatch):
    monkeypatch.setattr("gioconda.provenance.credentials.GENERATOR", "Another tool")
    path = signed(tmp_path / "theirs.jpg", plain)
    monkeypatch.undo()
    verdict = verify(path, pictures)
    assert (verdict.status, verdict.exit_code) == ("unmarked", 3)
    assert "Another tool" in verdict.reasons[0]


def test_ours_without_its_watermark_is_still_ours(tmp_path, plain):
    verdict = verify(signed(tmp_path / "bare.png", plain), pictures)
    assert verdict.status == "ours"
    assert any("no watermark" in reason for reason in verdict.reasons)


def test_what_cannot_be_read_is_told(tmp_path, ours):
    (tmp_path / "text.mp4").write_text("no film", encoding="utf-8")
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "cut.mp4").write_bytes(ours.read_bytes()[:900])
    for name in ("text.mp4", "empty.mp4", "cut.mp4", "absent.mp4", "."):
        verdict = verify(tmp_path / name, pictures)
        assert (verdict.status, verdict.exit_code) == ("unreadable", 2), name
        assert verdict.reasons


def test_random_damage_never_escapes(tmp_path, marked):
    data = signed(tmp_path / "ours.jpg", marked).read_bytes()
    random = np.random.default_rng(3)
    broken = tmp_path / "broken.jpg"
    for _ in range(40):
        bad = bytearray(data)
        for at in random.integers(0, 6000, 3):
            bad[at] = random.integers(256)
        broken.write_bytes(bad[: random.integers(100, len(bad))])
        assert verify(broken, lambda path: iter(())).status in ("unreadable", "ours")


def test_key_is_made_once_and_kept_private(tmp_path, monkeypatch):
    monkeypatch.setenv("GIOCONDA_HOME", str(tmp_path / "new" / "home"))
    first = signing_identity()
    assert signing_identity() == first
    files = list((tmp_path / "new" / "home").iterdir())
    assert [f.name for f in files] == [IDENTITY_NAME]
    if os.name == "posix":
        assert stat.S_IMODE(files[0].stat().st_mode) == 0o600


@pytest.mark.slow
def test_processes_that_start_at_once_share_one_key(tmp_path):
    code = "from gioconda.provenance.certificate import signing_identity as s; print(hash(s().key.decode()))"
    environment = {**os.environ, "GIOCONDA_HOME": str(tmp_path / "home"), "PYTHONHASHSEED": "0"}
    jobs = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    answers = {job.communicate(timeout=120)[0] for job in jobs}
    assert len(answers) == 1
    assert answers != {""}


def own_pair(folder):
    identity = signing_identity()
    (folder / "key.pem").write_bytes(identity.key)
    (folder / "chain.pem").write_bytes(identity.chain)
    return folder / "key.pem", folder / "chain.pem"


def test_own_key_signs(tmp_path, marked):
    key, chain = own_pair(tmp_path)
    path = save(tmp_path / "own.png", marked)
    assert sign(path, "own.png", claim(), key=key, certificate=chain) is None
    assert verify(path, pictures).status == "ours"


def test_bad_keys_are_told_and_leave_the_file_alone(tmp_path, marked, monkeypatch):
    key, chain = own_pair(tmp_path)
    monkeypatch.setenv("GIOCONDA_HOME", str(tmp_path / "elsewhere"))
    (tmp_path / "other").mkdir()
    stranger, _ = own_pair(tmp_path / "other")
    path = save(tmp_path / "own.png", marked)
    before = hashlib.sha256(path.read_bytes()).digest()
    wrong = [
        ({"key": key}, "belong together"),
        ({"key": chain, "certificate": chain}, "has no private key"),
        ({"key": key, "certificate": key}, "has no certificate"),
        ({"key": stranger, "certificate": chain}, "not that of the key"),
    ]
    for options, message in wrong:
        with pytest.raises(InputError, match=message):
            sign(path, "own.png", claim(), **options)
    with pytest.raises(MissingFileError, match="does not exist"):
        sign(path, "own.png", claim(), key=tmp_path / "none.pem", certificate=chain)
    assert hashlib.sha256(path.read_bytes()).digest() == before
    assert not list(tmp_path.glob(".*"))


def test_an_unfit_certificate_is_told(tmp_path, marked):
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "no purpose given")])
    now = datetime.now(timezone.utc)
    made = x509.CertificateBuilder(name, name, private.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now).not_valid_after(now + timedelta(days=9)).sign(private, hashes.SHA256())
    pem, plain_key = serialization.Encoding.PEM, serialization.NoEncryption()
    (tmp_path / "c.pem").write_bytes(made.public_bytes(pem))
    (tmp_path / "k.pem").write_bytes(private.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain_key))
    path = save(tmp_path / "a.png", marked)
    with pytest.raises(InputError, match="not fit for Content Credentials"):
        sign(path, "a.png", claim(), key=tmp_path / "k.pem", certificate=tmp_path / "c.pem")
    assert verify(path, pictures).status == "altered"
    assert {p.name for p in tmp_path.iterdir()} == {"a.png", "c.pem", "k.pem"}


def test_a_damaged_identity_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("GIOCONDA_HOME", str(tmp_path))
    (tmp_path / IDENTITY_NAME).write_text("not a key", encoding="utf-8")
    with pytest.raises(InputError, match="move this file away"):
        signing_identity()


def test_a_folder_that_cannot_be_is_told(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("GIOCONDA_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(OutputError, match="GIOCONDA_HOME"):
        signing_identity()


def test_nothing_that_is_not_media_is_read_as_credentials(tmp_path):
    path = Path(tmp_path / "note.txt")
    path.write_text("hello", encoding="utf-8")
    assert read_credentials(path) is None
