"""The notebook runs from top to bottom, without a network, and shows what it says."""

import base64
import io
from copy import deepcopy

import numpy as np
import pytest

from places import ROOT

PAGE = ROOT / "notebooks" / "first_steps.ipynb"
OFFLINE = """
import socket

def refuse(*_, **__):
    raise OSError("the notebook reached for the network")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
"""
pytestmark = [
    pytest.mark.skipif(not PAGE.is_file(), reason="the notebook is not here"),
    pytest.mark.xdist_group("notebook"),
]


@pytest.fixture(scope="module")
def page():
    import nbformat

    return nbformat.read(PAGE, as_version=4)


def test_nothing_that_was_shown_is_kept(page):
    kept = [
        cell.id for cell in page.cells if cell.cell_type == "code" and (cell.outputs or cell.execution_count)
    ]
    assert kept == []


@pytest.fixture(scope="module")
def shown(page, tmp_path_factory):
    """All that the cells put out, in their order."""
    import nbformat
    from nbclient import NotebookClient

    page = deepcopy(page)
    page.cells.insert(0, nbformat.v4.new_code_cell(OFFLINE))
    folder, own = tmp_path_factory.mktemp("notebook"), tmp_path_factory.mktemp("jupyter")
    resources = {"metadata": {"path": str(folder)}}
    with pytest.MonkeyPatch.context() as patch:
        for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR"):
            patch.setenv(name, str(own))
        NotebookClient(page, kernel_name="python3", timeout=300, resources=resources).execute()
    assert list(folder.iterdir()) == []
    return [output for cell in page.cells if cell.cell_type == "code" for output in cell.outputs]


@pytest.mark.slow
def test_it_tells_what_the_marks_outlive(shown):
    told = [line for output in shown for line in output.get("text", "").splitlines()]
    assert [line for line in told if line in ("ours", "altered", "unmarked", "invalid", "unreadable")] == [
        "ours",
        "ours",
        "altered",
        "unmarked",
    ]


@pytest.mark.slow
def test_it_shows_a_face_that_moves(shown):
    from PIL import Image

    pictures = [output["data"]["image/png"] for output in shown if "image/png" in output.get("data", {})]
    assert len(pictures) == 2
    for picture in pictures:
        strip = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB"), np.float32)
        side = strip.shape[0]
        tiles = [strip[:, x : x + side] for x in range(0, strip.shape[1], side)]
        assert min(np.abs(tile - tiles[0]).mean() for tile in tiles[2:]) > 1


@pytest.mark.slow
def test_its_videos_are_in_the_page(shown):
    videos = [output["data"]["text/html"] for output in shown if "text/html" in output.get("data", {})]
    assert len(videos) == 2
    assert all("data:video/mp4;base64," in video for video in videos)
