"""Processor time of each stage of `gioconda animate`, a frame, and how busy two cores are.

Each run is a process of its own. Times are those of the thread that a function runs in, without the stages that it
calls, so that they add up. Threads of libraries (decoding, encoding) and all work outside of the named functions are
the rest. Other work on the machine makes processor time longer, too: with --against, another version runs in turn, and
the least of all runs counts. On Linux only.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import Clock, arguments, cores, markdown, say, two_cores, write_results
from speed import BEGIN, compiled, material, repeat_clip

# Stage, then the functions that make it up, as module:function or module:class.function, of the package `gioconda`.
STAGES: dict[str, tuple[str, ...]] = {
    "decode": ("media.video_in:VideoReader.__next__",),
    "track": ("tracking:_Follower.process", "face.tracker:find_landmarks"),
    "fit the motion": ("inputs.motion:track_to_motion",),
    "load the portrait": ("portraits:load_portraits",),
    "prepare the portrait": ("engines.warp.engine:WarpEngine._prepared",),
    "open networks": ("face.models:open_graph", "engines.warp.refiner:open_graph"),
    "retarget": ("motion.retarget:RetargetedMotion.target",),
    "wrinkles": ("engines.warp.frame:transfer_wrinkles", "engines.warp.reveal:transfer_wrinkles"),
    "maps": ("engines.warp.frame:target_maps",),
    "sampling": ("engines.warp.engine:warp_frame",),
    "background": ("engines.warp.frame:composite_layers",),
    "eyes": ("engines.warp.frame:shut_eye", "engines.warp.frame:paint_eye"),
    "lips and mouth": ("engines.warp.frame:seal_lips", "engines.warp.frame:paint_mouth"),
    "hidden side": ("engines.warp.maps:reveal", "engines.warp.frame:composite_mirrored_side"),
    "refiner's crop": ("engines.warp.engine:crop_stage",),
    "refiner's network": ("engines.warp.refiner:Network.__call__",),
    "refiner, the rest": ("engines.warp.refiner:Repair.repair",),
    "composite": ("composite:compose", "composite:enlarge"),
    "watermark": ("output:Marker.mark",),
    "encode": ("media.encode:StreamEncoder.prepare", "media.encode:StreamEncoder.add"),
    "sign": ("output:Output._publish",),
}
# The command, with a clock around each stage's functions; the imports are timed as a stage.
TIMED = """
import importlib, json, sys, threading, time
from gioconda import cli, pipeline
import gioconda.engines.warp.engine
imports, stages = time.process_time(), json.loads(sys.argv.pop(1))
spent, phases, local = {"imports": imports}, {}, threading.local()

def timed(stage, function):
    def run(*words, **options):
        stack = local.__dict__.setdefault("stack", [])
        stack.append(0.0)
        start = time.thread_time()
        try:
            return function(*words, **options)
        finally:
            took, inner = time.thread_time() - start, stack.pop()
            spent[stage] = spent.get(stage, 0.0) + took - inner
            if stack:
                stack[-1] += took
    return run

def phase(name, module, function):
    original = getattr(module, function)
    def run(*words, **options):
        start = time.monotonic()
        try:
            return original(*words, **options)
        finally:
            phases[name] = (start, time.monotonic())
    setattr(module, function, run)

for stage, names in stages.items():
    for name in names:
        module, path = name.split(":")
        owner, *inner = path.split(".")
        owner, leaf = importlib.import_module(f"gioconda.{module}"), [owner, *inner]
        for part in leaf[:-1]:
            owner = getattr(owner, part)
        setattr(owner, leaf[-1], timed(stage, getattr(owner, leaf[-1])))
phase("tracking", pipeline, "plan")
phase("rendering", importlib.import_module("gioconda.output"), "_encode")
carry_out = pipeline.run
def run(request):
    result = carry_out(request)
    report = {"spent": spent, "all": time.process_time(), "frames": result.frames, "phases": phases}
    print("STAGES " + json.dumps(report), flush=True)
    return result
