"""The choice of a device, against an onnxruntime that claims to have one; the networks themselves really run."""

import logging

import numpy as np
import onnxruntime
import pytest

from gioconda import cluster
from gioconda.assets import asset_path
from gioconda.cli import run
from gioconda.errors import InputError
from gioconda.runtime import onnx
from gioconda.runtime.devices import DEVICES

CPU = "CPUExecutionProvider"
PROVIDERS = {device.name: device.provider for device in DEVICES}
FACES = "face_short_range.onnx"
real_session = onnxruntime.InferenceSession


class Machine:
    """An onnxruntime that is built for some devices. The processor does their work.

    Attributes:
        broken: Devices that onnxruntime drops in silence, as where a driver is absent.
        small: Devices that run nothing but a network of a few bytes.
        opened: The providers that each session was opened with.
    """

    def __init__(self, *devices):
        self.devices, self.broken, self.small, self.opened = devices, (), (), []

    def providers(self):
        return [*(PROVIDERS[name] for name in self.devices), CPU]

    def session(self, content, options, providers, **rest):
        asked = [name for name, provider in PROVIDERS.items() if provider in providers]
        if set(asked) & set(self.small) and len(content) > 1000:
            raise RuntimeError("the device has too little memory")
        made = real_session(content, options, providers=[CPU], **rest)
        kept = [PROVIDERS[name] for name in asked if name not in self.broken]
        made.get_providers = lambda: [*kept, CPU]
        self.opened.append(providers)
        return made


@pytest.fixture
def machine(monkeypatch):
    """Puts a machine with the named devices under a process that has opened no network yet."""

    def put(*devices):
        made = Machine(*devices)
        monkeypatch.setattr(onnx, "_choice", onnx._Choice())
        monkeypatch.setattr(onnxruntime, "get_available_providers", made.providers)
        monkeypatch.setattr(onnxruntime, "InferenceSession", made.session)
        return made

    return put


def faces(session):
    """What a network finds in a grey picture."""
    return session.run(None, {"image": np.full((1, 128, 128, 3), 90, np.uint8)})


def test_auto_takes_the_best_device_and_the_network_runs_on_it(machine):
    here = machine("coreml", "cuda")
    assert onnx.use_device("auto") == "CUDA"
    on_device = faces(onnx.open_graph(asset_path(FACES), 1))
    assert here.opened[-1] == [PROVIDERS["cuda"], CPU]
    on_processor = faces(real_session(asset_path(FACES).read_bytes(), providers=[CPU]))
    assert all(map(np.array_equal, on_device, on_processor))


def test_auto_passes_over_a_device_that_does_not_start_and_says_so(machine, caplog):
    machine("cuda").broken = ("cuda",)
    with caplog.at_level(logging.WARNING, "gioconda"):
        assert onnx.use_device("auto") == "the processor"
    assert "CUDA does not start" in caplog.text


def test_without_a_choice_only_the_processor_runs(machine):
    here = machine("cuda")
    faces(onnx.open_graph(asset_path(FACES), 1))
    assert here.opened == [[CPU]]


@pytest.mark.parametrize(
    ("name", "cure"),
    [
        ("cuda", "pip install onnxruntime-gpu"),
        ("directml", "pip install onnxruntime-directml"),
        ("coreml", "macOS"),
    ],
)
def test_a_named_device_that_is_absent_is_an_error_that_says_what_to_install(machine, name, cure, capsys):
    machine()
    assert run(["track", "nothing.mp4", "-o", "motion.npz", "--device", name]) == 2
    told = capsys.readouterr().err
    assert cure in told
    assert len(told.splitlines()) == 1


def test_a_named_device_that_does_not_start_is_an_error(machine):
    machine("cuda").broken = ("cuda",)
    with pytest.raises(InputError, match="CUDA does not start"):
        onnx.use_device("cuda")


def test_the_command_names_the_device_in_one_line(machine, capsys):
    machine("directml")
    run(["track", "nothing.mp4", "-o", "motion.npz", "--device", "auto"])
    assert capsys.readouterr().err.splitlines()[0] == "note: the networks run on DirectML"


def test_a_network_that_the_device_cannot_run_goes_to_the_processor_only_with_auto(machine, caplog):
    here = machine("cuda")
    here.small = ("cuda",)
    onnx.use_device("auto")
    assert faces(onnx.open_graph(asset_path(FACES), 1))
    assert f"CUDA cannot run {FACES} (the device has too little memory); the processor runs it" in caplog.text
    machine("cuda").small = ("cuda",)
    onnx.use_device("cuda")
    with pytest.raises(ValueError, match="CUDA cannot run"):
        onnx.open_graph(asset_path(FACES), 1)


def test_networks_that_are_open_keep_their_device(machine):
    machine("cuda")
    onnx.open_graph(asset_path(FACES), 1)
    with pytest.raises(InputError, match="on the processor already"):
        onnx.use_device("cuda")
    onnx.use_device("cpu")


def test_directml_takes_one_run_at_a_time(machine):
    machine("directml")
    onnx.use_device("directml")
    session = onnx.open_graph(asset_path(FACES), 1)
    running, real_run = [], session._session.run

    class Watched:
        def run(self, *given):
            running.append(1)
            assert len(running) == 1
            try:
                return real_run(*given)
            finally:
                running.pop()

    session._session = Watched()
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as pool:
        assert len(list(pool.map(lambda _: faces(session), range(16)))) == 16


def test_tasks_of_other_processes_use_the_device_too(machine):
    machine("cuda")
    onnx.use_device("auto")
    task = cluster.on_device(len)
    machine("coreml")
    assert task("four") == 4
    assert onnx.use_device("auto") == "CoreML"
