"""report.json and report.md: metrics with their intervals, differences, people, and notes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gioconda
from gioconda import media
from gioconda.training.evaluate.bootstrap import Estimate
from gioconda.training.evaluate.methods import COPY, FEED_FORWARD, ReportRow
from gioconda.training.evaluate.metrics import TRACKED_SIDE
from gioconda.training.evaluate.protocol import APART
from gioconda.training.evaluate.results import Results

JSON, MARKDOWN = "report.json", "report.md"
# Metrics of which smaller values are better, and larger ones
FALLS = ("FID", "perceptual", "L1", "AKD", "AED", "APD", "lost")
RISES = ("SSIM", "CSIM", "PSNR")
UNITS = {"PSNR": "dB", "AKD": f"px of {TRACKED_SIDE}", "APD": "degrees", "flicker": "of 255"}
# FID, SSIM and CSIM of Table 1 in Zakharov et al., VoxCeleb1, by number of shots.
PUBLISHED = {1: ("43.0", "0.67", "0.15"), 8: ("38.0", "0.71", "0.17"), 32: ("29.5", "0.74", "0.19")}


def write(out: Path, results: Results) -> None:
    """Write both files into the folder, each completely or not at all; OutputError if it is not writable."""
    values = json.dumps(as_values(results), indent=1, ensure_ascii=False) + "\n"
    media.write_whole(out / JSON, values.encode())
    media.write_whole(out / MARKDOWN, as_markdown(results).encode())


def as_values(results: Results) -> dict[str, Any]:
    """The report as plain values: metrics by engine, mode, shots and name; values that are not finite are null."""
    metrics: dict[str, Any] = {}
    for row in results.evaluated:
        values = {name: _values(results.estimate(row, name)) for name in results.names}
        metrics.setdefault(row.engine, {}).setdefault(row.mode, {})[str(row.shots)] = values
    differences: list[dict[str, Any]] = [
        {
            "of": asdict(later),
            "less": asdict(earlier),
            **{name: _values(results.difference(later, earlier, name)) for name in results.names},
        }
        for later, earlier in results.pairs()
    ]
    people = [
        asdict(member)
        | {
            "figures": [
                asdict(row) | {k: _number(v) for k, v in results.scores[row][member.name].metrics.items()}
                for row in results.evaluated
                if member.name in results.scores[row]
            ]
        }
        for member in results.people
    ]
    return {
        "version": gioconda.__version__,
        "data": results.data,
        "plan": asdict(results.plan),
        "networks": results.networks,
        "figures": metrics,
        "differences": differences,
        "flicker of the truth": _values(results.still),
        "people": people,
        "left_out": results.left_out,
        "notes": list(notes(results)),
        "seconds": round(results.seconds, 1),
    }


def _values(estimate: Estimate | None) -> dict[str, Any] | None:
    if estimate is None:
        return None
    return {key: value if key == "n" else _number(value) for key, value in asdict(estimate).items()}


def _number(value: float | None) -> float | None:
    return round(value, 6) if value is not None and math.isfinite(value) else None


def as_markdown(results: Results) -> str:
    """The report as Markdown: the paper's table, further metrics, differences, notes, people."""
    parts = [f"# Self-reenactment of {_people_of(results)}", table(results)]
    parts += ["## Further figures", further(results)]
    compared = list(results.pairs())
    if compared:
        header = ["Difference", *(_heading(name, arrow=False) for name in results.names)]
        rows = [
            [
                _between(*pair),
                *(_cell(results.difference(*pair, name), signed=True) for name in results.names),
            ]
            for pair in compared
        ]
        parts += ["## Differences, paired by person", _grid(header, rows)]
    parts += ["## What to mind", "\n".join(f"- {note}" for note in notes(results))]
    parts += ["## Who took part", _people(results)]
    if results.left_out:
        parts += ["## Left out", "\n".join(f"- {_safe(line)}" for line in results.left_out)]
    return "\n\n".join(parts) + "\n"


def table(results: Results) -> str:
    """The paper's Table 1: a block per T with FID, SSIM and CSIM; the paper's own row ends the block."""
    names = [name for name in results.names if name.startswith(("FID", "SSIM", "CSIM"))]
    header = ["Method (T)", *map(_heading, names)]
    rows = []
    for shots in dict.fromkeys(row.shots for row in results.evaluated):
        block = [row for row in results.evaluated if row.shots == shots]
        rows += [_line(results, row, names) for row in block]
        if shots in PUBLISHED:
            own = dict(zip(("FID", "SSIM", "CSIM"), PUBLISHED[shots], strict=True))
            cells = [f"*{own[name.split(' ', maxsplit=1)[0]]}*" for name in names]
            rows.append([f"*Zakharov et al. on VoxCeleb1 ({shots})*", *cells])
    return _grid(header, rows)


def further(results: Results) -> str:
    """A table of the metrics that the paper does not have."""
    names = [name for name in results.names if not name.startswith(("FID", "SSIM", "CSIM"))]
    rows = [_line(results, row, names) for row in results.evaluated]
    return _grid(["Method (T)", *map(_heading, names)], rows)


