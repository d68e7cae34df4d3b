"""What the test of the browser's tracker needs: its built files on a strict server, and a page that imports them."""

from __future__ import annotations

import base64
import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np

from page_world import browser, evaluated
from places import ROOT

STATIC = ROOT / "src" / "gioconda" / "web" / "page" / "static"
NETWORKS = ROOT / "src" / "gioconda" / "assets"
TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm"}
# What onnxruntime-web needs beyond 'self' is to compile WebAssembly.
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    # The page is isolated, so that its threads may share memory.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}
# In which that is done, on a machine with much else to do.
TRACK_SECONDS = 120.0
# Tracks pictures one after another, as frames of a webcam come, and then does what a page should not do.
TRACK = """async (pictures) => {
    const {canTrack, createTracker} = await import("/tracking.js");
    const fast = await canTrack(), tracker = await createTracker(), faces = [];
    const bitmap = async (picture) => {
        const blob = new Blob([Uint8Array.from(atob(picture), (letter) => letter.charCodeAt(0))]);
        return createImageBitmap(blob, {colorSpaceConversion: "none"});
    };
    for (const [k, picture] of pictures.entries()) {
        const face = await tracker.track(await bitmap(picture), k / 25);
        faces.push(face && {...face, landmarks: Array.from(face.landmarks)});
    }
    const frame = async () => new VideoFrame(await bitmap(pictures.at(-1)), {timestamp: 0});
    const video = Array.from((await tracker.track(await frame(), pictures.length))?.landmarks ?? []);
    const late = await tracker.track(await frame(), 0).catch(String);
    const waiting = tracker.track(await bitmap(pictures.at(-1)), pictures.length + 1);
    tracker.close();
    const closed = [await waiting, await tracker.track(await frame(), pictures.length + 2)];
    return {fast, isolated: crossOriginIsolated, faces, video, late, closed};
}"""


class _Handler(BaseHTTPRequestHandler):
    """Serves the built files, networks/, and an empty page at each address that ends in a slash."""

    def do_GET(self):
        name = self.path.lstrip("/")
        folder, name = (NETWORKS, name[9:]) if name.startswith("networks/") else (STATIC, name)
        path, packed = folder / name, folder / f"{name}.gz"
        if not name or name.endswith("/"):
            self._answer(b"<!doctype html><title>Tracking</title>", "text/html")
        elif path.is_file():
            self._answer(path.read_bytes(), TYPES.get(path.suffix, "application/octet-stream"))
        elif packed.is_file():
            self._answer(packed.read_bytes(), TYPES[path.suffix], "gzip")
        else:
            self.send_error(404)

    def _answer(self, content, kind, encoding=None):
        headers = {"Content-Type": kind, "Content-Length": str(len(content))}
        headers |= {"Content-Encoding": encoding} if encoding else {}
        # A worker that ends no longer reads.
        with contextlib.suppress(ConnectionError):
            self.send_response(200)
            for name, value in (headers | HEADERS).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, *_):
        """Says nothing."""


@contextlib.contextmanager
def tracking_page():
    """A page that may import the tracker; at the end, nothing has gone wrong unseen."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    problems = []
    try:
        with browser() as chrome:
            page = chrome.new_page()
            page.on("console", lambda message: problems.append(message.text))
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.set_default_timeout(120_000)
            page.goto(f"http://127.0.0.1:{server.server_port}/")
            yield page
    finally:
        server.shutdown()
        server.server_close()
    # A file that is missing is what a test asks for.
    unforeseen = [problem for problem in problems if "404" not in problem]
    assert unforeseen == [], unforeseen


def track_in(page, images):
    """What TRACK gives for RGB pictures, with landmarks as (478, 3) float32."""
    pictures = [base64.b64encode(_png(image)).decode() for image in images]
    answer = evaluated(page, TRACK, pictures, TRACK_SECONDS)
    for face in filter(None, answer["faces"]):
        face["landmarks"] = _points(face["landmarks"])
    return {**answer, "video": _points(answer["video"])}


def _points(numbers):
    """Numbers x, y, z of points as an array."""
    return np.reshape(np.array(numbers, np.float32), (-1, 3))


def _png(image):
    """An RGB picture as a PNG file."""
    return cv2.imencode(".png", image[:, :, ::-1])[1].tobytes()
