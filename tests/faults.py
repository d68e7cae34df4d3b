"""Real runs of the program under faults: killed, on a full disk, in a folder without permission, eight at once.

    python tests/faults.py kill --count 20
    python tests/faults.py disk
    python tests/faults.py together

Each prints a row: what was tried, how many ended in a way that they must not.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gioconda
from corpus import seeds
from gioconda import media
from gioconda.motion import store
from gioconda.types import Motion

OUTPUT = 5
SUFFIXES = (".mp4", ".webm", ".gif")


def take(frames: int, start: int = 0) -> Motion:
    """Some frames of the template `talk`."""
    from gioconda.motion.templates import template

    whole = template("talk")
    names = ("times", "rotation", "translation", "scale", "expression", "gaze", "confidence")
    part = {name: getattr(whole, name)[start : start + frames] for name in names}
    return whole.with_(**{**part, "times": part["times"] - part["times"][0]})


def command(folder: Path, out: Path, frames: int = 40) -> list[str]:
    """A small job that writes `out`; what it reads is made in `folder`."""
    face, motion = folder / "face.png", folder / f"take{frames}.npz"
    if not face.exists():
        media.write_picture(face, seeds.portrait(192))
    if not motion.exists():
        store.save(take(frames), motion)
    line = [sys.executable, "-m", "gioconda", "animate", face, "--motion", motion]
    return [str(word) for word in [*line, "--crop", "--size", "128", "-o", out]]


def environment() -> dict[str, str]:
    """That of the program's runs: the package that is tested."""
    return {**os.environ, "PYTHONPATH": str(Path(media.__file__).parents[2])}


def run(line: list[str], **options) -> subprocess.CompletedProcess[str]:
    """One run of a command line to its end."""
    return subprocess.run(
        line, capture_output=True, text=True, timeout=240, check=False, env=environment(), **options
    )


def killed(folder: Path, suffix: str, wait: float, *, old: bool) -> str:
    """SIGKILL `wait` seconds after the first file of the job appeared: absent, old or complete, else `LOST`.

    The next job in the folder must sweep what is left there.
    """
    place = Path(tempfile.mkdtemp(dir=folder))
    out = place / f"out{suffix}"
    if old:
        out.write_text("old")
    line = command(folder, out)
    process = subprocess.Popen(
        line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment(), start_new_session=True
    )
    deadline = time.monotonic() + 60
    while process.poll() is None and not _started(place) and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(wait)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(60)
    found = state(out)
    left = [path.name for path in place.iterdir() if path.name.startswith(".")]
    media.check_output(place / "next.mp4")
    unswept = [path.name for path in place.iterdir() if path.name.startswith(".")]
    if unswept:
        return f"LOST: {unswept} is not swept"
    return f"{found}, {len(left)} swept" if left else found


def _started(place: Path) -> bool:
    """Whether a file of the job is there and stays: the one by which a folder is tried is gone at once."""
    hidden = {path.name for path in place.iterdir() if path.name.startswith(".")}
    time.sleep(0.02)
    return any(path.name in hidden for path in place.iterdir())


def state(out: Path) -> str:
    """absent, old, complete (whole, and signed), or LOST."""
    if not out.exists():
        return "absent"
    if out.read_bytes() == b"old":
        return "old"
    verdict = gioconda.verify(out)
    frames = sum(1 for _ in media.read_frames(out))
    return "complete" if verdict.status == "ours" and frames == 40 else f"LOST: {verdict.status}, {frames}"


def kill(count: int, seed: int) -> bool:
    """SIGKILL at random moments."""
    rng, seen = random.Random(seed), Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for i in range(count):
            suffix = SUFFIXES[i % len(SUFFIXES)]
            length = _seconds(folder, suffix)
            how = killed(folder, suffix, rng.uniform(0, length), old=i % 2 == 0)
            seen[how] += 1
            print(f"{i + 1:3} {suffix:5} {how}", file=sys.stderr)
    lost = sum(number for how, number in seen.items() if how.startswith("LOST"))
    print(f"| SIGKILL | {count} | {lost} lost | {'; '.join(f'{n} {how}' for how, n in seen.most_common())} |")
    return not lost


_LENGTHS: dict[str, float] = {}


def _seconds(folder: Path, suffix: str) -> float:
    """How long a job lasts from its first file on; a little more, so that some are killed when all is done."""
    if suffix not in _LENGTHS:
        place = Path(tempfile.mkdtemp(dir=folder))
        process = subprocess.Popen(
            command(folder, place / f"out{suffix}"), stdout=subprocess.DEVNULL, env=environment()
        )
        while process.poll() is None and not _started(place):
            time.sleep(0.002)
        start = time.monotonic()
        process.wait(240)
        _LENGTHS[suffix] = 1.1 * (time.monotonic() - start)
    return _LENGTHS[suffix]


