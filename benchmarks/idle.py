"""What a server that does nothing takes: processor time of `gioconda serve` and its workers while nobody asks.

    python benchmarks/idle.py --seconds 60 --against ../before/src

The server has two workers and may send webhooks, so that each of its threads waits for something. With `--against`, the
server of another version idles at the same time. Reads /proc, so Linux only.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

from common import arguments, machine, markdown, say, write_results

READY_SECONDS = 120.0  # that a server may take to start
SETTLE_SECONDS = 5.0  # that workers may still be busy after that
TOKEN = "idle-benchmark-token"  # noqa: S105 (of a server that only this machine reaches)


@contextmanager
def server(source: Path | None) -> Iterator[psutil.Process]:
    """A server that is ready; source: folder of the package `gioconda` to use instead of the installed one."""
    environment = {**os.environ, "GIOCONDA_TOKEN": TOKEN}
    if source is not None:
        environment["PYTHONPATH"] = str(source.resolve())
    words = ["serve", "--port", "0", "--workers", "2", "--webhook-host", "hooks.example", "--data"]
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, "-m", "gioconda", *words, folder],
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        try:
            yield _ready(psutil.Process(process.pid))
        finally:
            process.terminate()
            process.wait()


def _ready(process: psutil.Process) -> psutil.Process:
    """The server, once both workers have loaded what they need and do nothing more."""
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until:
        before = taken(process)
        time.sleep(SETTLE_SECONDS)
        if len(process.children()) == 2 and taken(process)[0] - before[0] < 0.02 * SETTLE_SECONDS:
            return process
    sys.exit("the server does not come to rest; GIOCONDA_DEBUG=1 gioconda serve says why")


def taken(process: psutil.Process) -> tuple[float, int]:
    """Seconds of processor and switches of context so far, of a process, its threads and its children."""
    seconds, switches = 0.0, 0
    for one in (process, *process.children(recursive=True)):
        for thread in Path(f"/proc/{one.pid}/task").iterdir():
            # The scheduler counts nanoseconds; the kernel's other clocks count hundredths of a second.
            seconds += int((thread / "schedstat").read_text().split()[0]) / 1e9
            status = (thread / "status").read_text()
            switches += sum(int(line.split()[1]) for line in status.splitlines() if "ctxt_switches" in line)
    return seconds, switches


def main() -> None:
    """Read the command line, run, and write the table."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--seconds", type=float, default=60.0, help="of idleness that are measured")
    parser.add_argument("--against", type=Path, help="src folder of another version, which idles beside")
    options = parser.parse_args()
    versions = {"this version": None}
    if options.against is not None:
        versions = {"before": options.against, **versions}
    with ExitStack() as stack:
        servers = {name: stack.enter_context(server(source)) for name, source in versions.items()}
        say("idle")
        before, since = {name: taken(process) for name, process in servers.items()}, time.monotonic()
        time.sleep(options.seconds)
        after, passed = {name: taken(process) for name, process in servers.items()}, time.monotonic() - since
    used = {
        name: (after[name][0] - before[name][0], (after[name][1] - before[name][1]) / passed)
        for name in servers
    }
    rows = [
        [name, seconds, f"{100 * seconds / passed:.3f}", switches]
        for name, (seconds, switches) in used.items()
    ]
    table = markdown(("", "processor s", "percent of a core", "wake-ups a second"), rows)
    write_results(options.out, "idle", {"machine": machine(), "seconds": passed, "used": used}, table)


if __name__ == "__main__":
    main()
