"""What all tests share: real media where it lies, a public-domain portrait where it does not."""

import faulthandler
import os

import cv2
import numpy as np
import pytest

from media_factory import chart, clip_of, write_clip
from places import SHARED

# Seconds for one phase of a test. pytest-timeout comes first; it can neither end code that never returns to Python
# nor the fixtures of a test that it has already ended.
PHASE_SECONDS = 400
STDERR = pytest.StashKey[int]()


def pytest_configure(config):
    # During a test, stderr is captured.
    config.stash[STDERR] = os.dup(2)


def pytest_unconfigure(config):
    faulthandler.cancel_dump_traceback_later()
    os.close(config.stash[STDERR])


def _watch(item):
    """End the process with the stacks of all its threads, unless the phase ends in time."""
    faulthandler.dump_traceback_later(PHASE_SECONDS, exit=True, file=item.config.stash[STDERR])


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    _watch(item)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item):
    _watch(item)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item):
    _watch(item)


@pytest.fixture(scope="session", autouse=True)
def own_data_folder(tmp_path_factory):
    """Keeps the certificate that signs out of the user's own folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIOCONDA_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real media beside the repository; tests that need it are skipped without it."""
    if not SHARED.is_dir():
        pytest.skip("the real media of ../shared/data is not here")
    return SHARED


@pytest.fixture(scope="session")
def astronaut_image():
    """A public-domain portrait, RGB (512, 512, 3) uint8."""
    from skimage import data

    return np.ascontiguousarray(data.astronaut())


@pytest.fixture(scope="session")
def astronaut(astronaut_image, tmp_path_factory):
    """The same portrait as a png file."""
    path = tmp_path_factory.mktemp("astronaut") / "astronaut.png"
    assert cv2.imwrite(str(path), astronaut_image[:, :, ::-1])
    return path


@pytest.fixture(scope="session")
def talking_astronaut(astronaut, tmp_path_factory):
    """The astronaut who talks and turns for 1.6 s, 256x256, made by ourselves and so free to use."""
    from gioconda import animate
    from gioconda.motion.templates import template

    whole = template("talk")
    fields = ("times", "rotation", "translation", "scale", "expression", "gaze", "confidence")
    part = whole.with_(**{name: getattr(whole, name)[:40] for name in fields})
    path = tmp_path_factory.mktemp("driver") / "talking_astronaut.mp4"
    animate(astronaut, part, path, crop=True, size=256)
    return path


@pytest.fixture(scope="session")
def driver(request, tmp_path_factory):
    """A video of somebody who talks and turns, 256x256, with sound: real where there is one, else ours."""
    real = SHARED / "driving" / "tps.mp4"
    if not real.is_file():
        return request.getfixturevalue("talking_astronaut")
    return clip_of(real, tmp_path_factory.mktemp("driver") / "driver.mp4", 64, 44, (256, 256))


@pytest.fixture
def clip(tmp_path):
    """A silent mp4 of 30 frames, 64x48, 25 frames a second, in which a bar wanders."""
    return write_clip(tmp_path / "clip.mp4")


@pytest.fixture(scope="session")
def flat_chart():
    """Flat patches of 27 colours, RGB (192, 288, 3) uint8."""
    return chart()
