"""The HTTP API: jobs under /v1/jobs, and what the server offers under /v1/server. A page may be mounted beside it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Request, Response, Security
from fastapi import Path as InPath
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, StreamingResponse
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

import gioconda
from gioconda.web.errors import (
    ClosingError,
    MalformedError,
    NoSidecarError,
    QueueFullError,
    UnfitFileError,
    UnknownJobError,
)
from gioconda.web.http import about, bodies, reference, uploads
from gioconda.web.http.deps import Queue
from gioconda.web.http.guard import NO_CONTENT, Guard
from gioconda.web.http.head import HeadAnswers
from gioconda.web.http.prefix import Prefixed
from gioconda.web.http.problems import add_handlers, documented
from gioconda.web.queue.jobs import JobQueue
from gioconda.web.queue.state import JobState
from gioconda.web.requests import EXAMPLES
from gioconda.web.settings import ServerSettings
from gioconda.web.telemetry import Metrics

_ABOUT = (
    "Portraits in motion over HTTP. Submit a job with its files, watch it and fetch the signed result. "
    "Whoever knows a job's id can see and cancel the job: keep the id secret."
)
# Seconds between checks of a job whose events a client receives.
_POLL_SECONDS = 0.25
# Seconds of silence after which a comment keeps the connection open.
_PING_SECONDS = 15.0
# Bytes by which a multipart body may exceed its files: the JSON and the headers of the parts.
_BODY_OVERHEAD = 2**20
# Seconds after which a client should try again when too many uploads are in progress.
_UPLOAD_RETRY_SECONDS = 5

JobId = Annotated[
    str,
    InPath(
        pattern=r"^[A-Za-z0-9_-]{22}$",
        description="The id in the answer to the submission.",
        examples=["w" * 22],
    ),
]

v1 = APIRouter(prefix="/v1/jobs", tags=["jobs"])
operations = APIRouter(tags=["operation"])


def build_app(
    settings: ServerSettings,
    *,
    queue: JobQueue | None = None,
    mount: Callable[[FastAPI, JobQueue], None] | None = None,
) -> FastAPI:
    """Build the server's app, with a running queue as `app.state.queue`.

    Args:
        settings: The server's settings.
        queue: A queue that runs already and that the caller closes. Without one, the app makes a queue and closes it at
            the end of its lifespan.
        mount: Called with the app and the queue to add a page at "/". Without it, "/" redirects to the API's reference.
            The page passes the same checks as the API: Host, Origin and the token, for which a browser asks as a
            password of any user.

    Raises:
        InputError: Another server uses the data folder.
        OutputError: The data folder cannot be written.
    """
    jobs = queue or JobQueue(settings)
    app = _bare_app(None if queue else jobs)
    metrics = Metrics(jobs)
    app.state.queue, app.state.settings, app.state.metrics = jobs, settings, metrics
    app.state.uploads = asyncio.Semaphore(settings.uploads)
    add_handlers(app)
    _add_routes(app, settings)
    if mount is None:
        app.add_api_route("/", _to_reference, include_in_schema=False)
    else:
        mount(app, jobs)
    app.add_middleware(HeadAnswers)
    app.add_middleware(Guard, settings=settings, metrics=metrics)
    app.add_middleware(Prefixed, root_path=settings.root_path)
    bodies.complete(app)
    return app


def _bare_app(own: JobQueue | None) -> FastAPI:
    """An app without routes, which closes its own queue, if it has one, at the end of its lifespan."""

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        if own is not None:
            await asyncio.to_thread(own.close)

    return FastAPI(
        title="Gioconda",
        description=_ABOUT,
        version=gioconda.__version__,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )


def _add_routes(app: FastAPI, settings: ServerSettings) -> None:
    """Add the routes; with a token, mark all but health and reference as guarded."""
    # `Guard` checks the token; this only documents it.
    guarded = [] if settings.token is None else [Security(_SCHEME)]
    refused = {} if settings.token is None else documented(401)
    for router in (v1, about.router):
        app.include_router(router, dependencies=guarded, responses=refused)
    app.include_router(operations, dependencies=[], responses={})
    app.add_api_route(
        "/metrics",
        _metrics,
        dependencies=guarded,
        responses={**documented(), **refused, **_METRICS},
        tags=["operation"],
    )


_SCHEME = HTTPBearer(auto_error=False, description="The token of --token-file.")


@v1.post(
    "",
    status_code=202,
    response_model=JobState,
    responses={
        **documented(408, 413, 415, 422, 429, 503, 507),
        202: {
            "headers": {"Location": {"description": "The address of the job.", "schema": {"type": "string"}}}
        },
    },
    openapi_extra=bodies.EXTRA,
)
async def make_job(request: Request, response: Response, queue: Queue) -> JobState:
    """Submit a job: a field `job` with JSON, and the files that its kind takes.

    The server recognises files by their content and ignores their names.
    """
    boundary = uploads.boundary_of(request.headers.get("content-type", ""))
    if boundary is None:
        raise UnfitFileError("the body is not multipart/form-data; send a field job and the files")
    settings: ServerSettings = request.app.state.settings
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > settings.upload_bytes + _BODY_OVERHEAD:
        raise bodies.too_large(settings)
    gate: asyncio.Semaphore = request.app.state.uploads
    if gate.locked():
        raise QueueFullError("too many uploads are in progress; try again later", _UPLOAD_RETRY_SECONDS)
    async with gate:
        await asyncio.to_thread(queue.check_room)
        job = await _receive_job(request, queue, boundary)
    response.headers["Location"] = f"{request.scope['root_path']}/v1/jobs/{job}"
    return await asyncio.to_thread(queue.state, job)


async def _receive_job(request: Request, queue: JobQueue, boundary: bytes) -> str:
    """Read a request's body into a new folder and queue the job; an interrupted upload leaves nothing behind."""
    settings = queue.settings
    job, folder = queue.folders.fresh()
    try:
        intake = uploads.Intake(folder, boundary, settings.upload_bytes, queue.folders.check_space)
        job_request = await uploads.receive(
            request.stream(), intake, settings.upload_seconds, settings.idle_seconds
        )
        await asyncio.to_thread(queue.enqueue, job, job_request)
    except asyncio.TimeoutError:
        await asyncio.to_thread(queue.folders.discard, job)
        raise HTTPException(408, "the upload took too long; send it again on a faster connection") from None
    except ClientDisconnect:
        await asyncio.to_thread(queue.folders.discard, job)
        raise MalformedError("the upload was interrupted; send it again") from None
    except BaseException:
        queue.folders.discard(job)
        raise
    return job


