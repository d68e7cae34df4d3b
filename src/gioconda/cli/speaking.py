"""The command that lets a portrait, or the person of a video, speak."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gioconda.cli import values
from gioconda.cli.commands import app, check_size, tell_result
from gioconda.cli.options import (
    CertificateOption,
    CropOption,
    FaceOption,
    KeyOption,
    LabelOption,
    OutOption,
    PhotoOption,
    PortraitArgument,
    RefineOption,
    RightsOption,
    SizeOption,
    StrengthOption,
    WeightsOption,
)
from gioconda.cli.progress import watch


def _print_voices(wanted: bool) -> None:
    if wanted:
        from gioconda.speech import variants, voices

        for code, name in voices().items():
            typer.echo(f"{code:<20} {name}")
        typer.echo(f"voices: {', '.join(variants())}")
        raise typer.Exit


AudioOption = Annotated[
    Path | None, typer.Option(help="A sound to speak, or a video with sound.", show_default=False)
]
TextOption = Annotated[
    str | None, typer.Option(help="A text to say, by an offline voice.", show_default=False)
]
VoiceOption = Annotated[str, typer.Option(help="That says the text, such as f2.", show_default=False)]
LanguageOption = Annotated[str, typer.Option(help="Of the text, such as en, fr, cmn, ja.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Of blinks, brows and the head's movements.")]
SpeakingEngineOption = Annotated[
    str | None,
    typer.Option(help="warp, fewshot or lipsync, which a video gets by itself.", show_default=False),
]
BankOption = Annotated[
    Path | None,
    typer.Option(help="Mouths of a video's person, by adapt --for speech.", show_default=False),
]
ListOption = Annotated[
    bool,
    typer.Option("--list", callback=_print_voices, is_eager=True, help="Print languages and voices."),
]


@app.command(short_help="Let a portrait, or a video's person, speak.")
def speak(
    portrait: PortraitArgument,
    out: OutOption,
    audio: AudioOption = None,
    text: TextOption = None,
    voice: VoiceOption = "",
    language: LanguageOption = "en",
    seed: SeedOption = 0,
    engine: SpeakingEngineOption = None,
    bank: BankOption = None,
    refine: RefineOption = True,
    weights: WeightsOption = None,
    photo: PhotoOption = None,
    face: FaceOption = "0",
    strength: StrengthOption = 1.0,
    crop: CropOption = False,
    size: SizeOption = None,
    label: LabelOption = False,
    rights: RightsOption = None,
    key: KeyOption = None,
    certificate: CertificateOption = None,
    listed: ListOption = False,
) -> None:
    """Let a portrait, or the person of a video, speak a sound or a text: .mp4, .webm or a silent .gif."""
    values.number("--strength", strength, 0.0, 2.0)
    check_size(size)
    chosen = values.face_choice(face)
    from gioconda import speaking

    with watch() as progress:
        made = speaking.speak(
            portrait,
            out,
            audio=audio,
            text=text,
            voice=voice,
            language=language,
            seed=seed,
            engine=engine,
            bank=bank,
            refine=refine,
            weights=weights,
            photos=photo or (),
            face=chosen,
            strength=strength,
            crop=crop,
            size=size,
            label=label,
            rights=rights,
            key=key,
            certificate=certificate,
            progress=progress,
        )
    tell_result(made)
