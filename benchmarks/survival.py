"""Whether films arrive on the page while its network, its server or the page itself fail, without a press of the user.

Example: python benchmarks/survival.py
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

import survival
from common import markdown, write_results
from page_world import Server, Visitor, browser

# What happens, how often it is tried, and for how many seconds it lasts.
TRIALS = (
    (survival.reload, 3, 0.0),
    (survival.second_tab, 3, 0.0),
    (survival.offline, 3, 2.0),
    (survival.offline, 2, 60.0),
    (survival.restart, 3, 2.0),
    (survival.kill, 3, 2.0),
    (survival.sleep, 3, 30.0),
)


def trial(server: Server, chrome: Any, happens: Any, seconds: float) -> bool:
    """Whether the film arrives."""
    visitor = Visitor(chrome, server.address)
    scene = survival.Scene(server, visitor, seconds)
    survival.begin(scene)
    happens(scene)
    try:
        survival.arrives(scene)
    except AssertionError:
        return False
    finally:
        visitor.context.close()
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--out", type=Path, default=Path("out"), help="where results go")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as scratch, browser() as chrome:
        server = Server(Path(scratch))
        for happens, times, seconds in TRIALS:
            arrived = sum(trial(server, chrome, happens, seconds) for _ in range(times))
            rows.append([happens.__name__.replace("_", " "), f"{seconds:g}", f"{arrived} of {times}"])
        server.stop()
    write_results(options.out, "survival", {"rows": rows}, markdown(["what happens", "s", "arrived"], rows))


if __name__ == "__main__":
    main()
