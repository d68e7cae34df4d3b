"""The routes under /v1/jobs: submit, watch, cancel and fetch."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from fastapi import Path as InPath
from fastapi.responses import FileResponse, StreamingResponse

from gioconda.web.errors import NoSidecarError, UnknownJobError
from gioconda.web.http import bodies
from gioconda.web.http.deps import Queue
from gioconda.web.http.guard import NO_CONTENT
from gioconda.web.http.problems import documented
from gioconda.web.http.submission import KEY_BUSY, IdempotencyKey, Webhook, receive_job
from gioconda.web.queue.jobs import JobQueue
from gioconda.web.queue.state import JobState

# Least seconds between two events of a job.
_PAUSE_SECONDS = 0.25
# Seconds of silence after which a comment keeps the connection open.
_PING_SECONDS = 15.0
_LOCATION: dict[str, Any] = {
    "headers": {"Location": {"description": "The address of the job.", "schema": {"type": "string"}}}
}

JobId = Annotated[
    str,
    InPath(
        pattern=r"^[A-Za-z0-9_-]{22}$",
        description="The id in the answer to the submission.",
        examples=["w" * 22],
    ),
]

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])


@router.post(
    "",
    status_code=202,
    response_model=JobState,
    responses={
        **documented(408, 413, 415, 422, 429, 503, 507),
        **KEY_BUSY,
        200: {"description": "The job of an earlier request with the same Idempotency-Key.", **_LOCATION},
        202: {"description": "The new job.", **_LOCATION},
    },
    openapi_extra=bodies.EXTRA,
)
async def make_job(
    request: Request,
    response: Response,
    queue: Queue,
    idempotency_key: IdempotencyKey = None,
    webhook: Webhook = None,
) -> JobState:
    """Submit a job: a field `job` with JSON, and the files that its kind takes.

    The server recognises files by their content and ignores their names. A repeated request with the same header
    Idempotency-Key returns the job of the first one, with status 200.
    """
    job, repeated = await receive_job(request, queue, idempotency_key, webhook)
    response.headers["Location"] = f"{request.scope['root_path']}/v1/jobs/{job}"
    if repeated:
        response.status_code = 200
    return await asyncio.to_thread(queue.state, job)


@router.get("/{job}", response_model=JobState, responses=documented(404))
def see_job(job: JobId, queue: Queue) -> JobState:
    """Return the state of a job."""
    return queue.state(job)


@router.post("/{job}/cancel", response_model=JobState, responses=documented(404))
def cancel_job(job: JobId, queue: Queue) -> JobState:
    """Stop a job and delete its files. A job that has ended stays as it is."""
    return queue.cancel(job)


@router.delete("/{job}", status_code=204, responses=documented(404))
def forget_job(job: JobId, queue: Queue) -> Response:
    """Stop a job if it runs, and delete everything about it, including its result."""
    queue.forget(job)
    return Response(status_code=204)


@router.get("/{job}/result", response_class=FileResponse, responses={**documented(404, 409), **bodies.RESULT})
def get_result(job: JobId, queue: Queue) -> FileResponse:
    """Download the signed video or picture, or the verdict. Ranges are supported."""
    path = queue.result_path(job)
    result = queue.state(job).result
    return _download(path, job, result.media_type if result else "application/octet-stream")


@router.get(
    "/{job}/sidecar", response_class=FileResponse, responses={**documented(404, 409), **bodies.SIDECAR}
)
def get_sidecar(job: JobId, queue: Queue) -> FileResponse:
    """Download the manifest of a result whose format cannot hold it; keep it beside the result."""
    path = queue.sidecar_path(job)
    if path is None:
        raise NoSidecarError
    return _download(path, job, "application/c2pa")


@router.get("/{job}/preview", response_class=Response, responses={**documented(404), **bodies.PREVIEW})
def get_preview(job: JobId, queue: Queue) -> Response:
    """Return the latest finished frame of a running job as a small JPEG with its marks; 204 while there is none."""
    queue.state(job)
    picture = queue.preview(job)
    if picture is None:
        return Response(status_code=204)
    return Response(picture, media_type="image/jpeg")


def _download(path: Path, job: str, media_type: str) -> FileResponse:
    """Answer with a file that the browser saves under a name made from the job's id."""
    try:
        status = path.stat()
    except OSError:
        raise UnknownJobError from None
    return FileResponse(
        path,
        media_type=media_type,
        filename=f"gioconda-{job[:6]}{path.suffix}",
        stat_result=status,
        headers={"Content-Security-Policy": NO_CONTENT},
    )


@router.get("/{job}/events", response_class=StreamingResponse, responses={**documented(404), **bodies.EVENTS})
async def listen(job: JobId, queue: Queue) -> StreamingResponse:
    """Stream server-sent events `state`, each with the job's state as JSON: now, at each change, until the job ends."""
    first = await asyncio.to_thread(queue.state, job)
    return StreamingResponse(
        _events(queue, first), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"}
    )


async def _events(queue: JobQueue, state: JobState) -> AsyncIterator[str]:
    """The text of a job's events, beginning with its first state."""
    last: JobState | None = None
    until = time.monotonic() + queue.settings.event_seconds
    last_sent = time.monotonic()
    changed, loop = asyncio.Event(), asyncio.get_running_loop()

    def wake() -> None:
        # The loop may have closed.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(changed.set)

    with queue.watch(state.id, wake):
        while True:
            changed.clear()
            try:
                state = await asyncio.to_thread(queue.state, state.id)
            except UnknownJobError:
                return
            if state != last:
                yield f"event: state\ndata: {state.model_dump_json()}\n\n"
                last, last_sent = state, time.monotonic()
            elif time.monotonic() - last_sent >= _PING_SECONDS:
                yield ": still here\n\n"
                last_sent = time.monotonic()
            left = until - time.monotonic()
            if state.final or queue.closed or left <= 0:
                return
            await asyncio.sleep(_PAUSE_SECONDS)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(changed.wait(), min(_PING_SECONDS, left))
