"""The HTTP API: jobs under /v1/jobs, for programs; a page may be mounted beside it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request, Response, Security
from fastapi import Path as InPath
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, StreamingResponse
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

import gioconda
from gioconda.web import bodies, reference, uploads
from gioconda.web.guard import NO_CONTENT, Guard
from gioconda.web.problems import add_handlers, documented
from gioconda.web.queue import JobQueue
from gioconda.web.refusals import (
    ClosingError,
    MalformedError,
    QueueFullError,
    UnfitFileError,
    UnknownJobError,
)
from gioconda.web.requests import EXAMPLES
from gioconda.web.settings import Settings
from gioconda.web.state import JobState
from gioconda.web.telemetry import Metrics

_ABOUT = (
    "Portraits in motion, over HTTP. Hand in a job with its files, watch it, fetch the signed result. "
    "A job's id is all that it takes to see and to cancel it: keep it to yourself."
)
_LOOK_SECONDS = 0.25  # between looks at a job that somebody listens to
_PING_SECONDS = 15.0

JobId = Annotated[
    str,
    InPath(pattern=r"^[A-Za-z0-9_-]{22}$", description="As the job's making told it.", examples=["w" * 22]),
]

v1 = APIRouter(prefix="/v1/jobs", tags=["jobs"])
operations = APIRouter(tags=["operation"])


def build_app(
    settings: Settings,
    *,
    queue: JobQueue | None = None,
    mount: Callable[[FastAPI, JobQueue], None] | None = None,
) -> FastAPI:
    """The server's app, with its queue running as `app.state.queue`; both end with the app's lifespan.

    queue: one that runs already, which the caller closes. mount: puts a page at "/", for example by
    `gradio.mount_gradio_app(app, blocks, path="/")`; without one, "/" leads to the API's reference. The page passes the
    same checks as the API: Host, Origin, and the token, for which a browser asks as a password of any user.
    Raises InputError or OutputError as `JobQueue`.
    """
    jobs = queue or JobQueue(settings)

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        if queue is None:
            await asyncio.to_thread(jobs.close)

    app = FastAPI(
        title="Gioconda",
        description=_ABOUT,
        version=gioconda.__version__,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    metrics = Metrics(jobs)
    app.state.queue, app.state.settings, app.state.metrics = jobs, settings, metrics
    app.state.uploads = asyncio.Semaphore(settings.uploads)
    add_handlers(app)
    guarded = [] if settings.token is None else [Security(_SCHEME)]  # checked by Guard
    refused = {} if settings.token is None else documented(401)
    app.include_router(v1, dependencies=guarded, responses=refused)
    app.include_router(operations, dependencies=[], responses={})
    app.add_api_route(
        "/metrics",
        _metrics,
        dependencies=guarded,
        responses={**documented(), **refused, **_METRICS},
        tags=["operation"],
    )
    if mount is None:
        app.add_api_route("/", _to_reference, include_in_schema=False)
    else:
        mount(app, jobs)
    app.add_middleware(Guard, settings=settings, metrics=metrics)
    bodies.complete(app)
    return app


_SCHEME = HTTPBearer(auto_error=False, description="The token of --token-file.")


def _queue(request: Request) -> JobQueue:
    queue: JobQueue = request.app.state.queue
    return queue


Queue = Annotated[JobQueue, Depends(_queue)]


@v1.post(
    "",
    status_code=202,
    response_model=JobState,
    responses={
        **documented(408, 413, 415, 422, 429, 503, 507),
        202: {"headers": {"Location": {"description": "Of the job.", "schema": {"type": "string"}}}},
    },
    openapi_extra=bodies.EXTRA,
)
async def make_job(request: Request, response: Response, queue: Queue) -> JobState:
    """Hand in a job: a field `job` with JSON, and beside it the files that its kind takes.

    Files are told by their content; their names are not looked at.
    """
    boundary = uploads.boundary_of(request.headers.get("content-type", ""))
    if boundary is None:
        raise UnfitFileError("send multipart/form-data with a field job and the files")
    settings: Settings = request.app.state.settings
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > settings.upload_bytes + 2**20:
        raise bodies.too_large(settings)
    gate: asyncio.Semaphore = request.app.state.uploads
    if gate.locked():
        raise QueueFullError("too many uploads at once; try again later", 5)
    async with gate:
        await asyncio.to_thread(queue.check_room)
        job = await _take_in(request, queue, boundary)
    response.headers["Location"] = f"/v1/jobs/{job}"
    return await asyncio.to_thread(queue.state, job)


async def _take_in(request: Request, queue: JobQueue, boundary: bytes) -> str:
    """Read a request's body into a fresh folder and queue it; nothing stays of one that breaks off."""
    settings = queue.settings
    job, folder = queue.folders.fresh()
    try:
        intake = uploads.Intake(folder, boundary, settings.upload_bytes, queue.folders.check_space)
        asked = await uploads.receive(
            request.stream(), intake, settings.upload_seconds, settings.idle_seconds
        )
        await asyncio.to_thread(queue.enqueue, job, asked)
    except asyncio.TimeoutError:
        await asyncio.to_thread(queue.folders.discard, job)
        raise HTTPException(408, "the upload takes too long") from None
    except ClientDisconnect:
        await asyncio.to_thread(queue.folders.discard, job)
        raise MalformedError("the upload broke off") from None
    except BaseException:
        queue.folders.discard(job)
        raise
    return job


