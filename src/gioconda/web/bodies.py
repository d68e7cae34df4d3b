"""What OpenAPI has to be told by hand: the parts of an upload, files that come back, streams."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import FastAPI
from pydantic import BaseModel, Field

from gioconda.errors import LimitError
from gioconda.orders import PHOTOS
from gioconda.web import files
from gioconda.web.requests import EXAMPLES, JOB, SOURCES
from gioconda.web.settings import Settings

_REFERENCE = "#/components/schemas/{model}"
_FILE = {"type": "string", "format": "binary"}
_PARTS: dict[str, Any] = {
    "portrait": {**_FILE, "description": "animate, speak, edit: a picture, a video, or an identity file."},
    "photo": {
        "type": "array",
        "items": _FILE,
        "maxItems": PHOTOS,
        "description": "animate, speak: further pictures of the same person.",
    },
    "motion": {**_FILE, "description": "animate: a video, a sound, .npz, or Live Link Face's .csv."},
    "audio": {**_FILE, "description": "speak: a sound, or a video with sound."},
    "bank": {**_FILE, "description": "speak: mouths of a video's person."},
    "source": {
        "type": "array",
        "items": _FILE,
        "maxItems": SOURCES,
        "description": "adapt: photos or videos of one person.",
    },
    "file": {**_FILE, "description": "verify: what is to be verified."},
    "sidecar": {**_FILE, "description": "verify: the manifest beside it."},
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

_MEDIA = ("video/mp4", "video/webm", "image/gif", "image/png", "image/jpeg", "image/webp")
_WHOLE = {"schema": _FILE}
_TEXT = {"text/plain": {"schema": {"type": "string"}}}
_PROBLEM = {"application/json": {"schema": {"$ref": _REFERENCE.format(model="Problem")}}}


def _file(media: tuple[str, ...]) -> dict[int | str, dict[str, Any]]:
    content = dict.fromkeys(media, _WHOLE)
    return {
        200: {"description": "The file.", "content": content},
        206: {"description": "A range of it.", "content": {**content, "multipart/byteranges": _WHOLE}},
        400: {"description": "A range that cannot be read, or as for all.", "content": {**_TEXT, **_PROBLEM}},
        416: {"description": "The range lies outside the file.", "content": _TEXT},
    }


RESULT = _file(_MEDIA)
for _status in (200, 206):
    RESULT[_status]["content"]["application/json"] = {"schema": {} if _status == 206 else {"type": "object"}}
SIDECAR = _file(("application/c2pa",))
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
    """That the server can work."""

    status: Literal["ok"]
    version: str
    waiting: int = Field(ge=0, description="Jobs in the queue.")
    running: int = Field(ge=0, description="Jobs in a worker's hands.")


def too_large(settings: Settings) -> LimitError:
    """For a request that says itself that it is."""
    return LimitError(files.too_large(settings.upload_bytes))


def complete(app: FastAPI) -> None:
    """Add the kinds of jobs to the app's OpenAPI file, which FastAPI cannot see in a body that is streamed."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        document = made()
        schemas = document["components"]["schemas"]
        if "JobRequest" not in schemas:
            whole = JOB.json_schema(ref_template=_REFERENCE)
            schemas |= whole.pop("$defs")
            for kind, one in EXAMPLES.items():
                schemas[f"{kind.capitalize()}Request"]["examples"] = [one]
            schemas["JobRequest"] = whole
        return document

    app.openapi = openapi  # type: ignore[method-assign]
