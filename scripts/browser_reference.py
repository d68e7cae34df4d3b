"""Write inputs and outputs of the tracker's networks for check_browser_networks.mjs: python ... FOLDER."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from gioconda.assets import asset_path
from gioconda.face.models import FULL_RANGE, LANDMARKS, PERSON, SHORT_RANGE, session
from gioconda.face.region import Region
from gioconda.media import read_picture

SIDES = {LANDMARKS: 192, SHORT_RANGE: 128, FULL_RANGE: 192, PERSON: 256}


def main() -> None:
    """Run each network on the packaged portrait."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    picture, _ = read_picture(asset_path("astronaut.jpg"))
    index = []
    for network, side in SIDES.items():
        crop = Region(226, 128, 190, 190).crop(picture, side)[None]
        (folder / f"{network}.image").write_bytes(crop.tobytes())
        opened = session(network)
        names = [output.name for output in opened.get_outputs()]
        for name, value in zip(names, opened.run(None, {"image": crop}), strict=True):
            (folder / f"{network}.{name}").write_bytes(np.asarray(value, np.float32).tobytes())
        index.append({"network": network, "file": str(asset_path(network)), "side": side, "outputs": names})
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")


if __name__ == "__main__":
    main()
