"""A part of a driving video is used as if the video had been cut before."""

import numpy as np
import pytest

import gioconda
from gioconda.assets import asset_path
from gioconda.errors import InputError
from gioconda.types import ARKIT_INDEX


def test_a_part_of_a_driver_moves_the_portrait_as_that_part_of_the_film(talking_astronaut):
    jaw = ARKIT_INDEX["jawOpen"]
    whole = gioconda.track(talking_astronaut)
    part = gioconda.track(talking_astronaut, start=0.4, end=1.2)
    begin, step = int(np.searchsorted(whole.times, 0.4)), float(np.diff(whole.times).mean())
    assert part.times[0] == 0
    assert len(part) == pytest.approx(0.8 / step, abs=1)
    same = whole.expression[begin : begin + len(part), jaw]
    assert np.corrcoef(part.expression[:, jaw], same)[0, 1] > 0.98
    with pytest.raises(InputError, match=r"no frame from 60 s on; it ends at 1\.5"):
        gioconda.track(talking_astronaut, start=60)
    with pytest.raises(InputError, match="must end after it begins"):
        gioconda.Animate("a.png", "b.mp4", "c.mp4", start=2, end=1)
    with pytest.raises(InputError, match="must end after it begins"):
        gioconda.track(talking_astronaut, start=1, end=0.5)
    with pytest.raises(InputError, match="leave out --start and --end"):
        gioconda.animate(asset_path("astronaut.jpg"), "nod", "c.mp4", start=1)
