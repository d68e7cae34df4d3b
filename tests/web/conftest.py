"""What the tests of the HTTP API share."""

import pytest
from fastapi.testclient import TestClient

from gioconda.web.http.api import build_app
from web_world import HERE, settings, short_motion, small_portrait


@pytest.fixture(scope="module")
def inputs(astronaut_image, tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    return small_portrait(astronaut_image, folder).read_bytes(), short_motion(folder).read_bytes()


@pytest.fixture
def idle(tmp_path):
    """A client of a server that does no job, with little room."""
    app = build_app(settings(tmp_path, workers=0, queue=2, upload_bytes=2**20))
    with TestClient(app, base_url=HERE, raise_server_exceptions=False, follow_redirects=False) as client:
        client.folder = tmp_path
        yield client