@v1.get("/{job}", response_model=JobState, responses=documented(404))
def see_job(job: JobId, queue: Queue) -> JobState:
    """Return the state of a job."""
    return queue.state(job)


@v1.post("/{job}/cancel", response_model=JobState, responses=documented(404))
def cancel_job(job: JobId, queue: Queue) -> JobState:
    """Stop a job and delete its files. A job that has ended stays as it is."""
    return queue.cancel(job)


@v1.delete("/{job}", status_code=204, responses=documented(404))
def forget_job(job: JobId, queue: Queue) -> Response:
    """Stop a job if it runs, and delete everything about it, including its result."""
    queue.forget(job)
    return Response(status_code=204)


@v1.get("/{job}/result", response_class=FileResponse, responses={**documented(404, 409), **bodies.RESULT})
def get_result(job: JobId, queue: Queue) -> FileResponse:
    """Download the signed video or picture, or the verdict. Ranges are supported."""
    path = queue.result_path(job)
    result = queue.state(job).result
    return _download(path, job, result.media_type if result else "application/octet-stream")


@v1.get("/{job}/sidecar", response_class=FileResponse, responses={**documented(404, 409), **bodies.SIDECAR})
def get_sidecar(job: JobId, queue: Queue) -> FileResponse:
    """Download the manifest of a result whose format cannot hold it; keep it beside the result."""
    path = queue.sidecar_path(job)
    if path is None:
        raise NoSidecarError
    return _download(path, job, "application/c2pa")


@v1.get("/{job}/preview", response_class=Response, responses={**documented(404), **bodies.PREVIEW})
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


@v1.get("/{job}/events", response_class=StreamingResponse, responses={**documented(404), **bodies.EVENTS})
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
    while True:
        if state != last:
            yield f"event: state\ndata: {state.model_dump_json()}\n\n"
            last, last_sent = state, time.monotonic()
        elif time.monotonic() - last_sent > _PING_SECONDS:
            yield ": still here\n\n"
            last_sent = time.monotonic()
        if state.final or queue.closed or time.monotonic() > until:
            return
        await asyncio.sleep(_POLL_SECONDS)
        try:
            state = await asyncio.to_thread(queue.state, state.id)
        except UnknownJobError:
            return


@operations.get("/healthz", responses=documented(503))
def health(queue: Queue) -> bodies.Health:
    """Check that jobs can be submitted and that a worker process is running."""
    if queue.closed:
        raise ClosingError
    if queue.workers_up == 0:
        raise HTTPException(503, "no worker process is running; the worker logs in the data folder say why")
    return bodies.Health(
        status="ok", version=gioconda.__version__, waiting=queue.waiting, running=queue.running
    )


_METRICS: dict[int | str, dict[str, Any]] = {
    200: {"description": "Counters and gauges.", "content": {"text/plain": {"schema": {"type": "string"}}}}
}


def _metrics(request: Request) -> Response:
    """Return counters and gauges for Prometheus."""
    metrics: Metrics = request.app.state.metrics
    return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


@operations.get("/docs", include_in_schema=False)
def docs(request: Request) -> HTMLResponse:
    """Return the API's reference for people."""
    html = reference.page(request.app.openapi(), EXAMPLES)
    return HTMLResponse(html, headers={"Content-Security-Policy": reference.POLICY})


def _to_reference(request: Request) -> RedirectResponse:
    """Redirect to the reference."""
    return RedirectResponse(f"{request.scope['root_path']}/docs", status_code=307)
