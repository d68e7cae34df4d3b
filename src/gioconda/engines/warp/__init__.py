"""The warp engine moves the portrait's own pixels, fills hidden regions and transfers fine detail.

Source: Averbuch-Elor, Cohen-Or, Kopf and Cohen, *Bringing Portraits to Life*, ACM TOG 36(4):196, 2017. Their mesh is
planar; this one has depth.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gioconda.engines.warp.engine import WarpEngine


def open_engine(refine: bool | Path = True) -> WarpEngine:
    """Open the engine `warp`.

    Args:
        refine: Whether the packaged network repairs mouth and eyes, or the path of another network (.onnx).

    Raises:
        WeightsError: The file does not contain such a network.
    """
    from gioconda.assets import asset_path, name_and_digest
    from gioconda.engines.warp.engine import WarpEngine
    from gioconda.engines.warp.refiner import NETWORK, load_network

    if not refine:
        return WarpEngine()
    own = refine if isinstance(refine, Path) else None
    return WarpEngine(load_network(own), (name_and_digest(own or asset_path(NETWORK)),))