def notes(results: Results) -> Iterator[str]:
    """Yield the notes that a reader of the metrics needs."""
    people, frames = results.people, sum(member.frames for member in results.people)
    plan = results.plan
    yield (
        f"{_people_of(results)}, {frames} held-out frames, squares of {plan.size} px, seed {plan.seed}. "
        "The same person drives, so nothing is retargeted."
    )
    yield (
        "In brackets: 95% bootstrap intervals over people; with few people they are too narrow."
        if len(people) > 1
        else "One person gives no interval: figures say nothing of other people."
    )
    yield (
        "Shots and held-out frames come from different clips, in which room, clothes and light may differ; the paper "
        "takes both from one video, which is easier. Its lines are of other data and networks: for scale only."
    )
    if one_clip := [member.name for member in people if member.one_clip]:
        how = (
            f"both shots and held-out frames, {APART} s apart or more,"
            if plan.mixed
            else "both shots (first third) and held-out frames (last third)"
        )
        yield f"One clip gave {how} of {_safe(', '.join(one_clip))}."
    yield from _network_notes(results, frames)
    yield f"AKD, AED and APD are circular: one tracker drives and scores. AKD counts pixels of {TRACKED_SIDE}."
    if (still := results.still) is not None:
        yield (
            f"Flicker is that of pixels that are still in the truth, whose own is {still.mean:.2f}; a copy has none."
        )
    yield "Lost is the share of frames in which the tracker finds no face; they count in no figure of the tracker's."
    yield from _missing(results)


def _network_notes(results: Results, frames: int) -> Iterator[str]:
    if results.frechet:
        yield (
            f"{results.frechet} is the Frechet distance of that network's last features, pooled: no FID of Inception, "
            f"not comparable to any. {frames} frames for 512 features push it up, so only lines with the same people "
            "compare; its interval is moved so that its draws scatter about it."
        )
    else:
        yield "FID and perceptual distance are absent: no --features FILE (SqueezeNet 1.1)."
    if not any(name.startswith("CSIM") for name in results.names):
        yield "CSIM is absent: no --embedder FILE (MobileFaceNet)."


def _missing(results: Results) -> Iterator[str]:
    """Yield a note for each person with too few frames for the plan."""
    for member in results.people:
        lacking = [str(count) for count in results.plan.shots if count > member.shots]
        if lacking:
            yield (
                f"{_safe(member.name)} has {member.shots} frames to show: T = {', '.join(lacking)} is left out there."
            )
        if member.frames < results.plan.frames:
            yield f"{_safe(member.name)} has {member.frames} of {results.plan.frames} held-out frames: clips are short."


def _people(results: Results) -> str:
    rows = [[_safe(member.name), str(member.shots), str(member.frames)] for member in results.people]
    return _grid(["Person", "frames to show", "frames held out"], rows)


def _line(results: Results, row: ReportRow, names: Sequence[str]) -> list[str]:
    """A row of a table; if some people have too few shots, it says how many people count."""
    count = len(results.scores[row])
    people = "" if count == len(results.people) else f", {count} of {len(results.people)} people"
    return [_label(row) + people, *(_cell(results.estimate(row, name)) for name in names)]


def _label(row: ReportRow) -> str:
    if row.engine == COPY:
        return f"copy of the first shot ({row.shots})"
    return f"{row.engine}, {_mode(row)} ({row.shots})"


def _mode(row: ReportRow) -> str:
    return row.mode if row.mode == FEED_FORWARD else "fine-tuned"


def _between(later: ReportRow, earlier: ReportRow) -> str:
    if later.mode != earlier.mode:
        return f"{later.engine} ({later.shots}): {_mode(later)} less {_mode(earlier)}"
    return f"{later.engine}, {_mode(later)}: T = {later.shots} less {earlier.shots}"


def _heading(name: str, *, arrow: bool = True) -> str:
    kind = name.split(" ", maxsplit=1)[0]
    sign = "" if not arrow else " ↓" if kind in FALLS else " ↑" if kind in RISES else ""
    return f"{name}{' ' + UNITS[name] if name in UNITS else ''}{sign}"


def _cell(estimate: Estimate | None, *, signed: bool = False) -> str:
    if estimate is None:
        return "-"
    sign, digits = "+" if signed else "", _digits(estimate.mean)

    def rounded(value: float) -> str:
        return f"{value:{sign}.{digits}f}"

    if estimate.low is None or estimate.high is None:
        return rounded(estimate.mean)
    return f"{rounded(estimate.mean)} [{rounded(estimate.low)}, {rounded(estimate.high)}]"


def _digits(value: float) -> int:
    return 1 if abs(value) >= 100 else 2 if abs(value) >= 1 else 3


def _grid(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _people_of(results: Results) -> str:
    return "1 person" if len(results.people) == 1 else f"{len(results.people)} people"


def _safe(text: str) -> str:
    """Escape text for a table or a list."""
    return " ".join(text.split()).replace("|", "\\|")
