"""The HTTP API: jobs under /v1/jobs, and what the server offers under /v1/server. A page may be mounted beside it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response, Security
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException

import gioconda
from gioconda.web.errors import ClosingError
from gioconda.web.http import about, bodies, jobs, reference, voices
from gioconda.web.http.deps import Queue
from gioconda.web.http.guard import Guard
from gioconda.web.http.head import HeadAnswers
from gioconda.web.http.prefix import Prefixed
from gioconda.web.http.problems import add_handlers, documented
from gioconda.web.http.submission import Arrivals
from gioconda.web.queue.jobs import JobQueue
from gioconda.web.requests import EXAMPLES
from gioconda.web.settings import ServerSettings
from gioconda.web.telemetry import Metrics

_ABOUT = (
    "Portraits in motion over HTTP. Submit a job with its files, watch it and fetch the signed result. "
    "Whoever knows a job's id can see and cancel the job: keep the id secret."
)
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
    running = queue or JobQueue(settings)
    app = _bare_app(None if queue else running)
    metrics = Metrics(running)
    app.state.queue, app.state.settings, app.state.metrics = running, settings, metrics
    # The page's uploads take the same places.
    app.state.uploads = asyncio.Semaphore(settings.uploads)
    app.state.arrivals = Arrivals(app.state.uploads)
    add_handlers(app)
    _add_routes(app, settings)
    if mount is None:
        app.add_api_route("/", _to_reference, include_in_schema=False)
    else:
        mount(app, running)
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
    for router in (jobs.router, about.router, voices.router):
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
