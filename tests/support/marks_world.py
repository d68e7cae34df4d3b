"""What the tests of marks share: a face that sways, plain and marked, read and encoded as files are."""

from __future__ import annotations

import io

import av
import cv2
import numpy as np
import pytest
from PIL import Image as Picture

from gioconda.provenance import Watermarker, job_payload

PAYLOAD = job_payload("warp", "portrait hash", "motion hash")


def pictures(path):
    """The reader that the pipeline hands in, in small: pictures by PIL, else video by PyAV."""
    try:
        with Picture.open(path) as picture:
            yield from (np.asarray(picture.convert("RGB")) for _ in _frames_of(picture))
        return
    except OSError:
        pass
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24")


def _frames_of(picture):
    for index in range(getattr(picture, "n_frames", 1)):
        picture.seek(index)
        yield index


def swaying(image, count=12):
    """A still face that sways on its still ground, as the engine's output does."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    weight = np.exp(-(((x - width / 2) / width * 5) ** 2) - ((y - height * 0.4) / height * 5) ** 2)
    shifts = [10 * np.sin(i / 4) for i in range(count)]
    return [cv2.remap(image, x + weight * np.float32(s), y, cv2.INTER_LINEAR) for s in shifts]


@pytest.fixture(name="plain", scope="module")
def plain_fixture(astronaut_image):
    return swaying(astronaut_image)


@pytest.fixture(name="marked", scope="module")
def marked_fixture(plain):
    mark = Watermarker((512, 512), PAYLOAD)
    return [mark.apply(image) for image in plain]


def recode(images, crf, size=None):
    buffer = io.BytesIO()
    if size:
        images = [cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in images]
    height, width = images[0].shape[:2]
    with av.open(buffer, "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=25, options={"crf": str(crf), "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for image in images:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")))
        out.mux(stream.encode(None))
    buffer.seek(0)
    with av.open(buffer) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
