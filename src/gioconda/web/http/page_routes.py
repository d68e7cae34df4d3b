"""The addresses that the scripts of the page's tabs Edit and Live use: sessions under their former names."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from gioconda.web.http import live_sessions
from gioconda.web.http.live_sessions import Live, SessionId
from gioconda.web.live import wire

# The number of the stream of a camera's pictures.
_CAMERA = 2

router = APIRouter(prefix="/v1/live", include_in_schema=False)
router.add_api_route("/{session}/look", live_sessions.look, methods=["POST"])
router.add_api_route("/{session}/play", live_sessions.play, methods=["POST"])
router.add_api_route("/motion", live_sessions.save_keyframes, methods=["POST"])


@router.post("/{session}/end", status_code=204)
async def end(session: SessionId, live: Live) -> Response:
    """End a session, unless it has ended."""
    await live_sessions.in_thread(live, lambda: live.close(session))
    return Response(status_code=204)


@router.post("/{session}/follow")
async def follow(session: SessionId, request: Request, live: Live, calibrate: bool = False) -> Response:
    """Move the portrait as the face in a webcam picture moves; 204 where the picture shows no face."""
    jpeg = await live_sessions.body(request, wire.FRAME_BYTES)
    wire.check_jpeg(jpeg)
    header = {"stream": _CAMERA, "calibrate": calibrate}
    return await live_sessions.pictured(live, session, header, jpeg)
