"""Examples of each command, for its help and for messages."""

from __future__ import annotations

from collections.abc import Mapping

EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "animate": (
        "gioconda animate portrait.jpg --motion smile --out smile.mp4",
        "gioconda animate portrait.jpg --motion driver.mp4 --out moving.mp4",
    ),
    "track": (
        "gioconda track driver.mp4 --out driver.npz",
        "gioconda track driver.mp4 --out driver.csv",
    ),
    "edit": (
        "gioconda edit portrait.jpg --yaw 10 --out turned.png",
        "gioconda edit portrait.jpg --set mouthSmileLeft=0.8 --set mouthSmileRight=0.8 --out smiling.png",
    ),
    "verify": (
        "gioconda verify film.mp4",
        "gioconda verify film.mp4 --explain",
    ),
    "doctor": ("gioconda doctor", "gioconda doctor > report.txt"),
    "demo": ("gioconda demo", "gioconda demo --motion laugh --out laugh.mp4"),
    "adapt": (
        "gioconda adapt film.mp4 --out me.safetensors",
        "gioconda adapt clips/ --for speech --out mouths.safetensors",
    ),
    "batch": (
        "gioconda batch jobs.csv",
        "gioconda batch jobs.csv --workers 4 --report summary.json",
    ),
    "prepare": (
        "gioconda prepare videos/ --out samples",
        "gioconda prepare videos/ --for speech --out samples",
    ),
    "train": (
        "gioconda train fewshot --data samples --out run",
        "gioconda train refiner --data samples --out run --dry-run",
    ),
    "export": (
        "gioconda export film.mp4 --out film.gif --size 320",
        "gioconda export film.mp4 --shape vertical --out vertical.mp4",
    ),
    "export-weights": (
        "gioconda export-weights fewshot run --out weights",
        "gioconda export-weights speech run1 run2 --out weights",
    ),
    "evaluate": (
        "gioconda evaluate videos/ --out report",
        "gioconda evaluate videos/ --engines warp,fewshot --weights mine/fewshot.safetensors --shots 1,8 --out report",
    ),
    "serve": (
        "gioconda serve",
        "gioconda serve --host 0.0.0.0 --token-file token --allow-host studio.example",
    ),
    "speak": (
        'gioconda speak portrait.jpg --text "Good evening." --out evening.mp4',
        "gioconda speak portrait.jpg --audio voice.wav --out talking.mp4",
    ),
}


def epilog(command: str) -> str:
    """Return the end of a command's help; its first character keeps the lines apart."""
    return "\b\n" + "\n".join(["Examples:", *(f"  {line}" for line in EXAMPLES[command])])