pipeline.run = run
sys.argv[0] = "gioconda"
cli.main()
"""


def threads_at_work(pid: int) -> int:
    """The number of a process's threads that run, or would if a core were free; one that waits for a lock does not."""
    states = []
    for file in Path(f"/proc/{pid}/task").glob("*/stat"):
        try:
            states.append(file.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0])
        except (OSError, IndexError):
            continue
    return states.count("R")


def run(words: list[str], source: Path | None) -> dict[str, Any]:
    """Run the command once; returns milliseconds a frame by stage, and how busy each phase keeps two cores, 0 to 1.

    words: of the command line. source: folder of the package `gioconda`, or None for the installed one.
    """
    command = [sys.executable, "-c", BEGIN + TIMED, json.dumps(STAGES), *words]
    seen: list[tuple[float, int]] = []
    with tempfile.TemporaryFile("w+") as told:
        process = subprocess.Popen(command, stdout=told, env=compiled(source))
        while process.poll() is None:
            seen.append((time.monotonic(), threads_at_work(process.pid)))
            time.sleep(0.003)
        told.seek(0)
        if process.returncode:
            sys.exit(f"{' '.join(words)} failed")
        report = json.loads(next(line for line in told if line.startswith("STAGES ")).removeprefix("STAGES "))
    frames = report["frames"]
    result = {stage: 1000 * seconds / frames for stage, seconds in report["spent"].items()}
    result["all"] = 1000 * report["all"] / frames
    result["rest"] = result["all"] - sum(value for stage, value in result.items() if stage != "all")
    for name, (start, end) in report["phases"].items():
        busy = [min(count, 2) for at, count in seen if start <= at < end]
        result[f"busy {name}"] = sum(busy) / max(2 * len(busy), 1)
    return result


def least(runs: list[dict[str, Any]]) -> dict[str, float]:
    """The least of each stage over several runs, and the mean share of busy cores."""
    names = dict.fromkeys(name for one in runs for name in one)
    values = {name: [one[name] for one in runs if name in one] for name in names}
    return {n: sum(v) / len(v) if n.startswith("busy") else min(v) for n, v in values.items()}


def measure(options: Any, folder: Path) -> dict[str, dict[str, float]]:
    """All cases by name, each version in turn."""
    clip, portrait, tall = material(options.data, folder)
    driver = repeat_clip(clip, folder / "driver.mp4", options.seconds)
    out = ["--motion", str(driver), "-o", str(folder / "out.mp4")]
    cases = {
        "crop 512 px": ["animate", str(portrait), *out, "--crop", "--size", "512"],
        "pasted, 720x1280": ["animate", str(tall), *out],
    }
    versions = (
        {"before": options.against, "now": options.source} if options.against else {"now": options.source}
    )
    runs: dict[str, list[dict[str, Any]]] = {}
    for _ in range(options.repeats):
        for case, words in cases.items():
            for version, source in versions.items():
                runs.setdefault(f"{case}, {version}", []).append(run(words, source))
                say(f"{case}, {version}: {runs[f'{case}, {version}'][-1]['all']:.1f} ms a frame")
    return {name: least(found) for name, found in runs.items()}


def report(cases: dict[str, dict[str, float]]) -> str:
    """The table in markdown."""
    names = ["imports", *STAGES, "rest", "all"]
    rows = [[name, *(case.get(name, float("nan")) for case in cases.values())] for name in names]
    busy = [
        [f"share of two cores, {name}", *(case[f"busy {name}"] for case in cases.values())]
        for name in ("tracking", "rendering")
    ]
    return f"Processor milliseconds a frame, {cores()} cores.\n\n{markdown(('', *cases), [*rows, *busy])}"


def main() -> None:
    """Read the command line, run, and write the table."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--seconds", type=int, default=10, help="of the driver")
    parser.add_argument("--repeats", type=int, default=3, help="of each case; the least counts")
    parser.add_argument("--source", type=Path, help="src folder of this version (default: the installed one)")
    parser.add_argument("--against", type=Path, help="src folder of another version, which runs in turn")
    options = parser.parse_args()
    two_cores()
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        cases = measure(options, Path(folder))
    write_results(options.out, "stages", {"cases": cases, "seconds": clock.seconds}, report(cases))


if __name__ == "__main__":
    main()
