"""Content Credentials (C2PA 2): what was made, from what, by which engine, signed; read back and checked.

Nothing here goes on the network: no time-stamp authority, no remote manifests, no revocation look-ups.
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
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
}
_SIDECAR = "application/octet-stream"
_SETTINGS = {
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
    "builder": {"thumbnail": {"enabled": False}},
}
_SIDECAR_BYTES = 16 << 20


@dataclass(frozen=True)
class Ingredient:
    """One input: file name (no folder), SHA-256 in hex, role (portrait, motion or audio), MIME type.

    thumbnail: a small JPEG file's bytes, or None.
    """

    name: str
    sha256: str
    role: str
    format: str
    thumbnail: bytes | None = None


@dataclass(frozen=True)
class Claim:
    """What the manifest says of a file.

    action: "created" or "edited"; an edit's portrait (or else its first input) is named as its parent.
    source_type: IPTC's "trainedAlgorithmicMedia" or "compositeWithTrainedAlgorithmicMedia".
    weights: (name, sha256) of each network that ran. payload: the watermark's 32 bits, as soft binding.
    rights: what the user declared about the use of the likeness, or None.
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
    """A manifest that was found. state: "valid", "invalid" or "damaged" (cannot be parsed at all).

    ours: the active manifest is Gioconda's; ours_before: one that it builds upon is.
    summary: JSON-ready, None if damaged. failures: C2PA's status codes other than an unknown signer.
    """

    state: str
    ours: bool
    ours_before: bool
    summary: dict[str, Any] | None
    failures: tuple[str, ...]


def sidecar_path(target: Path) -> Path:
    """Where the manifest of a file lies whose container cannot hold it: the same name, ending in .c2pa."""
    return target.with_suffix(".c2pa")


def sign(
    temp: Path, target_name: str, claim: Claim, *, key: Path | None = None, certificate: Path | None = None
) -> Path | None:
    """Put a signed manifest into the file `temp`, which is to be published as `target_name`.

    Returns None, or where the container holds none (WebM) the path of a temporary file beside `temp` with
    the manifest, to be published at `sidecar_path(target)`. key, certificate: PEM; see `signing_identity`.
    Raises InputError for a bad key or certificate, OutputError if the file cannot be written.
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
    except c2pa.C2paError as error:
        beside.unlink(missing_ok=True)
        _explain(error, target_name, certificate)
    except BaseException as error:
        beside.unlink(missing_ok=True)
        if isinstance(error, OSError):
            told = error.strerror or error
            raise OutputError(
                f"{target_name} cannot be signed ({told}); free space or choose another folder"
            ) from None
        raise
    return None


def _explain(error: Exception, target_name: str, certificate: Path | None) -> None:
    # c2pa keeps the system's reason to itself
    if "Io" in type(error).__name__ or str(error).startswith("Io"):
        raise OutputError(
            f"{target_name} cannot be signed: the disk or quota may be full; free space and run again"
        ) from None
    if certificate is not None:
        raise InputError(
            f"the certificate {certificate} is not fit for Content Credentials ({error}); it needs a chain, "
            "leaf first, with digital signature as key usage and e-mail protection as purpose"
        ) from None
    raise OutputError(f"{target_name} cannot be signed: {error}") from None


def _build(
    claim: Claim, title: str, identity: SigningIdentity, mime: str | None, source: BinaryIO, dest: BinaryIO
) -> bytes:
    with c2pa.Context.from_dict(_SETTINGS) as context:
        info = c2pa.C2paSignerInfo(identity.algorithm.encode(), identity.chain, identity.key, None)
        with c2pa.Builder(json.dumps(_manifest(claim, title)), context=context) as builder:
            for index, item in enumerate(claim.inputs):
                if item.thumbnail is not None:
                    builder.add_resource(f"thumbnail{index}", BytesIO(item.thumbnail))
            if mime is None:
                builder.set_no_embed()
            with c2pa.Signer.from_info(info) as signer:
                return bytes(builder.sign(signer, mime or _SIDECAR, source, dest))


def _manifest(claim: Claim, title: str) -> dict[str, Any]:
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
    """Index of the input that an edit starts from; None for what was created anew."""
    if claim.action == "created" or not claim.inputs:
        return None
    return next((i for i, item in enumerate(claim.inputs) if item.role == "portrait"), 0)


def _actions(claim: Claim, now: str, parent: int | None) -> list[dict[str, Any]]:
    """C2PA lets a history begin with `created` or `opened` only, so an edit opens its parent first."""
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
    """The manifest in a file, or in its sidecar where the container holds none; None if there is none.

    Raises OSError if the file cannot be opened.
    """
    with path.open("rb") as stream:
        mime = _sniff(stream.read(32))
        stream.seek(0)
        try:
            with c2pa.Context.from_dict(_SETTINGS) as context:
                if mime is not None:
                    reader = c2pa.Reader(mime, stream, context=context)
                elif (sidecar := sidecar_path(path)).is_file() and sidecar.stat().st_size <= _SIDECAR_BYTES:
                    reader = c2pa.Reader(_SIDECAR, stream, sidecar.read_bytes(), context=context)
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
    """MIME type by content, of the containers that C2PA embeds into; None for all others."""
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
    """Whether the bytes hold the head of a C2PA manifest store, for files that its parser refuses."""
    tail = b""
    while chunk := stream.read(1 << 20):
        if b"jumdc2pa" in tail + chunk:
            return True
        tail = chunk[-8:]
    return False


def _credentials(store: dict[str, Any]) -> Credentials:
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
    generators = manifest.get("claim_generator_info") or [{}]
    return generators[0].get("name") == GENERATOR and bool(_assertion(manifest, JOB_LABEL))


def _assertion(manifest: dict[str, Any], label: str) -> dict[str, Any]:
    found = (a.get("data") for a in manifest.get("assertions") or () if a.get("label") == label)
    data = next(found, None)
    return data if isinstance(data, dict) else {}


def _summary(manifest: dict[str, Any]) -> dict[str, Any]:
    """The manifest in few words, with the same keys whoever made it."""
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
