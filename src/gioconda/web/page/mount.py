"""Puts the page on the server's app, under "/"."""

from __future__ import annotations

import os

from fastapi import FastAPI

from gioconda.web.queue import JobQueue


def mount(app: FastAPI, queue: JobQueue) -> None:
    """What `api.build_app` takes as `mount`."""
    settings = queue.settings
    uploads = settings.data / "uploads"
    uploads.mkdir(mode=0o700, exist_ok=True)
    # Gradio reads these when it is imported and when components are made
    os.environ.update(_ENVIRONMENT, GRADIO_TEMP_DIR=str(uploads))
    import gradio as gr

    from gioconda.web.page import page

    gr.mount_gradio_app(
        app,
        page.build(settings, queue),
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


_ENVIRONMENT = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_SSR_MODE": "False",
    "GRADIO_RUN_HISTORY": "False",
    "GRADIO_MCP_SERVER": "False",
    "HF_HUB_OFFLINE": "1",
}
