"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gioconda.motion.templates import TEMPLATES

OutOption = Annotated[Path, typer.Option("--out", "-o", help="File to write.", show_default=False)]
MotionOption = Annotated[
    str,
    typer.Option(help=f"A video, a sound, a saved motion, or a template: {', '.join(TEMPLATES)}."),
]
