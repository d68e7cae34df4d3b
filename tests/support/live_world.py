"""What the tests of sessions share: a server with sessions, pictures, and how far a mouth is open."""

from __future__ import annotations

import json
from contextlib import contextmanager

import cv2
import numpy as np
from fastapi.testclient import TestClient

from gioconda import face
from gioconda.motion.lips import LOWER_INNER as LOWER_LIPS
from gioconda.motion.lips import UPPER_INNER as UPPER_LIPS
from gioconda.web.http.api import build_app
from gioconda.web.live.sessions import Sessions
from web_world import settings

HERE = "http://127.0.0.1"
RIGHTS = "A public-domain portrait."


@contextmanager
def serving(folder, idle_seconds=None, **changes):
    """A client of a server with sessions and no workers; `client.live` are its sessions."""
    chosen = settings(folder, workers=0, **changes)
    app = build_app(chosen, sessions=Sessions(chosen, idle_seconds=idle_seconds))
    with TestClient(app, base_url=HERE, raise_server_exceptions=False) as client:
        client.live = app.state.sessions
        yield client


def open_session(client, portrait, use, **fields):
    """The answer to the opening of a session with a portrait's file."""
    fields = {"use": use, "rights": RIGHTS, **fields}
    parts = [("session", (None, json.dumps(fields))), ("portrait", ("../secret.png", portrait.read_bytes()))]
    return client.post("/v1/sessions", files=parts)


def picture_of(jpeg):
    """RGB (H, W, 3) of an answer's body."""
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return np.ascontiguousarray(image[..., ::-1])


def jpeg_of(image):
    """A JPEG of an RGB picture."""
    return cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()


def openings(images):
    """How far the lips are apart in each of a row of pictures, as a share of the distance of the outer eye corners."""
    with face.FaceTracker() as tracker:
        faces = [tracker.process(image) for image in images]
    points = np.stack([found[0].landmarks for found in faces])
    apart = np.linalg.norm(points[:, LOWER_LIPS] - points[:, UPPER_LIPS], axis=2).mean(1)
    return apart / np.linalg.norm(points[:, 33] - points[:, 263], axis=1)
