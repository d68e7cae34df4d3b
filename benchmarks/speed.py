"""Speed and memory of the whole command, `gioconda animate`, from decode to signed file, on two cores.

Each run is a process of its own: start of Python, loading of networks and signing all count. Decode, track
and encode alone (`baseline.py`) run in turn with it, for comparison, and with `--against` another version of
Gioconda. Long drivers are made by repeating a clip. Peak memory is read from /proc, so on Linux only.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from common import Bar, Clock, arguments, bars_table, cores, machine, markdown, say, two_cores, write_results

# As the command begins, before numpy is imported; another version may begin in another way.
BEGIN = """
import gioconda.__main__ as program
getattr(program, "start_no_threads", lambda: None)()
"""
# The real command; only the seconds of each stage are read off on its way out.
ANIMATE = """
import json, sys
from gioconda import cli, pipeline
carry_out = pipeline.run
def run(request):
    result = carry_out(request)
    print("STAGES " + json.dumps({**result.stages, "frames": result.frames}), flush=True)
    return result
pipeline.run = run
sys.argv[0] = "gioconda"
cli.main()
"""
BASELINE = Path(__file__).with_name("baseline.py")
FASTER = (1.5, 1.7)  # times as fast as the version of --against: the crop, the picture that is pasted back
PASTED, LARGE = (720, 1280), (1080, 1920)  # widths and heights of the pictures that are pasted back
# frames/s that are wanted of the crop, and of a picture that is pasted back
CROP_RATE, PASTED_RATE = 45.0, 20.0


@dataclass(frozen=True)
class Run:
    """One process: seconds of the wall, of processor, its frames, peak memory in MB, seconds by stage."""

    wall: float
    cpu: float
    frames: int
    peak: float
    stages: dict[str, float]

    @property
    def rest(self) -> float:
        """Seconds outside of all stages: start of Python, imports, exit."""
        return max(0.0, self.wall - sum(self.stages.values()))

    @property
    def rate(self) -> float:
        """Frames a second of the whole process."""
        return self.frames / self.wall


def memory(pid: int) -> int:
    """Peak resident kilobytes of a process so far, and of the processes that it started; 0 if unknown."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except OSError:
        return 0
    own = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")]
    return sum(own) + sum(memory(int(child)) for child in children)


