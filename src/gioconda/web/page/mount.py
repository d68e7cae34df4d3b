"""Puts the page on the server's app, under "/"."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from gioconda.web.page import gate
from gioconda.web.queue.jobs import JobQueue

UPLOAD_SECONDS = 3600.0  # that an upload is kept
_LOOK_SECONDS = 60.0
_ENVIRONMENT = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_SSR_MODE": "False",
    "GRADIO_RUN_HISTORY": "False",
    "GRADIO_MCP_SERVER": "False",
    "HF_HUB_OFFLINE": "1",
}


def mount(app: FastAPI, queue: JobQueue) -> None:
    """What `api.build_app` takes as `mount`. Uploads of former sessions are deleted."""
    settings = queue.settings
    uploads = settings.data / "uploads"
    uploads.mkdir(mode=0o700, exist_ok=True)
    gate.empty(uploads, 0.0)
    # Gradio reads these when it is imported and when components are made
    os.environ.update(_ENVIRONMENT, GRADIO_TEMP_DIR=str(uploads))
    import gradio as gr

    from gioconda.web.page import page

    app.add_middleware(CORSMiddleware)  # allows nobody; without one, Gradio lets other origins in
    gr.mount_gradio_app(
        app,
        page.build(settings, queue, app.state.sessions),
        path="/",
        server_name=settings.host,
        server_port=settings.port,
        footer_links=[],
        run_history=False,
        allowed_paths=[],
        show_error=False,
        max_file_size=settings.upload_bytes,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        **page.looks(),
    )
    mounted: Any = app.router.routes.pop()
    app.router.routes.append(gate.Page(mounted.app, app, queue, uploads))
    app.router.lifespan_context = _with_cleaning(app.router.lifespan_context, uploads)


def _with_cleaning(
    lifespan: Callable[[Any], contextlib.AbstractAsyncContextManager[Any]], uploads: Path
) -> Callable[[Any], contextlib.AbstractAsyncContextManager[Any]]:
    """A lifespan in which uploads expire, and after which none is left."""

    @contextlib.asynccontextmanager
    async def cleaned(app: Any) -> AsyncIterator[Any]:
        ended = threading.Event()

        def clean() -> None:
            while not ended.wait(_LOOK_SECONDS):
                gate.empty(uploads, UPLOAD_SECONDS)
            gate.empty(uploads, 0.0)

        cleaner = threading.Thread(target=clean, name="gioconda-uploads")
        cleaner.start()
        try:
            async with lifespan(app) as state:
                yield state
        finally:
            ended.set()

    return cleaned
