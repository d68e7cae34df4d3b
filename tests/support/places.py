"""Where the repository and the media beside it lie."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data"
SUPPORT = Path(__file__).parent
FEWSHOT_EXAMPLE = ROOT / "tests" / "data" / "fewshot" / "fewshot.safetensors"
"""Small few-shot networks, with their graphs beside them; the README there tells how they were trained."""
