"""Find faces, track their 478 landmarks, and segment the person.

The networks are MediaPipe's (Lugaresi et al. 2019): BlazeFace (Bazarevsky et al. 2019), Attention Mesh (Grishchenko
et al. 2020) and Selfie Segmentation, converted to ONNX by `scripts/build_tracker.py` and run by onnxruntime.
"""

from gioconda.face.appearance import appearance, colour_difference
from gioconda.face.choose import choose_face, shows_both_eyes
from gioconda.face.models import networks
from gioconda.face.person import person_mask
from gioconda.face.stills import detect_faces
from gioconda.face.tracker import FaceTracker

__all__ = [
    "FaceTracker",
    "appearance",
    "choose_face",
    "colour_difference",
    "detect_faces",
    "networks",
    "person_mask",
    "shows_both_eyes",
]
