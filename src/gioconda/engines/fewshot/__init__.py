"""The few-shot engine: a generator draws the whole head from a picture of landmarks.

Source: Zakharov, Shysheya, Burkov and Lempitsky, *Few-Shot Adversarial Learning of Realistic Neural Talking Head
Models*, ICCV 2019. This package holds inference, without PyTorch; `training/fewshot` holds training and adaptation.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gioconda.engines.fewshot.engine import FewshotEngine


def open_engine(weights: Path) -> FewshotEngine:
    """Open the engine `fewshot`.

    Args:
        weights: The path of an exported fewshot.safetensors, with its graphs beside it.

    Raises:
        MissingFileError: The file, or a graph beside it, does not exist.
        LimitError: The file is too large.
        WeightsError: The file does not contain such networks.
    """
    from gioconda.assets import name_and_digest
    from gioconda.engines.fewshot.engine import FewshotEngine
    from gioconda.engines.fewshot.network import EMBEDDER, GENERATOR, load_networks

    files = (weights, *(weights.with_name(name) for name in (EMBEDDER, GENERATOR)))
    return FewshotEngine(load_networks(weights), tuple(map(name_and_digest, files)))
