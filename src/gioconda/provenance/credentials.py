"""Content Credentials (C2PA 2): signs what was made, from what and by which engine, and checks it.

Nothing here uses the network: no time-stamp authority, no remote manifests, no revocation checks.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import c2pa

from gioconda.errors import InputError, OutputError
from gioconda.provenance.certificate import SigningIdentity, signing_identity
from gioconda.provenance.sidecar import find_sidecar
from gioconda.runtime.text import readable

GENERATOR = "Gioconda"
JOB_LABEL = "org.gioconda.job"
WATERMARK_ALGORITHM = "org.gioconda.luma.1"
SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
_EMBEDDED = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/quicktime",
    ".avi": "video/avi",
    ".gif": "image/gif",
    ".png": "image/png",
    ".apng": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
}
_SIDECAR = "application/octet-stream"
# MB of a film from which c2pa keeps its copy of it on the disk, in a file without a name. Its own default is 512.
_COPY_IN_MEMORY_MB = 16
# MB of a film from which c2pa hashes it in pieces, and their KB; it reads up to 256 MB of a smaller one at once. Short
# films are hashed whole, because old readers (c2pa-rs 0.58) do not compare pieces.
_PIECES_FROM_MB, _PIECE_KB = 64, 1024
_SETTINGS: dict[str, dict[str, Any]] = {
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
    "builder": {"thumbnail": {"enabled": False}},
    "core": {"backing_store_memory_threshold_in_mb": _COPY_IN_MEMORY_MB},
}
# Bytes by which a container is recognised, and that are searched for a manifest at a time.
_HEAD_BYTES = 32
_PIECE_BYTES = 1 << 20
# The head of a C2PA manifest store.
_MANIFEST_HEAD = b"jumdc2pa"


@dataclass(frozen=True)
class Ingredient:
    """One input of a job.

    Attributes:
        name: The file's name without its folder.
        sha256: SHA-256 of the file in hex.
        role: What the input is for: portrait, motion or audio.
        format: The file's MIME type.
        thumbnail: The bytes of a small JPEG, or None.
    """

    name: str
    sha256: str
    role: str
    format: str
    thumbnail: bytes | None = None


@dataclass(frozen=True)
class Claim:
    """What the manifest says about a file.

    Attributes:
        engine: The name of the engine.
        version: The version of Gioconda.
        inputs: The inputs of the job.
        payload: The watermark's 32 bits, as soft binding.
        rights: What the user declared about the use of the likeness, or None.
        action: "created" or "edited". The manifest names an edit's portrait, or else its first input, as its parent.
        source_type: IPTC's "trainedAlgorithmicMedia" or "compositeWithTrainedAlgorithmicMedia".
        weights: Name and SHA-256 in hex of each network that ran.
    """

    engine: str
    version: str
    inputs: tuple[Ingredient, ...]
    payload: int
    rights: str | None = None
    action: str = "created"
    source_type: str = "compositeWithTrainedAlgorithmicMedia"
    weights: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if self.action not in ("created", "edited"):
            raise ValueError(f"action {self.action!r} is neither 'created' nor 'edited'")


@dataclass(frozen=True)
class Credentials:
    """The manifest of a file.

    Attributes:
        state: "valid", "invalid", or "damaged" if it cannot be parsed.
        ours: Whether the active manifest is Gioconda's.
        ours_before: Whether a manifest on which it builds is Gioconda's.
        summary: Its content as JSON-ready values; None if it is damaged.
        failures: C2PA's status codes, except that of an unknown signer.
    """

    state: str
    ours: bool
    ours_before: bool
    summary: dict[str, Any] | None
    failures: tuple[str, ...]


def sign(
    temp: Path, target_name: str, claim: Claim, *, key: Path | None = None, certificate: Path | None = None
) -> Path | None:
    """Put a signed manifest into a file.

    Args:
        temp: The file, under a temporary name.
        target_name: The name under which it is going to be published.
        claim: What the manifest says.
        key: As for `signing_identity`.
        certificate: As for `signing_identity`.

    Returns:
        None. If the container cannot hold a manifest (WebM), the path of a temporary file beside `temp` with the
        manifest, to be published at `sidecar_path(target)`.

    Raises:
        InputError: The key or the certificate is not valid.
        OutputError: The file cannot be written.
    """
    identity = signing_identity(key, certificate)
    mime = _EMBEDDED.get(Path(target_name).suffix.lower())
    handle, name = tempfile.mkstemp(dir=temp.parent, prefix=f".{temp.stem}-", suffix=".c2pa.tmp")
    beside = Path(name)
    try:
        with os.fdopen(handle, "w+b") as written, temp.open("rb") as source:
            manifest = _build(claim, target_name, identity, mime, source, written)
            if mime is None:
                written.seek(0)
                written.truncate()
                written.write(manifest)
        beside.chmod(temp.stat().st_mode & 0o777)
        if mime is None:
            return beside
        beside.replace(temp)
        return None
    except BaseException as error:
        beside.unlink(missing_ok=True)
        if isinstance(error, (OSError, c2pa.C2paError)):
            raise _signing_error(error, target_name, certificate) from None
        raise


def _signing_error(error: Exception, target_name: str, certificate: Path | None) -> InputError | OutputError:
    """The error for people about an error of the system or of c2pa."""
    if isinstance(error, OSError):
        reason = error.strerror or error
        return OutputError(f"{target_name} cannot be signed ({reason}); free space or choose another folder")
    # c2pa does not say why the system failed.
    if "Io" in type(error).__name__ or str(error).startswith("Io"):
        return OutputError(
            f"{target_name} cannot be signed: the disk or quota may be full; free space and run again"
        )
    if certificate is not None:
        return InputError(
            f"the certificate {certificate} is not fit for Content Credentials ({error}); give a chain, leaf first, "
            "with digital signature as key usage and e-mail protection as purpose"
        )
    return OutputError(f"{target_name} cannot be signed ({error}); choose another output")


def _build(
    claim: Claim, title: str, identity: SigningIdentity, mime: str | None, source: BinaryIO, dest: BinaryIO
) -> bytes:
    """Sign a file from `source` to `dest` and return the manifest's bytes."""
    with c2pa.Context.from_dict(_signing_settings(source)) as context:
        info = c2pa.C2paSignerInfo(identity.algorithm.encode(), identity.chain, identity.key, None)
        manifest = readable(json.dumps(_manifest(claim, title), ensure_ascii=False))
        with c2pa.Builder(manifest, context=context) as builder:
            for index, item in enumerate(claim.inputs):
                if item.thumbnail is not None:
                    builder.add_resource(f"thumbnail{index}", BytesIO(item.thumbnail))
            if mime is None:
                builder.set_no_embed()
            with c2pa.Signer.from_info(info) as signer:
                return bytes(builder.sign(signer, mime or _SIDECAR, source, dest))


