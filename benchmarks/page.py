"""The page's quick tabs in a real Chromium: from slider to picture, and the webcam's frames a second and delay.

Example: python benchmarks/page.py --changes 60 --seconds 20
The webcam shows a clip; server, session and browser share the machine.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from common import DATA, markdown, write_results
from page_world import Visitor, as_camera, browser, serving

FAST = 100.0  # ms within which the picture is to follow a slider

# The moment of an input event, of the draw, and of the paint: the first task after the next animation frame.
WATCH = """() => {
  window.seen = [];
  let moved = 0;
  document.addEventListener("input", (event) => { moved = event.timeStamp; }, true);
  document.addEventListener("drawn", (event) => {
    const asked = event.detail.asked, since = moved;
    requestAnimationFrame(() => {
      const channel = new MessageChannel();
      channel.port1.onmessage = () => window.seen.push({ since, asked, painted: performance.now() });
      channel.port2.postMessage(0);
    });
  });
}"""
DRAG = """async (seconds) => {
  const slider = document.querySelector("#edit-mouth-jawOpen"), began = performance.now();
  for (let now = began; now - began < seconds * 1000; now = performance.now()) {
    slider.value = 0.5 - 0.5 * Math.cos((now - began) / 300);
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    await new Promise(requestAnimationFrame);
  }
}"""


def opened(visitor: Visitor, tab: str) -> None:
    """A session of the tab, with the example portrait."""
    page = visitor.page
    visitor.tab(tab.capitalize())
    page.locator(f"#{tab}-example").click()
    page.locator(f"#{tab}-portrait img").wait_for()
    page.locator("#edit-open" if tab == "edit" else "#live-start").click()
    page.locator(f"#{tab}-stage canvas").wait_for()


def steps(page: Any, count: int) -> list[float]:
    """Milliseconds from a key's press on a slider to the picture, one change at a time."""
    page.locator("#edit-head-yaw").focus()
    waits = []
    for i in range(count):
        page.evaluate("window.seen = []")
        page.keyboard.press("ArrowRight" if i % 40 < 20 else "ArrowLeft")
        page.wait_for_function("window.seen.length > 0")
        shown = page.evaluate("window.seen[0]")
        waits.append(shown["painted"] - shown["since"])
        page.wait_for_timeout(60)
    return waits


def drag(page: Any, seconds: float) -> tuple[float, list[float]]:
    """Pictures a second and age of each while a slider is dragged without pause."""
    page.evaluate("window.seen = []")
    page.evaluate(DRAG, seconds)
    seen = page.evaluate("window.seen")
    return len(seen) / seconds, [one["painted"] - one["asked"] for one in seen]


def webcam(page: Any, seconds: float) -> tuple[float, list[float]]:
    """Frames a second, and milliseconds from the taking of each webcam picture to its portrait on the screen."""
    page.wait_for_function("window.seen.length > 30")  # the first ones look for the face
    page.evaluate("window.seen = []")
    page.wait_for_timeout(1000 * seconds)
    seen = page.evaluate("window.seen")
    return len(seen) / seconds, [one["painted"] - one["asked"] for one in seen]


def row(name: str, rate: float | None, waits: list[float]) -> list[Any]:
    middle, late = np.percentile(waits, [50, 95])
    within = np.mean(np.array(waits) <= FAST)
    shown = "" if rate is None else f"{rate:.1f}"
    return [name, len(waits), shown, f"{middle:.0f}", f"{late:.0f}", f"{within:.0%}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--changes", type=int, default=60, help="of a slider, one at a time")
    parser.add_argument("--seconds", type=float, default=20.0, help="before the webcam")
    parser.add_argument("--clip", type=Path, default=DATA / "driving/d0.mp4", help="what the webcam shows")
    parser.add_argument("-o", "--out", type=Path, default=Path("out"), help="where results go")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        camera = as_camera(options.clip, folder / "camera.y4m")
        with serving(folder) as address, browser(camera) as chrome:
            visitor = Visitor(chrome, address)
            page = visitor.declare().page
            opened(visitor, "edit")
            page.wait_for_timeout(1000)
            page.evaluate(WATCH)
            table = [row("Edit, a key a change", None, steps(page, options.changes))]
            table.append(row("Edit, dragged", *drag(page, 5.0)))
            opened(visitor, "live")
            table.append(row("Live, webcam", *webcam(page, options.seconds)))
            visitor.close()
    columns = ["what", "pictures", "a second", "median ms", "p95 ms", f"within {FAST:.0f} ms"]
    text = f"{markdown(columns, table)}\n\nLoad average {load:.1f} before, {os.getloadavg()[0]:.1f} after."
    write_results(options.out, "page", {"rows": table, "load": load}, text)


if __name__ == "__main__":
    main()
