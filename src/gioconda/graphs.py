"""Networks in onnxruntime, opened the same way wherever they are used."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Tensors = Mapping[str, npt.NDArray[Any]]


def open_graph(file: Path, threads: int, tensors: Tensors | None = None) -> Any:
    """An onnxruntime session of an .onnx file, on so many threads of the processor; several may run it at once.

    tensors: weights, of any float type, for a graph that names them and carries none. Raises ValueError with
    onnxruntime's own words where the file is no network or a tensor is absent or of another shape.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what is wrong is told once, by the error
    # waiting threads must not spin: other stages want the cores
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    names = sorted(tensors or {})
    plain = [np.array((tensors or {})[name], np.float32, order="C") for name in names]
    values = [
        onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in plain
    ]  # alive until the session is made
    if values:
        options.add_external_initializers(names, values)
    try:
        return onnxruntime.InferenceSession(file.read_bytes(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own errors share no base class
        raise ValueError(str(error)) from None