def _signing_settings(source: BinaryIO) -> dict[str, Any]:
    """The settings of c2pa for a file to sign: the memory that it takes does not grow with the film."""
    if os.fstat(source.fileno()).st_size < _PIECES_FROM_MB << 20:
        return _SETTINGS
    return {**_SETTINGS, "core": {**_SETTINGS["core"], "merkle_tree_chunk_size_in_kb": _PIECE_KB}}


def _manifest(claim: Claim, title: str) -> dict[str, Any]:
    """The manifest's definition, as c2pa reads it."""
    now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    job = {
        "engine": claim.engine,
        "version": claim.version,
        "created": now,
        "inputs": [{k: v for k, v in asdict(i).items() if k != "thumbnail"} for i in claim.inputs],
        "rights": claim.rights,
        "weights": [{"name": name, "sha256": sha256} for name, sha256 in claim.weights],
        "watermark": f"{claim.payload:08x}",
    }
    binding = {"alg": WATERMARK_ALGORITHM, "blocks": [{"scope": {}, "value": f"{claim.payload:08x}"}]}
    parent = _parent(claim)
    return {
        "claim_generator_info": [{"name": GENERATOR, "version": claim.version}],
        "title": title,
        "ingredients": [_ingredient(i, item, i == parent) for i, item in enumerate(claim.inputs)],
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": _actions(claim, now, parent)}},
            {"label": "c2pa.soft-binding", "data": binding},
            {"label": JOB_LABEL, "data": job},
        ],
    }


def _parent(claim: Claim) -> int | None:
    """The index of the input from which an edit starts; None for a file that was created."""
    if claim.action == "created" or not claim.inputs:
        return None
    return next((i for i, item in enumerate(claim.inputs) if item.role == "portrait"), 0)


def _actions(claim: Claim, now: str, parent: int | None) -> list[dict[str, Any]]:
    """The actions of the history, which must begin with `created` or `opened`; therefore an edit opens its parent."""
    agent = {"name": GENERATOR, "version": claim.version}
    others = [f"input{i}" for i in range(len(claim.inputs)) if i != parent]
    main: dict[str, Any] = {
        "action": "c2pa.created" if parent is None else "c2pa.edited",
        "digitalSourceType": SOURCE_TYPES + claim.source_type,
        "softwareAgent": agent,
        "when": now,
        "description": f"portrait animated by engine {claim.engine}",
    }
    if others:
        main["parameters"] = {"ingredientIds": others}
    if parent is None:
        return [main]
    opened = {
        "action": "c2pa.opened",
        "softwareAgent": agent,
        "parameters": {"ingredientIds": [f"input{parent}"]},
    }
    return [opened, main]


