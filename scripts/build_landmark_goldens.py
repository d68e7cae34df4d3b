"""Write tests/golden/landmarks.npz: what MediaPipe itself says of pictures and clips, to compare our tracker with.

    python scripts/build_landmark_goldens.py    (in an environment with mediapipe==0.10.21, scikit-image and av)

`still/NAME`: landmarks (478, 3) of FaceMesh on a picture of the shared portraits. `clip/NAME`: (T, 478, 3) of the
first T frames of a clip, each followed from the one before. `person/NAME`: the person's mask, (32, 32). Pictures are
shrunk to 320 px; landmarks are in their pixels. All float32.
"""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
from mediapipe.python.solutions import face_mesh, selfie_segmentation
from skimage import data

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"
CLIPS = ("driving/d10.mp4", "driving/d12.mp4", "lrw_ar/id02/07058.mp4")
FRAMES = 16
LONGEST = 320  # pixels; no face is so large that our tracker shrinks the crop, which MediaPipe does not


def small(image: np.ndarray) -> np.ndarray:
    """The picture at most LONGEST px high and wide, as tests make it too."""
    scale = min(1.0, LONGEST / max(image.shape[:2]))
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    return np.ascontiguousarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))


def landmarks(found: object, shape: tuple[int, ...]) -> np.ndarray:
    """The first face of a result in pixels, (478, 3), or an empty array."""
    faces = found.multi_face_landmarks  # type: ignore[attr-defined]
    if not faces:
        return np.zeros((0, 3), np.float32)
    points = np.array([(p.x, p.y, p.z) for p in faces[0].landmark], np.float32)
    return points * np.array([shape[1], shape[0], shape[1]], np.float32)


def mesh(*, static: bool) -> face_mesh.FaceMesh:
    return face_mesh.FaceMesh(
        static_image_mode=static,
        max_num_faces=1,
        refine_landmarks=True,
        min_detection_confidence=0.3,
        min_tracking_confidence=0.5,
    )


def stills() -> dict[str, np.ndarray]:
    """Each picture looked at once."""
    images = {"astronaut": data.astronaut()}
    for path in sorted((SHARED / "portraits").glob("*.jpg")):
        images[path.name] = cv2.imread(str(path))[:, :, ::-1]
    found = {}
    for name, image in images.items():
        picture = small(image)
        found[f"still/{name}"] = landmarks(mesh(static=True).process(picture), picture.shape)
        mask = selfie_segmentation.SelfieSegmentation(model_selection=0).process(picture).segmentation_mask
        found[f"person/{name}"] = cv2.resize(mask, (32, 32), interpolation=cv2.INTER_AREA)
    return found


def clips() -> dict[str, np.ndarray]:
    """The first frames of each clip, followed."""
    found = {}
    for name in CLIPS:
        tracker, rows = mesh(static=False), []
        with av.open(str(SHARED / name)) as container:
            for _, frame in zip(range(FRAMES), container.decode(video=0), strict=False):
                image = small(frame.to_ndarray(format="rgb24"))
                rows.append(landmarks(tracker.process(image), image.shape))
        found[f"clip/{name}"] = np.stack(rows)
    return found


if __name__ == "__main__":
    target = ROOT / "tests" / "golden" / "landmarks.npz"
    target.parent.mkdir(exist_ok=True)
    np.savez_compressed(target, **stills(), **clips())
    with np.load(target) as golden:
        print({name: golden[name].shape for name in golden.files})
