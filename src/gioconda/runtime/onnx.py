"""Open and run networks in onnxruntime, with the same settings everywhere."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gioconda.errors import InputError
from gioconda.limits import LIMITS
from gioconda.runtime.devices import AUTO, CPU, DEVICES, NAMES, Device
from gioconda.runtime.onnx_check import check_whole

LOG = logging.getLogger("gioconda")

Tensors = Mapping[str, npt.NDArray[Any]]

_CPU_PROVIDER = "CPUExecutionProvider"
# A whole .onnx file, of one node that copies the single float of `x` to `y`. A device that cannot run it runs nothing.
_PROBE = bytes.fromhex(
    "08083a3b0a100a017812017922084964656e74697479120570726f62655a0f0a0178"
    "120a0a08080112040a020801620f0a0179120a0a08080112040a02080142040a00100d"
)


@dataclass
class _Choice:
    """The device of this process.

    Attributes:
        name: As it was asked for.
        device: What it stands for; None for the processor.
        opened: Whether a network has been opened.
    """

    name: str = CPU
    device: Device | None = None
    opened: bool = False

    @property
    def title(self) -> str:
        """What runs the networks, for people."""
        return "the processor" if self.device is None else self.device.title


_choice = _Choice()


def use_device(name: str) -> str:
    """Choose what runs the networks of this process, before the first one is opened.

    Args:
        name: "cpu", "cuda", "coreml", "directml", or "auto" for the best device of this machine. Only "auto" falls back
            to the processor, with a warning in the log of the name "gioconda" where a device is there but fails.

    Returns:
        What runs them, for people, such as "CUDA" or "the processor".

    Raises:
        InputError: The device is unknown or not available, or networks run on another one already.
    """
    if name not in NAMES:
        raise InputError(f"{name!r} is not a device; choose one of {', '.join(NAMES)}")
    if name != _choice.name:
        device = _best_device() if name == AUTO else _named_device(name)
        if _choice.opened and device != _choice.device:
            raise InputError(
                f"networks of this process run on {_choice.title} already; choose the device before the first call"
            )
        _choice.name, _choice.device = name, device
    return _choice.title


def chosen_device() -> str:
    """The name of the device as `use_device` was asked for it; "cpu" if it was not."""
    return _choice.name


def available_devices() -> tuple[str, ...]:
    """The names of the devices for which the installed onnxruntime is built; they may still fail to start."""
    import onnxruntime

    providers = onnxruntime.get_available_providers()
    return (CPU, *(device.name for device in DEVICES if device.provider in providers))


def _named_device(name: str) -> Device | None:
    """A device by its name; InputError if it is not available."""
    device = next((device for device in DEVICES if device.name == name), None)
    if device is None:
        return None
    if device.name not in available_devices():
        raise InputError(
            f"the installed onnxruntime has no {device.title}: {device.cure}; or choose the device {AUTO} or {CPU}"
        )
    problem = _problem(device)
    if problem:
        raise InputError(f"{device.title} does not start ({problem}); choose the device {AUTO} or {CPU}")
    return device


def _best_device() -> Device | None:
    """The first device that runs a network; None for the processor."""
    available = available_devices()
    for device in DEVICES:
        if device.name in available:
            problem = _problem(device)
            if not problem:
                return device
            LOG.warning("%s does not start (%s)", device.title, problem)
    return None


def _problem(device: Device) -> str:
    """Why a device does not run a small network; empty if it does."""
    try:
        session = _session(_PROBE, _session_options(1, device), device)
        run_graph(session, {"x": np.zeros(1, np.float32)})
    except ValueError as error:
        return " ".join(str(error).split())
    return ""


def open_graph(file: Path, threads: int, tensors: Tensors | None = None) -> Any:
    """Open an .onnx file as a session on this process's device. Several threads may run it at the same time.

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
    # These arrays and values must stay alive until the session is open.
    arrays = {
        name: np.array(tensor, np.float32, order="C") for name, tensor in sorted((tensors or {}).items())
    }
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in arrays.values()]

    def opened(device: Device | None) -> Any:
        options = _session_options(threads, device)
        if values:
            options.add_external_initializers(list(arrays), values)
        return _session(content, options, device)

    return _on_chosen_device(opened, file.name)


def _on_chosen_device(opened: Callable[[Device | None], Any], name: str) -> Any:
    """The session that `opened` makes for a device, on the chosen one, or on the processor if "auto" has to fall back.

    Raises:
        ValueError: The network `name` is at fault, or the named device cannot run it.
    """
    _choice.opened = True
    device = _choice.device
    if device is None:
        return opened(None)
    try:
        return opened(device)
    except ValueError as error:
        problem = f"{device.title} cannot run {name} ({error})"
    # A file that is at fault fails here, too.
    session = opened(None)
    if _choice.name != AUTO:
        raise ValueError(f"{problem}; choose the device {AUTO} or {CPU}")
    LOG.warning("%s; the processor runs it", problem)
    return session


class _OneAtATime:
    """A session that other threads wait for while it runs."""

    def __init__(self, session: Any) -> None:
        self._session, self._lock = session, threading.Lock()
        self.get_inputs = session.get_inputs

    def run(self, outputs: Any, inputs: Any) -> Any:
        """Run the network, as onnxruntime's session does."""
        with self._lock:
            return self._session.run(outputs, inputs)


def _session(content: bytes, options: Any, device: Device | None) -> Any:
    """Open a model on a device, or on the processor; ValueError if that fails.

    Parts of the model that the device cannot run, the processor runs.
    """
    import onnxruntime

    providers = [_CPU_PROVIDER] if device is None else [device.provider, _CPU_PROVIDER]
    try:
        # A fallback would print to the terminal.
        session = onnxruntime.InferenceSession(content, options, providers=providers, enable_fallback=0)
    # onnxruntime's errors have no base class of their own.
    except Exception as error:
        raise ValueError(str(error)) from None
    # onnxruntime prints what it does not find, a driver or a library, and opens the model without the device.
    if device is not None and device.provider not in session.get_providers():
        raise ValueError("onnxruntime cannot load it; its own message says what is missing")
    return _OneAtATime(session) if device is not None and device.one_at_a_time else session


def _session_options(threads: int, device: Device | None) -> Any:
    """The options of a session that uses so many threads of the processor, and maybe a device."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    if device is not None and device.one_at_a_time:
        # DirectML refuses memory patterns.
        options.enable_mem_pattern = False
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
