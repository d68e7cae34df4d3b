"""Feeds damaged files to every reader and tells what got through that is not one of our own errors.

    python tests/fuzz.py --count 10000

Workers read case after case, each in bounded time and memory; one that dies or hangs is told with its case, and
replaced. Only errors of `gioconda.errors` may come out of a reader, and nothing may be said on the terminal.
`--replay SEED:HOW:INDEX` runs one case again, with the traceback, and `--keep` writes its file.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import select
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from corpus import mutants, seeds
from corpus.mutants import Case

HERE = Path(__file__).resolve()
SECONDS = 60.0  # of processor time a case, after which it counts as hung
PATIENCE = 10  # times as long by the clock, for machines with much else to do
SLOW = 10.0  # of processor time
MEMORY = 3 * 2**30  # bytes that a case may ask for above what the worker holds
WHOLE = 100  # every so-manieth case runs a whole command


@dataclass
class Outcome:
    """What became of a case: read, refused, escaped, died, hung, slow or noisy; and how."""

    case: Case
    how: str
    detail: str = ""
    seconds: float = 0.0
    peak: int = 0  # bytes above what was held before
    whole: bool = False


@dataclass
class Report:
    """All outcomes of a run."""

    outcomes: list[Outcome] = field(default_factory=list)

    def bad(self) -> list[Outcome]:
        return [one for one in self.outcomes if one.how not in ("read", "refused")]

    def table(self, kinds: dict[str, str]) -> str:
        """A line for each kind of file."""
        lines = [
            "| kind | tried | read | refused | escaped | died | hung | slowest s | most MiB |",
            "|---" * 9 + "|",
        ]
        for kind in dict.fromkeys(kinds.values()):
            some = [one for one in self.outcomes if kinds[one.case.seed] == kind]
            if some:
                count = Counter(one.how for one in some)
                escaped = len(some) - sum(count[how] for how in ("read", "refused", "died", "hung"))
                slowest, most = max(one.seconds for one in some), max(one.peak for one in some) >> 20
                told = [len(some), count["read"], count["refused"], escaped, count["died"], count["hung"]]
                lines.append(f"| {kind} | {' | '.join(map(str, told))} | {slowest:.1f} | {most} |")
        return "\n".join(lines)


class Worker:
    """A process that reads cases, replaced where it dies."""

    def __init__(self, good: Path, log: Path) -> None:
        self._good, self._log = good, log
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, case: Case, *, whole: bool) -> Outcome:
        process = self._alive()
        assert process.stdin is not None
        assert process.stdout is not None
        word = f"{case} {int(whole)}\n".encode()
        process.stdin.write(word)
        process.stdin.flush()
        ready = self._answers(process)
        line = process.stdout.readline() if ready else b""
        if line:
            return Outcome(case, whole=whole, **json.loads(line))
        if not ready:
            process.kill()
        code = process.wait(SECONDS)
        self._process = None
        stack = " | ".join(self._log.read_text(errors="replace").split("\n")[-12:])
        return Outcome(
            case, "died" if ready else "hung", f"exit {code}: {stack[-600:]}", SECONDS, whole=whole
        )

    def _answers(self, process: subprocess.Popen[bytes]) -> bool:
        """Whether the worker says something, or ends, before its time is over."""
        start, before = time.monotonic(), _processor_seconds(process.pid)
        while time.monotonic() - start < SECONDS * PATIENCE:
            if select.select([process.stdout], [], [], 1.0)[0]:
                return True
            if _processor_seconds(process.pid) - before > SECONDS:
                return False
        return False

    def _alive(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            line = [sys.executable, "-X", "faulthandler", str(HERE), "--worker", str(self._good)]
            with self._log.open("wb") as log:
                self._process = subprocess.Popen(
                    line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
                )
        return self._process

    def close(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.wait(SECONDS)


def _processor_seconds(process: int) -> float:
    """What a process has used so far, all threads together; where that is not told, the clock's."""
    try:
        words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return time.monotonic()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def fuzz(cases: Sequence[Case], good: Path, *, workers: int = 1, tell: bool = False) -> Report:
    """Run all cases, several workers side by side."""
    kinds, waiting, report = seeds.make(good), queue.SimpleQueue(), Report()
    for number, case in enumerate(cases):
        waiting.put((number, case))

    def work(name: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            worker = Worker(good, Path(folder) / "log")
            while True:
                try:
                    number, case = waiting.get_nowait()
                except queue.Empty:
                    worker.close()
                    return
                # an offset by round, so that over time every seed has its turn
                whole = (number + number // len(kinds)) % WHOLE == 0
                report.outcomes.append(worker.run(case, whole=whole))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(workers)]
    for thread in threads:
        thread.start()
    told = 0
    while any(thread.is_alive() for thread in threads):
        time.sleep(0.2)
        done = len(report.outcomes)
        if tell and done - told >= 500:
            told = done
            print(f"{done} of {len(cases)}, {len(report.bad())} bad", file=sys.stderr)
    return report


def serve(good: Path) -> None:
    """The worker: a case a line in, an outcome a line out. Whatever libraries write themselves is caught."""
    from corpus import readers

    answers = os.fdopen(os.dup(1), "w")
    kinds = {name: kind for name, (kind, _) in seeds.SEEDS.items()}
    with tempfile.TemporaryDirectory() as place, readers.own_home(Path(place) / "home"):
        folder = Path(place) / "case"
        folder.mkdir()
        noise = (Path(place) / "noise").open("w+b")
        os.dup2(noise.fileno(), 1)
        stack = os.fdopen(os.dup(2), "w")
        import faulthandler

        faulthandler.enable(stack)
        for kind, name in {kind: name for name, kind in kinds.items()}.items():
            shutil.copy(good / name, folder)
            readers.read(kind, folder / name, good, whole=False)  # imports, caches
        os.dup2(noise.fileno(), 2)
        _hold_memory()
        for line in sys.stdin:
            word, whole = line.split()
            case = Case.parse(word)
            faulthandler.dump_traceback_later(SECONDS - 5, file=stack)
            outcome = _one(case, kinds[case.seed], good, folder, whole == "1", noise)
            faulthandler.cancel_dump_traceback_later()
            answers.write(json.dumps(outcome) + "\n")
            answers.flush()


def _one(case: Case, kind: str, good: Path, folder: Path, whole: bool, noise: Any) -> dict[str, Any]:
    from corpus import readers

    path = folder / case.seed
    path.write_bytes(mutants.mutant(case, (good / case.seed).read_bytes()))
    noise.seek(0)
    noise.truncate()
    before, start = _memory(fresh=True), time.process_time()
    detail = ""
    try:
        how = readers.read(kind, path, good, whole=whole)
    except BaseException as error:
        how, detail = "escaped", "".join(traceback.format_exception(error)[-4:])[-1500:]
    seconds = time.process_time() - start
    peak = max(_memory(fresh=False) - before, 0)
    noise.seek(0, os.SEEK_END)
    if noise.tell() and how in ("read", "refused"):
        noise.seek(0)
        how, detail = "noisy", noise.read(600).decode(errors="replace")
    elif seconds > SLOW and how in ("read", "refused") and not whole:
        how, detail = "slow", f"{seconds:.1f} s"
    for left in folder.iterdir():
        if left.name.startswith(".") and how in ("read", "refused"):
            how, detail = "left", left.name
        left.unlink()
    return {"how": how, "detail": detail, "seconds": round(seconds, 2), "peak": peak}


def _hold_memory() -> None:
    """No case may ask for more than MEMORY above what is mapped now."""
    try:
        import resource

        mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except (ImportError, OSError):  # not on Linux: nothing is held
        return
    resource.setrlimit(resource.RLIMIT_AS, (mapped + MEMORY, mapped + MEMORY))


def _memory(*, fresh: bool) -> int:
    """Bytes of memory: those held now, the peak being forgotten, or the peak since then."""
    try:
        if fresh:
            Path("/proc/self/clear_refs").write_text("5")
        words = Path("/proc/self/status").read_text().split("\n")
        wanted = "VmRSS:" if fresh else "VmHWM:"
        return next(int(word.split()[1]) for word in words if word.startswith(wanted)) * 1024
    except (OSError, StopIteration):
        return 0


def _tell(report: Report, kinds: dict[str, str]) -> None:
    print(report.table(kinds))
    seen: Counter[str] = Counter()
    for one in report.bad():
        last = one.detail.strip().split("\n")[-1][:100] if one.detail else ""
        seen[f"{kinds[one.case.seed]} {one.how} {last}"] += 1
        if seen[f"{kinds[one.case.seed]} {one.how} {last}"] <= 3:
            print(f"\n{one.how}: {one.case}{' (whole command)' if one.whole else ''}\n{one.detail}")
    for what, count in seen.most_common():
        print(f"{count:6} {what}")


def _chosen(arguments: argparse.Namespace) -> Iterator[Case]:
    if arguments.replay:
        yield from map(Case.parse, arguments.replay)
        return
    count = None if arguments.all else arguments.count
    wanted = [name for name, (kind, _) in seeds.SEEDS.items() if arguments.kind in (None, kind)]
    yield from mutants.cases(wanted, count, arguments.start)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--all", action="store_true", help="all cuts, and 1,000 flips of each seed")
    parser.add_argument("--start", type=int, default=0, help="the first flip's number: other cases")
    parser.add_argument("--kind", help="only seeds of this kind")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seeds", type=Path, help="where the whole files lie, or are made")
    parser.add_argument("--replay", nargs="*", help="cases to run again, as SEED:HOW:INDEX")
    parser.add_argument("--keep", type=Path, help="folder for the files of the cases replayed")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        serve(arguments.worker)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        good = arguments.seeds or Path(folder)
        kinds = seeds.make(good)
        chosen = list(_chosen(arguments))
        for case in chosen if arguments.keep else ():
            arguments.keep.mkdir(parents=True, exist_ok=True)
            (arguments.keep / case.seed).write_bytes(mutants.mutant(case, (good / case.seed).read_bytes()))
        report = fuzz(chosen, good, workers=arguments.workers, tell=True)
        _tell(report, kinds)
    return 1 if report.bad() else 0


if __name__ == "__main__":
    sys.exit(main())