def _ingredient(index: int, item: Ingredient, is_parent: bool) -> dict[str, Any]:
    """An input, as c2pa reads it."""
    entry: dict[str, Any] = {
        "title": item.name,
        "format": item.format,
        "relationship": "parentOf" if is_parent else "inputTo",
        "instance_id": f"sha256:{item.sha256}",
        "description": item.role,
        "label": f"input{index}",
    }
    if item.thumbnail is not None:
        entry["thumbnail"] = {"format": "image/jpeg", "identifier": f"thumbnail{index}"}
    return entry


def read_credentials(path: Path) -> Credentials | None:
    """Read the manifest in a file, or in its sidecar if the container cannot hold one; None if there is none.

    Raises:
        OSError: The file cannot be opened.
    """
    with path.open("rb") as stream:
        mime = _sniff(stream.read(_HEAD_BYTES))
        stream.seek(0)
        try:
            with c2pa.Context.from_dict(_SETTINGS) as context:
                if mime is not None:
                    reader = c2pa.Reader(mime, stream, context=context)
                elif (manifest := find_sidecar(path, stream)) is not None:
                    reader = c2pa.Reader(_SIDECAR, stream, manifest, context=context)
                else:
                    return None
                with reader:
                    return _credentials(json.loads(reader.json()))
        except (c2pa.C2paError.ManifestNotFound, c2pa.C2paError.NotSupported):
            return None
        except (c2pa.C2paError, ValueError) as error:
            stream.seek(0)
            if mime is not None and not _holds_manifest(stream):
                return None
            return Credentials("damaged", False, False, None, (str(error),))


def _sniff(head: bytes) -> str | None:
    """The MIME type by content of a container that can hold a manifest; None for others."""
    if head[4:8] == b"ftyp":
        brands = {
            b"avif": "image/avif",
            b"heic": "image/heic",
            b"mif1": "image/heif",
            b"qt  ": "video/quicktime",
        }
        return brands.get(head[8:12], "video/mp4")
    if head[:4] == b"RIFF":
        return {b"WEBP": "image/webp", b"AVI ": "video/avi"}.get(head[8:12])
    signatures = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}
    return next((mime for magic, mime in signatures.items() if head.startswith(magic)), None)


def _holds_manifest(stream: BinaryIO) -> bool:
    """Whether a file has the head of a manifest store, for files that c2pa cannot parse."""
    tail = b""
    while chunk := stream.read(_PIECE_BYTES):
        if _MANIFEST_HEAD in tail + chunk:
            return True
        tail = chunk[-len(_MANIFEST_HEAD) :]
    return False


def _credentials(store: dict[str, Any]) -> Credentials:
    """The credentials in c2pa's report."""
    manifests = store.get("manifests") or {}
    active = manifests.get(store.get("active_manifest")) or {}
    others = [m for m in manifests.values() if m is not active]
    results = (store.get("validation_results") or {}).get("activeManifest") or {}
    failures = tuple(str(f.get("code")) for f in results.get("failure") or ())
    failures = tuple(f for f in failures if f != "signingCredential.untrusted")
    valid = store.get("validation_state") in ("Valid", "Trusted")
    return Credentials(
        "valid" if valid else "invalid",
        _is_ours(active),
        any(map(_is_ours, others)),
        _summary(active),
        failures,
    )


def _is_ours(manifest: dict[str, Any]) -> bool:
    """Whether Gioconda made a manifest."""
    generators = manifest.get("claim_generator_info") or [{}]
    return generators[0].get("name") == GENERATOR and bool(_assertion(manifest, JOB_LABEL))


def _assertion(manifest: dict[str, Any], label: str) -> dict[str, Any]:
    """The data of a manifest's assertion; empty if there is none."""
    matches = (a.get("data") for a in manifest.get("assertions") or () if a.get("label") == label)
    data = next(matches, None)
    return data if isinstance(data, dict) else {}


def _summary(manifest: dict[str, Any]) -> dict[str, Any]:
    """A summary of a manifest, with the same keys for every maker."""
    job = _assertion(manifest, JOB_LABEL)
    actions = _assertion(manifest, "c2pa.actions.v2").get("actions") or [{}]
    generator = (manifest.get("claim_generator_info") or [{}])[0]
    signature = manifest.get("signature_info") or {}
    return {
        "generator": generator.get("name"),
        "version": job.get("version") or generator.get("version"),
        "engine": job.get("engine"),
        "action": actions[-1].get("action"),
        "digitalSourceType": next(
            (a["digitalSourceType"] for a in actions if "digitalSourceType" in a), None
        ),
        "inputs": job.get("inputs") or [],
        "weights": job.get("weights") or [],
        "rights": job.get("rights"),
        "time": job.get("created") or signature.get("time"),
        "signer": {"name": signature.get("common_name"), "organisation": signature.get("issuer")},
        "watermark": job.get("watermark"),
    }
