"""The parts of the OpenAPI document that FastAPI cannot derive: uploads, files in answers, streams."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from fastapi import FastAPI
from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema
from starlette.datastructures import Headers

from gioconda.errors import LimitError
from gioconda.media import PICTURE_SUFFIXES, VIDEO_SUFFIXES, mime_of
from gioconda.registry import motions
from gioconda.requests import KINDS, SOURCES, options_of
from gioconda.web import files
from gioconda.web.errors import UnfitFileError
from gioconda.web.http import uploads
from gioconda.web.live.models import SessionRequest
from gioconda.web.live.slider_values import KeyframeMoment, Keyframes, Look
from gioconda.web.requests import EXAMPLES, JOB
from gioconda.web.settings import ServerSettings

# Bytes by which a multipart body may exceed its files: the JSON and the headers of the parts.
_BODY_OVERHEAD = 2**20
_REFERENCE = "#/components/schemas/{model}"
_FILE = {"type": "string", "format": "binary"}
# An extension of OpenAPI: the kinds of jobs that take a file.
_KINDS = "x-kinds"


def _option_parts() -> dict[str, Any]:
    """The files of the requests in `gioconda.requests`, with the kinds that take them."""
    media = [
        (kind, files)
        for kind, request in KINDS.items()
        for option in options_of(request)
        if (files := option.media)
    ]
    parts: dict[str, Any] = {}
    for _, files in media:
        kinds = list(dict.fromkeys(kind for kind, other in media if other.role == files.role))
        description = f"{', '.join(kinds)}: {files.help[0].lower()}{files.help[1:]}"
        several = {"type": "array", "items": _FILE, "maxItems": files.most}
        parts[files.role] = {
            **(_FILE if files.most == 1 else several),
            "description": description,
            _KINDS: kinds,
        }
    return parts


_PARTS: dict[str, Any] = {
    **_option_parts(),
    "source": {
        "type": "array",
        "items": _FILE,
        "maxItems": SOURCES,
        "description": "adapt: photos or videos of one person.",
        _KINDS: ["adapt"],
    },
    "file": {**_FILE, "description": "verify: the file to check.", _KINDS: ["verify"]},
    "sidecar": {
        **_FILE,
        "description": "verify, export: the manifest of the file, if it is a file of its own.",
        _KINDS: ["verify", "export"],
    },
}
assert set(_PARTS) == set(files.ROLES)

EXTRA: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["job"],
                    "additionalProperties": False,
                    "properties": {"job": {"$ref": _REFERENCE.format(model="JobRequest")}, **_PARTS},
                },
                "encoding": {"job": {"contentType": "application/json"}},
            }
        },
    }
}

SESSION_BODIES: tuple[type[BaseModel], ...] = (SessionRequest, Look, KeyframeMoment, Keyframes)
"""The models of the bodies that the routes of sessions read by themselves."""

SESSION_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["session", "portrait"],
                    "additionalProperties": False,
                    "properties": {
                        "session": {"$ref": _REFERENCE.format(model="SessionRequest")},
                        "portrait": {
                            **_FILE,
                            "description": "A picture, a video, or a person or identity file.",
                        },
                    },
                },
                "encoding": {"session": {"contentType": "application/json"}},
            }
        },
    }
}


def json_body(model: type[BaseModel]) -> dict[str, Any]:
    """OpenAPI's entry for a JSON body that a route reads by itself, with a limit on its bytes."""
    schema = {"$ref": _REFERENCE.format(model=model.__name__)}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


_MEDIA = tuple(dict.fromkeys(mime_of(Path(f"_{suffix}")) for suffix in (*VIDEO_SUFFIXES, *PICTURE_SUFFIXES)))
_WHOLE = {"schema": _FILE}
_TEXT = {"text/plain": {"schema": {"type": "string"}}}
_PROBLEM = {"application/json": {"schema": {"$ref": _REFERENCE.format(model="Problem")}}}


def _file(media: tuple[str, ...]) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's entries for an answer that is a file of one of these MIME types."""
    content = dict.fromkeys(media, _WHOLE)
    return {
        200: {"description": "The file.", "content": content},
        206: {"description": "A range of it.", "content": {**content, "multipart/byteranges": _WHOLE}},
        400: {"description": "The range or the request is malformed.", "content": {**_TEXT, **_PROBLEM}},
        416: {"description": "The range is outside the file.", "content": _TEXT},
    }


RESULT = _file(_MEDIA)
for _status in (200, 206):
    RESULT[_status]["content"]["application/json"] = {"schema": {} if _status == 206 else {"type": "object"}}
JPEG: dict[int | str, dict[str, Any]] = {
    200: {"description": "The picture.", "content": {"image/jpeg": _WHOLE}}
}
MOTION: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file.",
        "content": {entry.mime: _WHOLE for entry in motions().values() if entry.writes},
    }
}
SIDECAR = _file(("application/c2pa",))
PREVIEW: dict[int | str, dict[str, Any]] = {
    200: {"description": "The latest finished frame.", "content": {"image/jpeg": _WHOLE}},
    204: {"description": "No frame is finished yet, or the job has ended."},
}
_EVENT = {
    "type": "object",
    "required": ["event", "data"],
    "properties": {
        "event": {"const": "state"},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {"$ref": _REFERENCE.format(model="JobState")},
        },
    },
}
EVENTS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The stream.", "content": {"text/event-stream": {"itemSchema": _EVENT}}}
}


class Health(BaseModel):
    """The health of the server."""

    status: Literal["ok"]
    version: str
    waiting: int = Field(ge=0, description="Jobs in the queue.")
    running: int = Field(ge=0, description="Jobs that are running.")


def boundary_of(headers: Headers, settings: ServerSettings) -> bytes:
    """Return the boundary of a multipart body, from the headers of the request.

    Raises:
        UnfitFileError: The body is not multipart/form-data.
        LimitError: Its declared length exceeds the limit.
    """
    boundary = uploads.boundary_of(headers.get("content-type", ""))
    if boundary is None:
        raise UnfitFileError("the body is not multipart/form-data; send a field with JSON and the files")
    length = headers.get("content-length", "")
    if length.isdigit() and int(length) > settings.upload_bytes + _BODY_OVERHEAD:
        raise too_large(settings)
    return boundary


def too_large(settings: ServerSettings) -> LimitError:
    """Return the error for a request whose declared length exceeds the limit."""
    return LimitError(files.too_large(settings.upload_bytes))


def complete(app: FastAPI) -> None:
    """Add the kinds of jobs to the app's OpenAPI document; FastAPI does not see them, since the body is streamed."""
    derive = app.openapi

    def openapi() -> dict[str, Any]:
        document = derive()
        schemas = document["components"]["schemas"]
        if "JobRequest" not in schemas:
            job_schema = JOB.json_schema(ref_template=_REFERENCE)
            schemas |= job_schema.pop("$defs")
            for kind, example in EXAMPLES.items():
                schemas[f"{kind.capitalize()}Request"]["examples"] = [example]
            schemas["JobRequest"] = job_schema
            schemas |= models_json_schema(
                [(model, "validation") for model in SESSION_BODIES], ref_template=_REFERENCE
            )[1]["$defs"]
        return document

    app.openapi = openapi  # type: ignore[method-assign]
