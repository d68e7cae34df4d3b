"""Open and run networks in onnxruntime, with the same settings everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gioconda.limits import LIMITS
from gioconda.runtime.onnx_check import check_whole

Tensors = Mapping[str, npt.NDArray[Any]]


def open_graph(file: Path, threads: int, tensors: Tensors | None = None) -> Any:
    """Open an .onnx file as a session on the processor. Several threads may run it at the same time.

    Args:
        file: The file.
        threads: Of the processor, that each run uses.
        tensors: Weights of any float type, by name, for a graph that lacks them.

    Raises:
        ValueError: The file is not a network, or is larger than `Limits.weights_bytes`, or takes weights from another
            file; or a tensor is absent or of another shape. The message is onnxruntime's where it finds the error.
    """
    import onnxruntime

    content = _content(file)
    check_whole(content, tensors or ())
    options = _session_options(threads)
    names = sorted(tensors or {})
    # These arrays and values must stay alive until the session is open.
    arrays = [np.array((tensors or {})[name], np.float32, order="C") for name in names]
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in arrays]
    if values:
        options.add_external_initializers(names, values)
    try:
        return onnxruntime.InferenceSession(
            content,
            options,
            providers=["CPUExecutionProvider"],
            # A fallback would print to the terminal.
            enable_fallback=0,
        )
    # onnxruntime's errors have no base class of their own.
    except Exception as error:
        raise ValueError(str(error)) from None


def _session_options(threads: int) -> Any:
    """The options of a session that uses so many threads of the processor."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Fatal errors alone: the exception already reports the others.
    options.log_severity_level = 4
    # Waiting threads must not spin: other stages need the cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Refuse onnxruntime's own format, a memory image that it would otherwise detect by the first bytes.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    return options


def run_graph(session: Any, inputs: Tensors) -> npt.NDArray[Any]:
    """Run a session on its named inputs and return its first output; ValueError if they do not fit the network."""
    try:
        return np.asarray(session.run(None, dict(inputs))[0])
    # onnxruntime's errors have no base class of their own.
    except Exception as error:
        raise ValueError(str(error)) from None


def _content(file: Path) -> bytes:
    """The bytes of a file; ValueError if it cannot be read or is too large."""
    try:
        if file.stat().st_size > LIMITS.weights_bytes:
            raise ValueError(f"it is larger than {LIMITS.weights_bytes >> 20} MiB")
        return file.read_bytes()
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from None
