"""What each part of drawing from several photos of a person adds: parts taken away one at a time, on unseen people.

The protocol is that of `gioconda evaluate --mixed`: the dev people with one clip each, squares of 256 px, the same
photos and frames for every variant. Values are ratios to the whole engine with the same photos, person by person.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from common import EMBEDDER, Clock, arguments, markdown, say, two_cores, write_results
from gioconda.engines import get_engine
from gioconda.engines.warp import choice, engine, views
from gioconda.training.evaluate import bootstrap, protocol
from gioconda.training.evaluate.methods import _rendered
from gioconda.training.evaluate.metrics import Judge, TrackedStretch
from gioconda.training.evaluate.protocol import EvaluationPlan, Person, find_people, gather
from gioconda.types import Portrait

SQUEEZE = "metrics/squeezenet11.safetensors"
SIZE = 256  # pixels of the compared square
WHOLE, ONE_PHOTO = "all parts", "one photo"
REFERENCES = "photos as references of mouth and eyes alone"
METRICS = ("perceptual", "hair and contour", "CSIM", "L1", "flicker")


@dataclass(frozen=True)
class Variant:
    """A part taken away.

    Attributes:
        swaps: (module or class, attribute, replacement) in place of the part.
        shots: Changes the further photos of the portrait.
    """

    swaps: tuple[tuple[Any, str, Any], ...] = ()
    shots: Callable[[tuple[Portrait, ...]], tuple[Portrait, ...]] = field(default=lambda photos: photos)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Replace the part while the context lasts."""
        with ExitStack() as stack:
            for place, name, other in self.swaps:
                stack.enter_context(patch.object(place, name, other))
            yield


def _as_references(photos: tuple[Portrait, ...]) -> tuple[Portrait, ...]:
    """The photos as if they were of other rooms."""
    return tuple(replace(photo, same_view=False) for photo in photos)


VARIANTS = {
    WHOLE: Variant(),
    ONE_PHOTO: Variant(shots=lambda _: ()),
    REFERENCES: Variant(shots=_as_references),
    "the photo chosen by the offset alone": Variant(((choice, "WEIGHTS", (1.1, 0.0, 0.0)),)),
    "without the lids in the choice": Variant(((choice, "WEIGHTS", (*choice.WEIGHTS[:2], 0.0)),)),
    "no look ahead": Variant(((engine, "LOOK_SECONDS", 0.0),)),
    "the best photo of each frame, no stay": Variant(
        (
            (choice, "STAY_SECONDS", 0.0),
            (choice, "SWITCH", 1.0),
            (choice, "NOISE", 0.0),
            (engine, "LOOK_SECONDS", 0.0),
        )
    ),
    "a cut from photo to photo": Variant(((choice, "FADE_SECONDS", 1e-6),)),
    "a cross-fade without optical flow": Variant(((engine, "morphed", views.mixed),)),
    "each photo's own background": Variant(((engine, "build_behind", lambda *_: None),)),
}


def figures(
    person: Person, tracked: Sequence[TrackedStretch], variant: Variant, count: int, judge: Judge
) -> list[float]:
    """The metrics, in the order of METRICS, of one variant on one person with `count` photos."""
    portrait = replace(person.shots[0], others=variant.shots(person.shots[1:count]))
    with variant.applied():
        pictures = _rendered(get_engine("warp"), portrait, person, SIZE, lambda _: None)
    found = judge.score(pictures, person.held, tracked).metrics
    return [found[name] for name in (judge.perceptual, judge.contour, judge.csim, "L1", "flicker")]


def measured(options: Any, clock: Clock) -> dict[str, dict[str, list[float]]]:
    """The metrics of every variant, by variant and person."""
    plan = EvaluationPlan(shots=(1, options.shots), frames=options.frames, size=SIZE, mixed=True)
    judge = Judge(options.data / EMBEDDER, options.data / SQUEEZE)
    variants = {name: VARIANTS[name] for name in dict.fromkeys((WHOLE, *options.variants))}
    found: dict[str, dict[str, list[float]]] = {name: {} for name in variants}
    for name, clips in find_people(options.data, options.people).items():
        if len(clips) > 1:
            continue
        failures: list[str] = []
        person = gather(name, clips, plan, failures, lambda _: None)
        if person is None:
            say(f"{clock}: {name} is left out: {failures}")
            continue
        tracked = [judge.track(stretch.truth) for stretch in person.held]
        for label, variant in variants.items():
            found[label][name] = figures(person, tracked, variant, options.shots, judge)
        say(f"{clock}: {name}")
    return found


def table(found: dict[str, dict[str, list[float]]]) -> str:
    """Ratios to the whole engine, and differences of CSIM, with 95% bootstrap intervals over people."""
    whole = np.array(list(found[WHOLE].values()))
    rows = []
    for label, people in found.items():
        values = np.array(list(people.values()))
        changes = [
            values[:, k] - whole[:, k] if metric == "CSIM" else values[:, k] / whole[:, k]
            for k, metric in enumerate(METRICS)
        ]
        signs = ["+" if metric == "CSIM" else "" for metric in METRICS]
        rows.append([label, *(cell(change, sign) for change, sign in zip(changes, signs, strict=True))])
    return markdown(("", *METRICS), rows)


def cell(values: np.ndarray, sign: str) -> str:
    """A mean with its interval."""
    estimate = bootstrap.of_mean(values.tolist())
    if estimate is None or estimate.low is None:
        return f"{values.mean():{sign}.3f}"
    return f"{estimate.mean:{sign}.3f} [{estimate.low:{sign}.3f}, {estimate.high:{sign}.3f}]"


def main() -> None:
    """Read the command line, measure, and write the table."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--shots", type=int, default=8, help="photos of each person (default %(default)s)")
    parser.add_argument("--frames", type=int, default=32, help="of each person (default %(default)s)")
    parser.add_argument(
        "--run", type=int, default=protocol.RUN, help="consecutive frames of a stretch (default %(default)s)"
    )
    parser.add_argument(
        "--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), help="default: all"
    )
    parser.add_argument(
        "--people", nargs="+", default=(), help="names; default: all dev people with one clip"
    )
    options = parser.parse_args()
    two_cores()
    torch.set_num_threads(2)
    clock = Clock()
    with patch.object(protocol, "RUN", options.run):
        found = measured(options, clock)
    if not found[WHOLE]:
        sys.exit("nobody could be measured")
    lead = (
        f"Ratios to all parts with {options.shots} photos (CSIM: differences), with 95% bootstrap intervals."
    )
    settings = {"shots": options.shots, "frames": options.frames, "run": options.run}
    values = {**settings, "metrics": METRICS, "people": found, "seconds": clock.seconds}
    write_results(options.out, "photos_ablation", values, f"{lead}\n\n{table(found)}")


if __name__ == "__main__":
    main()
