"""The devices that can run networks, and the encoders that can write videos, by the names that people give them."""

from __future__ import annotations

from dataclasses import dataclass

CPU, AUTO = "cpu", "auto"


@dataclass(frozen=True)
class Device:
    """An accelerator.

    Attributes:
        name: As people give it.
        title: As messages call it.
        provider: Its name in onnxruntime.
        cure: What to do where onnxruntime lacks it.
        one_at_a_time: Whether a network takes one run at a time.
    """

    name: str
    title: str
    provider: str
    cure: str
    one_at_a_time: bool = False


DEVICES = (
    Device(
        "cuda",
        "CUDA",
        "CUDAExecutionProvider",
        "replace onnxruntime: pip uninstall onnxruntime, then pip install onnxruntime-gpu",
    ),
    Device(
        "directml",
        "DirectML",
        "DmlExecutionProvider",
        "it exists on Windows alone; replace onnxruntime there: pip uninstall onnxruntime, then "
        "pip install onnxruntime-directml",
        one_at_a_time=True,
    ),
    Device(
        "coreml",
        "CoreML",
        "CoreMLExecutionProvider",
        "it is part of onnxruntime on macOS, and exists there alone",
    ),
)
"""The accelerators, in the order in which `auto` tries them."""

NAMES = (CPU, AUTO, *(device.name for device in DEVICES))

SOFTWARE_ENCODER = "libx264"
HARDWARE_ENCODERS = ("h264_nvenc", "h264_qsv", "h264_amf", "h264_videotoolbox", "h264_mf")
"""H.264 by NVIDIA, Intel, AMD, Apple and Windows (Media Foundation), by libav's names, in the order of `auto`."""
ENCODERS = (SOFTWARE_ENCODER, AUTO, *HARDWARE_ENCODERS)
