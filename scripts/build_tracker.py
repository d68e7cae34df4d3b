# /// script
# requires-python = ">=3.10"
# dependencies = ["tflite==2.18.0", "flatbuffers==25.12.19", "onnx==1.23.2", "numpy>=2,<3"]
# ///
"""Build the networks that find faces, their landmarks and the person: MediaPipe's, as ONNX.

    uv run scripts/build_tracker.py [--wheel mediapipe-0.10.21-....whl]

The weights stay as they are; only the format changes. The wheel is downloaded by pip where none is named. Its
SHA-256 is fixed, and so is the output, byte for byte, as long as the versions above are.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from attention_mesh import AttentionMesh
from tflite_reader import Network
from tflite_to_onnx import Translator

ASSETS = Path(__file__).resolve().parents[1] / "src" / "gioconda" / "assets"
PACKAGE = "mediapipe==0.10.21"
PLATFORM = ("--platform", "manylinux_2_28_x86_64", "--python-version", "3.12", "--only-binary", ":all:")
SHA256 = "956eb1ebc275c629e61b085b2cab89c3a5b9e93bad1bb107348d98dafb5a4bb5"
ORIGIN = "from MediaPipe 0.10.21, the MediaPipe authors, Apache-2.0; changed: format and custom operators"


def face_landmarks(network: Network) -> bytes:
    """Crop (n, 192, 192, 3) uint8 -> `landmarks` (n, 478, 3) in pixels of the crop, `score` (n,)."""
    mesh = AttentionMesh(network)
    mesh.image(0, 1)
    mesh.run()
    mesh.finish()
    return mesh.out.model(192, {"landmarks": (478, 3), "score": ()}, f"Attention Mesh, {ORIGIN}")


def detector(network: Network) -> bytes:
    """Picture (n, S, S, 3) uint8 -> `boxes` (n, A, 16) for A anchors in pixels, `logits` (n, A)."""
    side, anchors = network.shape(network.inputs[0])[1], network.shape(network.outputs[0])[1]
    translator = Translator(network)
    translator.image(-1, 1)
    translator.run()
    boxes, logits = (translator.name(tensor) for tensor in network.outputs)
    translator.out.node("Identity", boxes, output="boxes")
    translator.out.reshape(logits, -1, anchors, output="logits")
    return translator.out.model(side, {"boxes": (anchors, 16), "logits": (anchors,)}, f"BlazeFace, {ORIGIN}")


def person(network: Network) -> bytes:
    """Picture (n, 256, 256, 3) uint8 -> `mask` (n, 256, 256), 0..1."""
    translator = Translator(network)
    translator.image(0, 1)
    translator.run()
    translator.out.reshape(translator.name(network.outputs[0]), -1, 256, 256, output="mask")
    return translator.out.model(256, {"mask": (256, 256)}, f"Selfie Segmentation, {ORIGIN}")


NETWORKS: dict[str, tuple[str, Callable[[Network], bytes]]] = {
    "face_landmarks.onnx": ("face_landmark/face_landmark_with_attention.tflite", face_landmarks),
    "face_short_range.onnx": ("face_detection/face_detection_short_range.tflite", detector),
    "face_full_range.onnx": ("face_detection/face_detection_full_range_sparse.tflite", detector),
    "person_mask.onnx": ("selfie_segmentation/selfie_segmentation.tflite", person),
}


def fetch(folder: Path) -> Path:
    """Let pip download the wheel."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        *PLATFORM,
        "--dest",
        folder,
        PACKAGE,
    ]
    subprocess.run(command, check=True)
    return next(folder.glob("*.whl"))


def main() -> None:
    """Read the command line and write the networks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--wheel", type=Path, help="the wheel of mediapipe 0.10.21, if it is here already")
    parser.add_argument("-o", "--out", type=Path, default=ASSETS, help="folder of the networks")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        wheel = options.wheel or fetch(Path(folder))
        if hashlib.sha256(wheel.read_bytes()).hexdigest() != SHA256:
            sys.exit(f"{wheel} is not the wheel that was converted: its SHA-256 is not {SHA256}")
        with zipfile.ZipFile(wheel) as files:
            for name, (source, build) in NETWORKS.items():
                content = build(Network(files.read(f"mediapipe/modules/{source}")))
                (options.out / name).write_bytes(content)
                print(f'"{name}": "{hashlib.sha256(content).hexdigest()}",  # {len(content):,} bytes')


if __name__ == "__main__":
    main()
