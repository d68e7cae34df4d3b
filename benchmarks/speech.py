"""How well speech networks move the mouth of people: predicted against tracked, on dev clips, one table.

Needs what `gioconda prepare --for speech` made of the same data. Correlation: of the inner lips' opening, the mean over
clips, people alike; distance: of the 40 lip points, inter-ocular units; reach: how far mouths move against the tracked
ones, the deviation of the opening. Beside each network: its sound 200 ms late.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from common import Bar, Clock, arguments, bars_table, markdown, say, write_results
from gioconda.assets import asset_path
from gioconda.speech import listen
from gioconda.speech.features import HERTZ, levelled
from gioconda.speech.mouth import COLUMNS, POINTS
from gioconda.training.speech import data as prepared
from gioconda.training.speech.evaluate import OFFSETS, ClipMetrics, Predict, by_person, evaluate_clip

GROUPS = {"grid_s1": "seen speaker, unseen sentences", "lrw_ar": "unseen people", "talk": "unseen people"}
BARS = {"grid_s1": 0.93, "lrw_ar": 0.65, "talk": 0.55}
LATE = 0.2
ROUNDS = 2000
HEADER = (
    "network",
    "clips of",
    "correlation",
    "95%",
    "pooled",
    "lip distance",
    "reach",
    "best offset, ms",
)


def network(file: Path) -> Predict:
    """A speech.onnx as what gives lips and chin for spectra."""
    from gioconda.motion.expression import load_basis

    lips = load_basis().offsets[COLUMNS][:, POINTS, :2]
    net = listen.network(file)
    return lambda mel: np.einsum("tc,cpd->tpd", listen.in_stretches(net, mel), lips)


def seconds_a_minute(samples: list[Any]) -> float:
    """Processor seconds that the packaged network takes for a minute of sound; the best of three."""
    net = listen.network(asset_path("speech.onnx"))
    mel = np.concatenate([t.mel for t in samples])[: 60 * HERTZ]
    taken = []
    for _ in range(3):
        start = time.process_time()
        listen.in_stretches(net, levelled(mel))
        taken.append(time.process_time() - start)
    return min(taken)


def mean_mouth(samples: Path) -> Predict:
    """The mean of all train mouths, whatever is said."""
    takes = prepared.load_clips(samples, "train")
    mean = np.concatenate([t.points for t in takes]).mean(0)
    return lambda mel: np.repeat(mean[None], len(mel) // 2, 0)


def metrics(clips: list[ClipMetrics]) -> dict[str, Any]:
    """Correlation with its 95% interval over clips, pooled correlation, distance, best offset in ms."""
    own = np.array([c.correlation for c in clips])
    good = own[np.isfinite(own)]
    random = np.random.default_rng(0)
    draws = [random.choice(good, len(good)).mean() for _ in range(ROUNDS)] if len(good) else [np.nan]
    curves = np.nanmean(np.stack([c.curves for c in clips]), 0) if len(good) else np.zeros(len(OFFSETS))
    pooled = np.concatenate([c.opening for c in clips]), np.concatenate([c.tracked for c in clips])
    return {
        "correlation": float(good.mean()) if len(good) else float("nan"),
        "low": float(np.percentile(draws, 2.5)),
        "high": float(np.percentile(draws, 97.5)),
        "pooled": float(np.corrcoef(*pooled)[0, 1]) if len(good) else float("nan"),
        "distance": float(np.mean([c.distance for c in clips])),
        "reach": float(np.mean([c.opening.std() for c in clips]) / np.mean([c.tracked.std() for c in clips])),
        "offset_ms": 1000 * OFFSETS[int(np.argmax(curves))] / listen.OUT_HERTZ if len(good) else float("nan"),
        "clips": len(clips),
        "still": int((~np.isfinite(own)).sum()),
    }


def row(label: str, group: str, told: dict[str, Any]) -> tuple[Any, ...]:
    """A line of the table, in the order of HEADER."""
    interval = f"[{told['low']:.3f}, {told['high']:.3f}]"
    return (
        label,
        group,
        told["correlation"],
        interval,
        *(told[k] for k in ("pooled", "distance", "reach", "offset_ms")),
    )


def newsreaders(clips: list[ClipMetrics]) -> str:
    """A table of newsreaders, whose films may be off their sound, each its own way."""
    people = by_person([c for c in clips if c.name.startswith("lrw_ar/")])
    return markdown(
        ("newsreader", "correlation", "best offset, ms", "correlation there"),
        [(w, told["correlation"], 1000 * told["offset"], told["in_time"]) for w, told in people.items()],
    )


def main() -> None:
    """Measure, and write speech.json and speech.md."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--samples", type=Path, required=True, help="folder that gioconda prepare has made")
    parser.add_argument("--networks", nargs="*", type=Path, help="speech.onnx files beside the packaged one")
    options = parser.parse_args()
    clock = Clock()
    takes = [t for t in prepared.load_clips(options.samples, "dev") if t.name.split("/")[0] in GROUPS]
    nets = {"packaged": network(asset_path("speech.onnx"))}
    nets |= {file.parent.name: network(file) for file in options.networks or ()}
    rows, results, people = [], {}, ""
    for name, predict in [*nets.items(), ("mean mouth", mean_mouth(options.samples))]:
        for late in (0.0, LATE) if name in nets else (0.0,):
            clips = [evaluate_clip(t, predict, late) for t in takes]
            label = f"{name}, sound {1000 * late:.0f} ms late" if late else name
            for group in GROUPS:
                found = metrics([c for c in clips if c.name.startswith(f"{group}/")])
                results[f"{label} / {group}"] = found
                rows.append(row(label, group, found))
            people = people or newsreaders(clips)
            say(f"{clock}: {label}")
    bars = [Bar(f"correlation, {g}", results[f"packaged / {g}"]["correlation"], b) for g, b in BARS.items()]
    bars += [
        Bar(f"|best offset| in ms, {g}", abs(results[f"packaged / {g}"]["offset_ms"]), 40, at_most=True)
        for g in GROUPS
    ]
    cost = seconds_a_minute(takes)
    write_results(
        options.out,
        "speech",
        {"results": results, "bars": bars, "seconds_a_minute": cost},
        f"{markdown(HEADER, rows)}\n\n{people}\n\n{cost:.2f} s of processor for a minute of sound.\n\n"
        f"{bars_table(bars)}",
    )


if __name__ == "__main__":
    main()