def compiled(source: Path | None) -> dict[str, str]:
    """The environment of a measured process: Python keeps its bytecode, as it does of an installed package.

    source: folder of the package `gioconda` to use instead of the installed one.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment.setdefault("PYTHONPYCACHEPREFIX", str(Path(tempfile.gettempdir()) / "gioconda-bytecode"))
    return environment if source is None else {**environment, "PYTHONPATH": str(source.resolve())}


def run(command: list[str], source: Path | None = None) -> Run:
    """Run a command to its end and measure it; leaves the program with its message if it fails.

    source: folder of the package `gioconda` to use instead of the installed one.
    """
    environment = compiled(source)
    before, start, peak = os.times(), time.perf_counter(), 0
    with tempfile.TemporaryFile("w+") as told, tempfile.TemporaryFile("w+") as complaint:
        process = subprocess.Popen(command, stdout=told, stderr=complaint, env=environment)
        while process.poll() is None:
            peak = max(peak, memory(process.pid))
            time.sleep(0.02)
        wall = time.perf_counter() - start
        told.seek(0)
        complaint.seek(0)
        if process.returncode:
            sys.exit(f"{' '.join(command[-8:])} failed:\n{complaint.read()[-2000:]}")
        line = next(line for line in told if line.startswith("STAGES "))
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    stages = json.loads(line.removeprefix("STAGES "))
    return Run(wall, cpu, int(stages.pop("frames")), peak / 1024, stages)


def animate(portrait: Path, driver: Path, folder: Path, *options: str, source: Path | None = None) -> Run:
    """Measure `gioconda animate`, of the package in `source` where that is given."""
    out = folder / "out.mp4"
    words = ["animate", str(portrait), "--motion", str(driver), "-o", str(out), *options]
    return run([sys.executable, "-c", BEGIN + ANIMATE, *words], source)


def baseline(driver: Path, folder: Path, size: int) -> Run:
    """Measure decode, track and encode alone."""
    return run([sys.executable, str(BASELINE), str(driver), str(folder / "base.mp4"), str(size)])


def repeat_clip(source: Path, target: Path, seconds: float) -> Path:
    """`source` over and over until `seconds` are full; packets are copied, not encoded again."""
    with av.open(str(target), "w") as written:
        streams: dict[int, Any] = {}
        start = 0.0
        while start < seconds:
            with av.open(str(source)) as clip:
                chosen = [s for s in clip.streams if s.type in ("video", "audio")]
                for stream in chosen:
                    if stream.index not in streams:
                        streams[stream.index] = written.add_stream_from_template(stream)
                packets = [packet for packet in clip.demux(chosen) if packet.dts is not None]
                # Decoding begins before time 0 where frames are reordered: a copy must leave room for it.
                first = min(float(p.dts * p.time_base) for p in packets)
                length = max(float((p.pts + p.duration) * p.time_base) for p in packets) - first
                for packet in packets:
                    if start + float(packet.dts * packet.time_base) < seconds:
                        shift = round(start / packet.time_base)
                        packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                        packet.stream = streams[packet.stream.index]
                        written.mux(packet)
            start += length
    return target


def material(data: Path, folder: Path) -> tuple[Path, Path, Path]:
    """A driver of one face, a portrait for the crop, and a picture of 720x1280 to paste into.

    Without the folder of data: the packaged portrait, moved by a template, serves as all three.
    """
    if data.is_dir():
        return (
            data / "driving" / "d11.mp4",
            data / "portraits" / "photo_woman.jpg",
            data / "portraits" / "mona_lisa.jpg",
        )
    from gioconda.assets import asset_path

    portrait = asset_path("astronaut.jpg")
    image = cv2.imread(str(portrait))
    side = PASTED[0]
    border = PASTED[1] - side
    image = cv2.copyMakeBorder(cv2.resize(image, (side, side)), 0, border, 0, 0, cv2.BORDER_REPLICATE)
    cv2.imwrite(str(folder / "tall.png"), image)
    words = ["animate", str(portrait), "--motion", "talk", "-o", str(folder / "talk.mp4")]
    run([sys.executable, "-c", BEGIN + ANIMATE, *words])
    return folder / "talk.mp4", portrait, folder / "tall.png"


def enlarged(picture: Path, folder: Path) -> Path:
    """The picture at the size of LARGE."""
    image = cv2.resize(cv2.imread(str(picture)), LARGE, interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(folder / "large.png"), image)
    return folder / "large.png"


def voice(folder: Path, seconds: float) -> Path:
    """A text that the packaged synthesiser says, over and over until `seconds` are full."""
    from gioconda.media import write_sound
    from gioconda.speech.voice import say as spoken

    made = spoken("I have been sitting here for five hundred years, and nobody has asked me why I smile.")
    write_sound(folder / "voice.wav", np.resize(made.samples, int(seconds * made.rate)), made.rate)
    return folder / "voice.wav"


def best(runs: list[Run]) -> Run:
    """The quickest: what else the machine does only adds."""
    return min(runs, key=lambda r: r.wall)


def measure(options: Any, folder: Path) -> dict[str, Run]:
    """All cases, by name."""
    clip, portrait, tall = material(options.data, folder)
    clip = options.driver or clip
    drivers = {s: repeat_clip(clip, folder / f"{s}.mp4", s) for s in options.seconds}
    short, cases = drivers[min(drivers)], {}
    pairs, pasted = [], []
    size = str(options.size)
    before: list[tuple[Run, Run]] = []
    for _ in range(options.repeats):
        alone = baseline(short, folder, options.size)
        pairs.append((alone, animate(portrait, short, folder, "--crop", "--size", size)))
        old = options.against
        if old is not None:
            older_crop = animate(portrait, short, folder, "--crop", "--size", size, source=old)
            before.append((older_crop, animate(tall, short, folder, source=old)))
        pasted.append(animate(tall, short, folder))
        say(f"baseline {alone.rate:.1f}, crop {pairs[-1][1].rate:.1f}, pasted {pasted[-1].rate:.1f} frames/s")
    cases["decode, track, encode alone"] = best([alone for alone, _ in pairs])
    cases[f"crop {size} px"] = best([made for _, made in pairs])
    cases[f"pasted, {PASTED[0]}x{PASTED[1]}"] = best(pasted)
    cases[f"pasted, {LARGE[0]}x{LARGE[1]}"] = animate(enlarged(tall, folder), short, folder)
    if before:
        cases[f"before: crop {size} px"] = best([crop for crop, _ in before])
        cases[f"before: pasted, {PASTED[0]}x{PASTED[1]}"] = best([whole for _, whole in before])
    cases[f"crop {size} px, a voice of {min(drivers)} s"] = animate(
        portrait, voice(folder, min(drivers)), folder, "--crop", "--size", size
    )
    for seconds, driver in sorted(drivers.items()):
        if driver != short:
            cases[f"crop {size} px, {seconds} s"] = animate(
                portrait, driver, folder, "--crop", "--size", size
            )
            say(f"{seconds} s: {cases[f'crop {size} px, {seconds} s']}")
    return cases


def bars(cases: dict[str, Run]) -> list[Bar]:
    """The bounds on speed and memory."""
    alone, crop, pasted, large, *_ = cases.values()
    before = [(name, run) for name, run in cases.items() if name.startswith("before")]
    peaks = [run.peak for name, run in cases.items() if not name.startswith(("decode", "before"))]
    return [
        Bar("frames/s, crop", crop.rate, CROP_RATE),
        Bar("time against decode, track and encode alone", crop.wall / alone.wall, 2.0, at_most=True),
        Bar("frames/s, pasted back", pasted.rate, PASTED_RATE),
        Bar(f"frames/s, pasted back, {LARGE[1]} high", large.rate, PASTED_RATE),
        Bar("peak memory, MB", max(peaks), 1000.0, at_most=True),
        *(
            Bar(f"{name.removeprefix('before: ')}: {unit} before / now", value, least)
            for (name, old), now, least in zip(before, (crop, pasted), FASTER, strict=False)
            for unit, value in (("seconds", old.wall / now.wall), ("processor s", old.cpu / now.cpu))
        ),
    ]


def report(cases: dict[str, Run], held: list[Bar]) -> str:
    """The tables in markdown."""
    names = list(dict.fromkeys(stage for run in cases.values() for stage in run.stages))
    rows = [[n, r.frames, r.wall, r.rate, r.cpu, f"{r.peak:.0f}"] for n, r in cases.items()]
    stages = [
        [name, *(1000 * run.stages.get(s, np.nan) / run.frames for s in names), 1000 * run.rest / run.frames]
        for name, run in cases.items()
    ]
    return "\n\n".join(
        (
            f"Whole process on {cores()} cores, from the start of Python to the signed file.",
            markdown(("", "frames", "seconds", "frames/s", "processor s", "peak MB"), rows),
            "Milliseconds a frame by stage, as waited for (other threads overlap); rest: start and exit.",
            markdown(("", *names, "rest"), stages),
            bars_table(held),
        )
    )


def main() -> None:
    """Read the command line, run, and write the tables."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--driver", type=Path, help="clip that is repeated (default driving/d11.mp4)")
    parser.add_argument("--size", type=int, default=512, help="of the crop, in pixels")
    parser.add_argument("--repeats", type=int, default=2, help="of the short runs; the quickest counts")
    parser.add_argument("--against", type=Path, help="src folder of another version, which runs in turn")
    parser.add_argument("--seconds", type=int, nargs="+", default=[10, 60], help="lengths of driver")
    parser.add_argument("--long", action="store_true", help="add a driver of 600 s (ten minutes)")
    options = parser.parse_args()
    if options.long:
        options.seconds = [*options.seconds, 600]
    load = machine()["load"]
    if load > 0.5:
        say(f"load average {load:.1f}: something else is running, so these figures will be too low")
    two_cores()
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        cases = measure(options, Path(folder))
    held = bars(cases)
    plain = {name: {**vars(run), "rate": run.rate} for name, run in cases.items()}
    write_results(
        options.out, "speed", {"cases": plain, "bars": held, "seconds": clock.seconds}, report(cases, held)
    )


if __name__ == "__main__":
    main()
