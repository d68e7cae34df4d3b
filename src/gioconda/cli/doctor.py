"""The checks of the command `doctor`: what is installed, and whether it works."""

from __future__ import annotations

import platform
import shutil
import subprocess
from importlib import import_module, metadata

import typer

from gioconda import __version__, assets
from gioconda.errors import GiocondaError
from gioconda.registry import ENGINES, MOTIONS, STREAMS, extensions
from gioconda.runtime.cores import machine_cores
from gioconda.runtime.onnx import available_devices

_PACKAGES = (
    "opencv-python-headless",
    "numpy",
    "av",
    "pillow",
    "pi-heif",
    "scipy",
    "onnxruntime",
    "espeakng-loader",
    "c2pa-python",
    "cryptography",
    "platformdirs",
)
_STAGES = ("types", "media", "face", "motion", "speech", "engines", "composite", "provenance", "pipeline")


def examine() -> int:
    """Print the report on standard output and return the exit code: 0 if everything essential works, else 1."""
    typer.echo(f"gioconda {__version__}, Python {platform.python_version()}, {platform.platform()}")
    typer.echo(f"cores: {machine_cores()}")
    typer.echo(f"GPU: {_gpu()}")
    problems = [*_packages(), *_devices(), *_stages(), *_assets(), *_certificate(), *_extensions()]
    for problem in problems:
        typer.echo(f"problem: {problem}")
    typer.echo("everything essential works" if not problems else f"problems: {len(problems)}")
    return 1 if problems else 0


def _packages() -> list[str]:
    """Print the versions of the libraries; problems of those that are missing."""
    problems = []
    for name in _PACKAGES:
        try:
            typer.echo(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            problems.append(f"{name} is not installed; reinstall gioconda")
    return problems + _other_opencv()


def _devices() -> list[str]:
    """Print what the installed onnxruntime can use; a problem if it does not load."""
    try:
        names = available_devices()
    # A broken native library may raise anything.
    except Exception as error:
        return [f"onnxruntime does not load: {type(error).__name__}: {error}"]
    typer.echo(f"devices for --device: {', '.join(names)}")
    return []


def _other_opencv() -> list[str]:
    """Problems of further OpenCV wheels: all of them install into one folder, so a second one breaks the first."""
    others = ("opencv-python", "opencv-contrib-python", "opencv-contrib-python-headless")
    installed = {d.metadata["Name"].lower() for d in metadata.distributions() if d.metadata["Name"]}
    return [
        f"{name} overwrites files of opencv-python-headless; uninstall both and reinstall gioconda"
        for name in others
        if name in installed
    ]


def _extensions() -> list[str]:
    """Print what other packages add to the registry; problems of what cannot be used."""
    found = [extension for group in (ENGINES, MOTIONS, STREAMS) for extension in extensions(group)]
    for extension in found:
        if extension.entry is not None:
            typer.echo(f"extension: {extension.name}, of {extension.package}")
    return [extension.problem for extension in found if extension.problem]


def _stages() -> list[str]:
    """Problems of stages that cannot be imported; importing them loads the native libraries."""
    problems = []
    for name in _STAGES:
        try:
            import_module(f"gioconda.{name}")
        # A broken native library may raise anything.
        except Exception as error:
            problems.append(f"gioconda.{name} does not load: {type(error).__name__}: {error}")
    return problems


def _assets() -> list[str]:
    """Print size and hash of the packaged files; problems of damaged ones."""
    problems = []
    for name in assets.asset_names():
        try:
            digest = assets.check_asset(name)
        except GiocondaError as error:
            problems.append(str(error))
            continue
        size = assets.asset_path(name).stat().st_size
        typer.echo(f"asset {name}: {size / 1024:.0f} KiB, SHA-256 {digest[:12]}")
    return problems


def _certificate() -> list[str]:
    """Print where the signing certificate is; a problem if its folder cannot be used."""
    try:
        from gioconda.provenance.certificate import IDENTITY_NAME, user_folder

        path = user_folder() / IDENTITY_NAME
    except Exception as error:
        return [f"the signing certificate cannot be used: {error}"]
    typer.echo(f"certificate: {path} ({'present' if path.exists() else 'will be made at first use'})")
    return []


def _gpu() -> str:
    """The names of NVIDIA GPUs, for people."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return "none found (not needed)"
    try:
        command = [program, "--query-gpu=name", "--format=csv,noheader"]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return "found, but nvidia-smi does not answer (not needed)"
    return ", ".join(answer.stdout.split("\n")).strip(", ") + " (not used without --device)"
