"""Options that several commands share, each with its help."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer


class Region(str, Enum):
    """Which part of the motion is passed on."""

    ALL = "all"
    POSE = "pose"
    EXPRESSION = "expression"
    LIPS = "lips"
    EYES = "eyes"


PortraitArgument = Annotated[
    Path,
    typer.Argument(help="Picture (or video) of the face, or an identity file of adapt.", show_default=False),
]
OutOption = Annotated[Path, typer.Option("--out", "-o", help="File to write.", show_default=False)]
MotionOption = Annotated[
    str,
    typer.Option(
        help="A video, a sound to speak, a saved .npz, a Live Link Face .csv, or a template: "
        "idle, nod, shake, smile, look-around, talk, laugh, surprise.",
        show_default=False,
    ),
]
EngineOption = Annotated[str, typer.Option(help="How the picture is made to move: warp or fewshot.")]
RefineOption = Annotated[
    bool, typer.Option("--refine/--no-refine", help="Let a small network repair mouth and eyes.")
]
WeightsOption = Annotated[
    Path | None,
    typer.Option(help="A fewshot.safetensors that you exported, for the engine fewshot.", show_default=False),
]
PhotoOption = Annotated[
    list[Path] | None,
    typer.Option("--photo", help="A further photo of the same person; may be repeated.", show_default=False),
]
AbsoluteOption = Annotated[
    bool, typer.Option("--absolute", help="The driver's own pose and expression, not changes from its rest.")
]
FaceOption = Annotated[str, typer.Option(help="0 for the largest face, 1 for the next, ...; or all.")]
RegionOption = Annotated[Region, typer.Option(help="Which part of the motion is passed on.")]
StrengthOption = Annotated[float, typer.Option(help="Of the motion; 1 passes it on as it is (0 to 2).")]
CropOption = Annotated[bool, typer.Option("--crop", help="A square around the face, not the whole picture.")]
SizeOption = Annotated[
    int | None,
    typer.Option(help="Side of the crop, or longer side of the picture, in pixels.", show_default=False),
]
NoAudioOption = Annotated[bool, typer.Option("--no-audio", help="Leave the driver's sound out.")]
LabelOption = Annotated[bool, typer.Option("--label", help="Write a visible label into the picture.")]
RightsOption = Annotated[
    str | None,
    typer.Option(help="What entitles you to this likeness; recorded in the manifest.", show_default=False),
]
KeyOption = Annotated[
    Path | None, typer.Option(help="Your own private key (PEM) to sign with.", show_default=False)
]
CertificateOption = Annotated[
    Path | None, typer.Option(help="The certificate chain (PEM) of that key.", show_default=False)
]
DegreesOption = Annotated[float, typer.Option(help="Degrees, -90 to 90; large turns are softened.")]
GazeOption = Annotated[float, typer.Option(help="-1 to 1; 0 looks ahead.")]
