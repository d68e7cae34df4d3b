"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gioconda.motion.templates import TEMPLATES
from gioconda.runtime.devices import CPU, NAMES

OutOption = Annotated[Path, typer.Option("--out", "-o", help="File to write.", show_default=False)]
DeviceOption = Annotated[
    str,
    typer.Option(
        "--device",
        metavar=f"<{'|'.join(NAMES)}>",
        help="What runs the networks; auto takes the best device of this machine and falls back to the processor.",
    ),
]
MotionOption = Annotated[
    str,
    typer.Option(help=f"A video, a sound, a saved motion, or a template: {', '.join(TEMPLATES)}."),
]


def use_device(name: str) -> None:
    """Let a device run the networks of this process, and name it on standard error unless the option is the default.

    Raises:
        InputError: The device is unknown or not available.
    """
    if name == CPU:
        return
    from gioconda.runtime.onnx import use_device as choose

    typer.echo(f"note: the networks run on {choose(name)}", err=True)
