"""What the tests of media share: clips of known pictures and times."""

import av
import numpy as np
import pytest

from gioconda.errors import InputError
from media_factory import (
    bar,
    write_clip,
)


def times_of(path):
    """Times of all frames, read with PyAV alone."""
    with av.open(str(path)) as container:
        return [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]


def outcome(call):
    """What a call returns, or the message of the one kind of error that may escape."""
    try:
        return call()
    except InputError as error:
        return str(error)


@pytest.fixture(name="long_clip", scope="session")
def long_clip_fixture(tmp_path_factory):
    """Two seconds of noise over a bar, index in front, with sound: large enough to be damaged."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 40, (50, 96, 128, 3), dtype=np.uint8)
    images = [bar(i, (128, 96), 50) // 2 + noise[i] for i in range(50)]
    sound = np.sin(np.arange(96000) / 20).astype(np.float32) * 0.3
    return write_clip(
        tmp_path_factory.mktemp("long") / "long.mp4",
        images,
        sound=sound,
        options={"g": "10"},
        container_options={"movflags": "faststart"},
    )
