"""The page in a real Chromium: the first film, and how fast pictures follow a slider and a camera.

Example: python benchmarks/page.py --changes 60 --seconds 20
The webcam shows a clip; server, session and browser share the machine.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from common import DATA, markdown, write_results
from page_world import Visitor, as_camera, browser, serving
from web_world import wait_for

FAST = 100.0  # ms within which the picture is to follow a slider

# The moment of an input event, of the draw, and of the paint: the first task after the next animation frame.
WATCH = """() => {
  window.seen = [];
  let moved = 0;
  document.addEventListener("input", (event) => { moved = event.timeStamp; }, true);
  window.addEventListener("drawn", (event) => {
    const { asked, delay } = event.detail, since = moved;
    requestAnimationFrame(() => {
      const channel = new MessageChannel();
      channel.port1.onmessage = () => window.seen.push({ since, asked, delay, painted: performance.now() });
      channel.port2.postMessage(0);
    });
  });
}"""
DRAG = """async (seconds) => {
  const slider = document.querySelector("input[type=range]:enabled"), began = performance.now();
  for (let now = began; now - began < seconds * 1000; now = performance.now()) {
    slider.value = 20 * Math.cos((now - began) / 300);
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    await new Promise(requestAnimationFrame);
  }
}"""
PAIR = "Mona Lisa smiles"


def first_film(visitor: Visitor) -> list[Any]:
    """The row of the first film: seconds from the press of a ready pair until it plays."""
    began = time.monotonic()
    visitor.page.get_by_role("button", name=PAIR).click()
    visitor.done().plays()
    return ["The first film, from one press", 1, "", f"{1000 * (time.monotonic() - began):.0f}", "", ""]


def first_screen(page: Any) -> tuple[float, int]:
    """Milliseconds until the first screen can be used, and bytes that it loads."""
    ready = page.evaluate("performance.getEntriesByType('navigation')[0].domInteractive")
    size = "performance.getEntriesByType('resource').reduce((sum, entry) => sum + entry.encodedBodySize, 0)"
    return ready, page.evaluate(size)


def steps(page: Any, count: int) -> list[float]:
    """Milliseconds from a key's press on a slider to the picture, one change at a time."""
    page.get_by_label("Turn (yaw)").focus()
    waits = []
    for i in range(count):
        page.evaluate("window.seen = []")
        page.keyboard.press("ArrowRight" if i % 40 < 20 else "ArrowLeft")
        wait_for(lambda: page.evaluate("window.seen.length"))
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


def webcam(page: Any, seconds: float, where: str) -> tuple[float, list[float], str]:
    """Frames a second, milliseconds from each camera picture to its portrait, and what the page says of itself."""
    page.get_by_label("Where your face is tracked").select_option(where)
    page.evaluate("window.seen = []")
    page.locator("#live-start").click()
    # The first ones look for the face.
    wait_for(lambda: page.evaluate("window.seen.length") > 60, 120)
    page.evaluate("window.seen = []")
    page.wait_for_timeout(1000 * seconds)
    seen = page.evaluate("window.seen")
    told = page.locator("#live-figures").inner_text()
    page.locator("#live-stop").click()
    return len(seen) / seconds, [1000 * one["delay"] for one in seen if one["delay"]], told.split(", ")[-1]


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
            page = visitor.page
            ready, size = first_screen(page)
            table = [first_film(visitor)]
            visitor.tool("edit")
            page.locator("#editor:not([hidden])").wait_for()
            page.wait_for_timeout(3000)
            page.evaluate(WATCH)
            table.append(row("Edit, a key a change", None, steps(page, options.changes)))
            table.append(row("Edit, dragged", *drag(page, 5.0)))
            visitor.tool("live")
            for where in ("server", "browser"):
                rate, waits, told = webcam(page, options.seconds, where)
                table.append(row(f"Live, {told}", rate, waits))
            visitor.close()
    columns = ["what", "pictures", "a second", "median ms", "p95 ms", f"within {FAST:.0f} ms"]
    text = (
        f"{markdown(columns, table)}\n\nThe first screen loads {size / 1000:.0f} kB, usable after {ready:.0f} ms. "
        f"Load average {load:.1f} before, {os.getloadavg()[0]:.1f} after."
    )
    result = {"rows": table, "load": load, "first_screen_bytes": size, "interactive_ms": ready}
    write_results(options.out, "page", result, text)


if __name__ == "__main__":
    main()
