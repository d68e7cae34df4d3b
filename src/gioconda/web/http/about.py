"""What this server offers: its version, its limits and the kinds of jobs that it can do."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, Field

import gioconda
from gioconda.errors import MissingFileError
from gioconda.registry import EngineEntry, adapters
from gioconda.web.http.deps import Settings
from gioconda.web.http.problems import documented
from gioconda.web.live import sessions
from gioconda.web.live.models import SIDES
from gioconda.web.requests import MODELS

router = APIRouter(prefix="/v1", tags=["server"])


class Purpose(BaseModel):
    """A purpose for which `adapt` prepares for a person."""

    name: str = Field(description="The value of the field `purpose`.", examples=["photos"])
    available: bool = Field(description="Whether this installation can do it.")
    reason: str | None = Field(default=None, description="Why it cannot, and what to install, for people.")


class SessionLimits(BaseModel):
    """The limits of live sessions of one use."""

    use: str = Field(description="What moves the portrait.", examples=["edit"])
    most: int = Field(ge=0, description="Sessions at a time.")
    side: int = Field(gt=0, description="Longer side of a session's pictures in pixels.")
    seconds_idle: float = Field(gt=0, description="Seconds without a request after which a session ends.")


class Server(BaseModel):
    """What a server offers, and its limits."""

    version: str = Field(examples=["0.1.0"])
    kinds: list[str] = Field(description="Kinds of jobs that this installation can do.")
    purposes: list[Purpose] = Field(description="Purposes of `adapt`.")
    upload_bytes: int = Field(gt=0, description="What all files of one request may have.")
    media_seconds: float = Field(gt=0, description="The longest video or sound that is accepted.")
    job_seconds: float = Field(gt=0, description="What one job may take.")
    keep_seconds: float = Field(gt=0, description="How long a job and its result are kept after its end.")
    webhooks: list[str] = Field(description="Hosts to which jobs may send webhooks.")
    sessions: list[SessionLimits] = Field(description="Limits of live sessions, by use.")


@router.get("/server", responses=documented())
def describe_server(settings: Settings) -> Server:
    """Return the server's version, limits, and the kinds of jobs that this installation can do."""
    # An engine that needs files of this machine is not offered here.
    purposes = [_purpose(name, entry) for name, entry in adapters().items() if not entry.needs]
    adapts = any(purpose.available for purpose in purposes)
    return Server(
        version=gioconda.__version__,
        kinds=[kind for kind in MODELS if kind != "adapt" or adapts],
        purposes=purposes,
        upload_bytes=settings.upload_bytes,
        media_seconds=settings.media_seconds,
        job_seconds=settings.job_seconds,
        keep_seconds=settings.keep_seconds,
        webhooks=list(settings.webhook_hosts),
        sessions=[
            SessionLimits(use=use, most=most, side=SIDES[use], seconds_idle=sessions.IDLE_SECONDS[use])
            for use, most in sessions.MOST.items()
        ],
    )


def _purpose(name: str, entry: EngineEntry) -> Purpose:
    """Whether this installation can prepare for a person for a purpose, and why not."""
    try:
        entry.check_adapts()
    except MissingFileError as error:
        return Purpose(name=name, available=False, reason=str(error))
    return Purpose(name=name, available=True)
