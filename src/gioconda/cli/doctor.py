"""`gioconda doctor`: what is installed, and whether it works."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from importlib import import_module, metadata

import typer

from gioconda import __version__, weights
from gioconda.errors import GiocondaError

_PACKAGES = (
    "mediapipe",
    "opencv-contrib-python",
    "numpy",
    "av",
    "pillow",
    "scipy",
    "onnxruntime",
    "espeakng-loader",
    "c2pa-python",
    "cryptography",
    "platformdirs",
)
_STAGES = ("types", "media", "face", "motion", "speech", "engines", "composite", "provenance", "pipeline")


def examine() -> int:
    """Print the report on standard output; 0 if all that is essential works, else 1."""
    typer.echo(f"gioconda {__version__}, Python {platform.python_version()}, {platform.platform()}")
    typer.echo(f"cores: {_cores()}")
    typer.echo(f"GPU: {_gpu()}")
    problems = [*_packages(), *_stages(), *_assets(), *_certificate()]
    for problem in problems:
        typer.echo(f"problem: {problem}")
    typer.echo("everything essential works" if not problems else f"problems: {len(problems)}")
    return 1 if problems else 0


def _packages() -> list[str]:
    problems = []
    for name in _PACKAGES:
        try:
            typer.echo(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            problems.append(f"{name} is not installed; reinstall gioconda")
    return problems + _other_opencv()


def _other_opencv() -> list[str]:
    """OpenCV wheels share one folder: a second one breaks the first."""
    others = ("opencv-python", "opencv-python-headless", "opencv-contrib-python-headless")
    installed = {d.metadata["Name"].lower() for d in metadata.distributions() if d.metadata["Name"]}
    return [
        f"{name} is installed too and overwrites opencv-contrib-python; uninstall both, reinstall gioconda"
        for name in others
        if name in installed
    ]


def _stages() -> list[str]:
    """Import every stage, which loads the native libraries."""
    problems = []
    for name in _STAGES:
        try:
            import_module(f"gioconda.{name}")
        except Exception as error:  # a broken native library may raise anything
            problems.append(f"gioconda.{name} does not load: {type(error).__name__}: {error}")
    return problems


def _assets() -> list[str]:
    problems = []
    for name in weights.asset_names():
        try:
            digest = weights.check_asset(name)
        except GiocondaError as error:
            problems.append(str(error))
            continue
        size = weights.asset_path(name).stat().st_size
        typer.echo(f"asset {name}: {size / 1024:.0f} KiB, SHA-256 {digest[:12]}")
    return problems


def _certificate() -> list[str]:
    try:
        from gioconda.provenance.certificate import IDENTITY_NAME, user_folder

        path = user_folder() / IDENTITY_NAME
    except Exception as error:  # a folder that cannot be used must be told, not raised
        return [f"no certificate: {error}"]
    typer.echo(f"certificate: {path} ({'present' if path.exists() else 'made at first use'})")
    return []


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _gpu() -> str:
    program = shutil.which("nvidia-smi")
    if program is None:
        return "none found, none needed"
    try:
        command = [program, "--query-gpu=name", "--format=csv,noheader"]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return "found, but nvidia-smi gives no answer; none needed"
    return ", ".join(answer.stdout.split("\n")).strip(", ") + " (not used)"
