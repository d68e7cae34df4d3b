"""Receives a submitted job: its limits, its idempotency key and its files."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Annotated, Any

from fastapi import Header, Request
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from gioconda.web.errors import KeyBusyError, MalformedError, QueueFullError, UnfitFileError
from gioconda.web.http import bodies, uploads
from gioconda.web.http.problems import documented
from gioconda.web.queue.jobs import JobQueue
from gioconda.web.queue.state import Submission
from gioconda.web.queue.webhooks import check_webhook

# Bytes by which a multipart body may exceed its files: the JSON and the headers of the parts.
_BODY_OVERHEAD = 2**20
# Seconds after which a client should try again when too many uploads are in progress.
_UPLOAD_RETRY_SECONDS = 5

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=8,
        max_length=128,
        pattern=r"^[!-~]+$",
        description=(
            "A text that the client makes up for this job, such as a UUID. The same key with the same request and "
            "files returns the same job, for as long as the job exists."
        ),
    ),
]
Webhook = Annotated[
    str | None,
    Header(
        alias="Webhook",
        max_length=2000,
        pattern=r"^https?://[!-~]+$",
        description=(
            "An address to which the server posts the job's final state as JSON, signed with the server's token. Its "
            "host has to be one of --webhook-host."
        ),
    ),
]
KEY_BUSY: dict[int | str, dict[str, Any]] = {
    409: {
        **documented(409)[409],
        "description": "A request with the same Idempotency-Key is still being uploaded; try again later.",
        "headers": documented(429)[429]["headers"],
    }
}


class Arrivals:
    """The uploads in progress: how many more may begin, and the idempotency keys that they hold."""

    def __init__(self, room: asyncio.Semaphore) -> None:
        """Admit as many uploads at once as `room` has places."""
        self._room, self._keys = room, set[str]()

    @contextlib.asynccontextmanager
    async def admit(self, key: str | None) -> AsyncIterator[None]:
        """Count an upload, and hold its key, within the context.

        Raises:
            KeyBusyError: Another upload holds the key.
            QueueFullError: Too many uploads are in progress.
        """
        if key in self._keys:
            raise KeyBusyError(_UPLOAD_RETRY_SECONDS)
        if self._room.locked():
            raise QueueFullError("too many uploads are in progress; try again later", _UPLOAD_RETRY_SECONDS)
        held = set() if key is None else {key}
        self._keys |= held
        try:
            async with self._room:
                yield
        finally:
            self._keys -= held


async def receive_job(
    request: Request, queue: JobQueue, key: str | None, webhook: str | None
) -> tuple[str, bool]:
    """Receive a submitted job, and queue it unless an earlier request with the same key has done so.

    Args:
        request: The request, whose body is not read yet.
        queue: The queue.
        key: The idempotency key, or None.
        webhook: The address for the job's final state, or None.

    Returns:
        The job's id, and whether an earlier request made the job.

    Raises:
        GiocondaError: The request is refused.
        HTTPException: The upload takes too long.
    """
    if webhook is not None:
        check_webhook(webhook, queue.settings.webhook_hosts)
    boundary = uploads.boundary_of(request.headers.get("content-type", ""))
    if boundary is None:
        raise UnfitFileError("the body is not multipart/form-data; send a field job and the files")
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > queue.settings.upload_bytes + _BODY_OVERHEAD:
        raise bodies.too_large(queue.settings)
    arrivals: Arrivals = request.app.state.arrivals
    async with arrivals.admit(key):
        # A job that exists needs no room.
        if key is None or not await asyncio.to_thread(queue.knows, key):
            await asyncio.to_thread(queue.check_room)
        return await _upload(request, queue, boundary, Submission(key=key, webhook=webhook))


async def _upload(
    request: Request, queue: JobQueue, boundary: bytes, submission: Submission
) -> tuple[str, bool]:
    """Read a request's body into a new folder and queue the job; an interrupted upload leaves nothing behind."""
    settings = queue.settings
    job, folder = queue.folders.fresh()
    try:
        intake = uploads.Intake(folder, boundary, settings.upload_bytes, queue.folders.check_space)
        job_request = await uploads.receive(
            request.stream(), intake, settings.upload_seconds, settings.idle_seconds
        )
        submission = replace(submission, fingerprint=intake.fingerprint(job_request, submission.webhook))
        made = await asyncio.to_thread(queue.enqueue, job, job_request, submission)
    except asyncio.TimeoutError:
        await asyncio.to_thread(queue.folders.discard, job)
        raise HTTPException(408, "the upload took too long; send it again on a faster connection") from None
    except ClientDisconnect:
        await asyncio.to_thread(queue.folders.discard, job)
        raise MalformedError("the upload was interrupted; send it again") from None
    except BaseException:
        queue.folders.discard(job)
        raise
    return made, made != job
