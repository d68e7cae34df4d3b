"""Serves the page: the files that web/app is built into, and the networks that track a face in the browser."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from gioconda.assets import asset_path
from gioconda.web.http.guard import PAGE_POLICY

STATIC = Path(__file__).with_name("static")
# Files that may be kept for good: their names change with their content.
_IMMUTABLE = "public, max-age=31536000, immutable"
_REVALIDATED = "no-cache"
_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".jpg": "image/jpeg",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".wasm": "application/wasm",
    ".webm": "video/webm",
    ".webp": "image/webp",
    ".webmanifest": "application/manifest+json",
}
NETWORKS = ("face_short_range", "face_full_range", "face_landmarks")
"""Names of the packaged networks that the browser may fetch, to track a face by itself."""


def mount(app: FastAPI) -> None:
    """Add the page's addresses to an app: one for each file that the build has made."""
    for path in sorted(STATIC.rglob("*")):
        if path.is_file():
            address = path.relative_to(STATIC).as_posix().removesuffix(".gz")
            _add(app, f"/{'' if address == 'index.html' else address}", path)
    for name in NETWORKS:
        _add(app, f"/networks/{name}.onnx", asset_path(f"{name}.onnx"))


def _add(app: FastAPI, address: str, path: Path) -> None:
    """Serve one file at one address."""
    zipped, status = path.suffix == ".gz", path.stat()
    kind = _TYPES.get(Path(address or "index.html").suffix, "application/octet-stream")
    headers = {"Cache-Control": _IMMUTABLE if address.startswith("/assets/") else _REVALIDATED}
    if zipped:
        headers["Content-Encoding"] = "gzip"
    if address == "/":
        kind, headers["Content-Security-Policy"] = _TYPES[".html"], PAGE_POLICY

    def file(request: Request) -> Response:
        if zipped and "gzip" not in request.headers.get("accept-encoding", ""):
            raise HTTPException(406, "this file is kept compressed; send the header Accept-Encoding: gzip")
        answer = FileResponse(path, media_type=kind, headers=headers, stat_result=status)
        if request.headers.get("if-none-match") == answer.headers.get("etag"):
            return Response(status_code=304, headers=dict(answer.headers))
        return answer

    app.add_api_route(address, file, include_in_schema=False)