@v1.get("/{job}", response_model=JobState, responses=documented(404))
def see_job(job: JobId, queue: Queue) -> JobState:
    """Where a job stands."""
    return queue.state(job)


@v1.post("/{job}/cancel", response_model=JobState, responses=documented(404))
def cancel_job(job: JobId, queue: Queue) -> JobState:
    """Stop a job and delete its files; one that has ended already stays as it is."""
    return queue.cancel(job)


@v1.delete("/{job}", status_code=204, responses=documented(404))
def forget_job(job: JobId, queue: Queue) -> Response:
    """Stop a job if it runs, and delete all that is known of it, its result included."""
    queue.forget(job)
    return Response(status_code=204)


@v1.get("/{job}/result", response_class=FileResponse, responses={**documented(404, 409), **bodies.RESULT})
def get_result(job: JobId, queue: Queue) -> FileResponse:
    """The signed video or picture, or the verdict; ranges are served."""
    path = queue.result_path(job)
    found = queue.state(job).result
    return _download(path, job, found.media_type if found else "application/octet-stream")


@v1.get("/{job}/sidecar", response_class=FileResponse, responses={**documented(404, 409), **bodies.SIDECAR})
def get_sidecar(job: JobId, queue: Queue) -> FileResponse:
    """The manifest, where the result's format cannot hold it: keep it beside the result."""
    path = queue.sidecar_path(job)
    if path is None:
        raise UnknownJobError
    return _download(path, job, "application/c2pa")


def _download(path: Path, job: str, media_type: str) -> FileResponse:
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


@v1.get("/{job}/events", response_class=StreamingResponse, responses={**documented(404), **bodies.EVENTS})
async def listen(job: JobId, queue: Queue) -> StreamingResponse:
    """Server-sent events `state`, each a job's state as JSON, now and at each change, until the job has ended."""
    first = await asyncio.to_thread(queue.state, job)
    return StreamingResponse(
        _events(queue, first), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"}
    )


async def _events(queue: JobQueue, state: JobState) -> AsyncIterator[str]:
    last: JobState | None = None
    until = time.monotonic() + queue.settings.event_seconds
    spoke = time.monotonic()
    while True:
        if state != last:
            yield f"event: state\ndata: {state.model_dump_json()}\n\n"
            last, spoke = state, time.monotonic()
        elif time.monotonic() - spoke > _PING_SECONDS:
            yield ": still here\n\n"
            spoke = time.monotonic()
        if state.final or queue.closed or time.monotonic() > until:
            return
        await asyncio.sleep(_LOOK_SECONDS)
        try:
            state = await asyncio.to_thread(queue.state, state.id)
        except UnknownJobError:
            return


@operations.get("/healthz", responses=documented(503))
def health(queue: Queue) -> bodies.Health:
    """Whether jobs can be handed in and a worker is up to do them."""
    if queue.closed:
        raise ClosingError
    if queue.workers_up == 0:
        raise HTTPException(503, "no worker is up")
    return bodies.Health(
        status="ok", version=gioconda.__version__, waiting=queue.waiting, running=queue.running
    )


_METRICS: dict[int | str, dict[str, Any]] = {
    200: {"description": "Counters and gauges.", "content": {"text/plain": {"schema": {"type": "string"}}}}
}


def _metrics(request: Request) -> Response:
    """Counters and gauges for Prometheus."""
    metrics: Metrics = request.app.state.metrics
    return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


@operations.get("/docs", include_in_schema=False)
def docs(request: Request) -> HTMLResponse:
    """The API's reference for people."""
    html = reference.page(request.app.openapi(), EXAMPLES)
    return HTMLResponse(html, headers={"Content-Security-Policy": reference.POLICY})


def _to_reference() -> RedirectResponse:
    return RedirectResponse("/docs", status_code=307)