@contextlib.contextmanager
def small_disk(kilobytes: int) -> Iterator[Path | None]:
    """A file system of so many KiB; None where none can be mounted."""
    with tempfile.TemporaryDirectory() as name:
        line = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", name]
        mounted = not subprocess.run(line, capture_output=True, check=False).returncode
        try:
            yield Path(name) if mounted else None
        finally:
            if mounted:
                subprocess.run(["umount", name], check=True)


def full_disk(folder: Path, suffix: str, kilobytes: int) -> str:
    """A job on a disk of so many KiB: "" if it was refused in one line and left what was there."""
    with small_disk(kilobytes) as place:
        if place is None:
            return "skipped: no file system can be mounted"
        out = place / f"out{suffix}"
        out.write_text("old")
        done = run(command(folder, out))
        if not done.returncode and state(out) == "complete":
            return ""  # it had room enough
        return wrong(done, out, "full", "space")


def read_only(folder: Path) -> str:
    """A job whose output lies on a file system that may only be read."""
    with small_disk(64) as place:
        if place is None:
            return "skipped: no file system can be mounted"
        out = place / "out.mp4"
        out.write_text("old")
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        return wrong(run(command(folder, out)), out, "read-only")


def wrong(done: subprocess.CompletedProcess[str], out: Path, *words: str) -> str:
    """What is the matter with a run that could not write; "" if nothing is."""
    told = done.stderr.lower()
    if done.returncode != OUTPUT or len(told.splitlines()) != 1 or not any(word in told for word in words):
        return f"exit code {done.returncode}: {done.stderr[-300:]}"
    left = sorted(path.name for path in out.parent.iterdir())
    return "" if left == [out.name] and out.read_bytes() == b"old" else f"left {left}"


def closed_pipe(folder: Path) -> str:
    """A job whose reader has gone: no traceback, and a complete file or none."""
    out = folder / "piped.mp4"
    process = subprocess.Popen(
        command(folder, out), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    )
    process.stdout.close()
    process.stdout = None
    try:
        told = process.communicate(timeout=240)[1].decode()
    finally:
        process.kill()
    return "" if not told and state(out) in ("complete", "absent") else f"{state(out)}: {told[-300:]}"


def disk() -> bool:
    """Full disks, a read-only one, a closed pipe."""
    found: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for suffix in SUFFIXES:
            for kilobytes in (8, 20, 36):
                found[f"{kilobytes} KiB, {suffix}"] = full_disk(folder, suffix, kilobytes)
        found["read-only"] = read_only(folder)
        found["closed pipe"] = closed_pipe(folder)
    bad = {what: how for what, how in found.items() if how}
    print(f"| full disk, read-only disk, closed pipe | {len(found)} | {len(bad)} lost | {bad or ''} |")
    return not bad


def pixels(path: Path) -> str:
    """A hash of all decoded frames and their times."""
    digest = hashlib.sha256()
    with media.read_frames(path) as frames:
        for frame in frames:
            digest.update(f"{frame.time:.4f} {frame.image.shape}".encode() + frame.image.tobytes())
    return digest.hexdigest()


def job(out: Path, number: int) -> str:
    """One of several jobs that differ, and the hash of what it made."""
    if number % 2:
        driver = out.with_name(f"driver{number}.mp4")
        gioconda.animate(seeds.portrait(192), driver, out, crop=True, size=128)
    else:
        gioconda.animate(seeds.portrait(192), take(12, 3 * number), out, crop=True, size=128)
    return pixels(out)


def drivers(folder: Path, count: int) -> None:
    """Videos that odd jobs are driven by."""
    for number in range(1, count, 2):
        seeds.write_clip(folder / f"driver{number}.mp4", seeds.wandering(8 + number, 160))


def together(count: int, *, processes: bool = True) -> dict[str, list[int]]:
    """Jobs one after another, then at once in threads, then in processes: the numbers of those that differ."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        drivers(folder, count)
        alone = [job(folder / f"alone{i}.mp4", i) for i in range(count)]
        with ThreadPoolExecutor(count) as pool:
            threads = list(pool.map(lambda i: job(folder / f"thread{i}.mp4", i), range(count)))
        made = {"threads": threads}
        if processes:
            lines = [
                [
                    sys.executable,
                    __file__,
                    "job",
                    "--out",
                    str(folder / f"process{i}.mp4"),
                    "--number",
                    str(i),
                ]
                for i in range(count)
            ]
            with ThreadPoolExecutor(count) as pool:
                made["processes"] = [done.stdout.strip() for done in pool.map(run, lines)]
    assert len(set(alone)) == count, "jobs that are all different"
    return {how: [i for i in range(count) if hashes[i] != alone[i]] for how, hashes in made.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("kill", "disk", "together", "job"))
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--number", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.what == "job":
        print(job(arguments.out, arguments.number))
        return 0
    if arguments.what == "kill":
        return not kill(arguments.count, arguments.seed)
    if arguments.what == "disk":
        return not disk()
    differ = together(8)
    for how, numbers in differ.items():
        print(f"| 8 jobs at once, {how} | 8 | {len(numbers)} lost | {numbers or ''} |")
    return any(differ.values())


if __name__ == "__main__":
    sys.exit(main())
