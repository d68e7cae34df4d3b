"""A trained refiner -> ONNX for use and safetensors for further training, with its settings in the header."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from gioconda.engines.warp.aligned import CHANNELS, HEIGHT, LAST, WIDTH
from gioconda.training.config import export_header
from gioconda.training.loop import BEST, read_checkpoint
from gioconda.training.refiner.data import Samples
from gioconda.training.refiner.network import Refiner
from gioconda.training.refiner.task import blanked_channels

# Convolutions at the end that write pixels: the head, and the two of the filter after it
PIXELS = 3
# Batches of 8 samples that calibrate the 8 bit ranges
CALIBRATION = 6


def export(run: Path, out: Path, checkpoint: str = BEST, samples: Path | None = None) -> tuple[Path, Path]:
    """Export the averaged weights of a run.

    Args:
        run: The run's folder.
        out: The folder for refiner.onnx and refiner.safetensors.
        checkpoint: Name of the checkpoint's file.
        samples: A prepared folder; with it the .onnx file computes its convolutions in 8 bits, in less than half the
            time. None for 32 bits.

    Returns:
        The paths of both files.

    Raises:
        WeightsError: The checkpoint is damaged.
    """
    whole = read_checkpoint(run / checkpoint)
    net = Refiner(int(whole["settings"]["width"])).eval()
    net.load_state_dict(whole["task"]["ema"])
    _forget(net, blanked_channels(whole["settings"]))
    out.mkdir(parents=True, exist_ok=True)
    onnx_file, tensors = out / "refiner.onnx", out / "refiner.safetensors"
    header = export_header(whole["settings"], whole["done"])
    save_file({k: v.contiguous() for k, v in net.state_dict().items()}, tensors, metadata=header)
    _to_onnx(net, onnx_file)
    if samples is not None:
        _quantize(onnx_file, samples)
    return onnx_file, tensors


def _forget(net: Refiner, channels: Sequence[int]) -> None:
    """Zero the weights of inputs that were blank in training, so that use matches training."""
    with torch.no_grad():
        for channel in channels:
            net.stem.weight[:, 4 * channel : 4 * channel + 4] = 0


def _quantize(file: Path, samples: Path) -> None:
    """Quantize the convolutions to 8 bits, except those that read or write pixels; samples calibrate the ranges."""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    train = Samples(samples, "train")
    batches = [train.batch(5, index, 8) for index in range(CALIBRATION)]
    inputs = np.concatenate([batch.inputs[1] for batch in batches])
    inputs[::2, LAST] = np.concatenate([batch.truths[0] for batch in batches])[::2]

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        left = iter(inputs)

        def get_next(self) -> dict[str, Any] | None:
            crop = next(self.left, None)
            return None if crop is None else {"crop": crop[None]}

    with tempfile.TemporaryDirectory() as folder:
        plain, small = str(Path(folder) / "plain.onnx"), Path(folder) / "small.onnx"
        quant_pre_process(str(file), plain)
        names = [node.name for node in onnx.load(plain).graph.node if node.op_type == "Conv"]
        quantize_static(
            plain,
            str(small),
            Reader(),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=[names[0], *names[-PIXELS:]],
        )
        temp = file.with_suffix(".part")
        temp.write_bytes(small.read_bytes())
    temp.replace(file)


def _to_onnx(net: torch.nn.Module, file: Path) -> None:
    example: Any = torch.zeros(1, CHANNELS, HEIGHT, WIDTH)
    temp = file.with_suffix(".part")
    with warnings.catch_warnings():
        # PyTorch calls the exporter that needs no further package deprecated
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net,
            (example,),
            str(temp),
            input_names=["crop"],
            output_names=["picture"],
            opset_version=17,
            dynamo=False,
        )
    temp.replace(file)
