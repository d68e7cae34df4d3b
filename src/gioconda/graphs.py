"""Networks in onnxruntime, opened the same way wherever they are used."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gioconda.limits import LIMITS
from gioconda.onnx_check import check_whole

Tensors = Mapping[str, npt.NDArray[Any]]


def open_graph(file: Path, threads: int, tensors: Tensors | None = None) -> Any:
    """An onnxruntime session of an .onnx file, on so many threads of the processor; several may run it at once.

    tensors: weights, of any float type, for a graph that names them and carries none. Raises ValueError with
    onnxruntime's own words where the file is no network or a tensor is absent or of another shape, and where it
    takes weights from another file or is larger than `Limits.weights_bytes`.
    """
    import onnxruntime

    content = _content(file)
    check_whole(content, tensors or ())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what is wrong is told once, by the error
    # waiting threads must not spin: other stages want the cores
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # never its own format of memory dumps, which it would tell by the first bytes
    options.add_session_config_entry("session.load_model_format", "ONNX")
    names = sorted(tensors or {})
    plain = [np.array((tensors or {})[name], np.float32, order="C") for name in names]
    values = [
        onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in plain
    ]  # alive until the session is made
    if values:
        options.add_external_initializers(names, values)
    try:
        return onnxruntime.InferenceSession(
            content,
            options,
            providers=["CPUExecutionProvider"],
            enable_fallback=0,  # it would print that it tries again
        )
    except Exception as error:  # onnxruntime's own errors share no base class
        raise ValueError(str(error)) from None


def run_graph(session: Any, inputs: Tensors) -> npt.NDArray[Any]:
    """The first output of a session for its named inputs; ValueError where they do not fit the network."""
    try:
        return np.asarray(session.run(None, dict(inputs))[0])
    except Exception as error:  # onnxruntime's own errors share no base class
        raise ValueError(str(error)) from None


def _content(file: Path) -> bytes:
    try:
        if file.stat().st_size > LIMITS.weights_bytes:
            raise ValueError(f"it is larger than {LIMITS.weights_bytes >> 20} MiB")
        return file.read_bytes()
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from None
