"""What the tests of the page share: a real server, a real Chromium, and a visitor who does what people do."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import cv2
import pytest

from gioconda import media
from web_world import serve_command

FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
    *("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"),
)
RIGHT = "The picture is in the public domain, and nobody living is shown"
PATIENCE = 150_000


def chromium():
    """The path of a browser; the test is skipped where there is none."""
    pytest.importorskip("playwright.sync_api", reason="the page's tests need playwright (gioconda[dev])")
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    return found


@contextlib.contextmanager
def browser(camera=None):
    """A headless browser. camera: a .y4m file that its webcam shows."""
    path = chromium()
    from playwright.sync_api import sync_playwright

    flags = [*FLAGS, *([f"--use-file-for-fake-video-capture={camera}"] if camera else [])]
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=flags)
        yield running
        running.close()


@contextlib.contextmanager
def serving(folder, *options, **environment):
    """The address of `gioconda serve`, a process of its own with its data in `folder`/data."""
    command = serve_command(folder, *options)
    log = folder / "log"  # a pipe that nobody reads would stop the server
    settled = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    with log.open("w") as errors, subprocess.Popen(command, stderr=errors, env=settled) as process:
        try:
            until = time.monotonic() + 240
            while not log.read_text().startswith("serving http") and time.monotonic() < until:
                assert process.poll() is None, log.read_text()
                time.sleep(0.1)
            yield log.read_text().split()[1]
        finally:
            process.terminate()
            process.wait(20)
    told = log.read_text()
    assert '"level": "error"' not in told, told
    assert "Traceback" not in told, told


def as_camera(clip, path):
    """A video as what Chromium takes for a webcam: YUV4MPEG2."""
    with path.open("wb") as file:
        for number, frame in enumerate(media.read_frames(clip)):
            height, width = frame.image.shape[:2]
            if not number:
                file.write(f"YUV4MPEG2 W{width} H{height} F25:1 Ip A1:1 C420jpeg\n".encode())
            file.write(b"FRAME\n" + cv2.cvtColor(frame.image, cv2.COLOR_RGB2YUV_I420).tobytes())
    return path


class Visitor:
    """Somebody with the page open; `problems` are errors of the console and requests to other hosts."""

    def __init__(self, browser, address, *, width=1280, dark=False, **options):
        scheme = "dark" if dark else "light"
        self.context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, **options
        )
        self.problems, self._address = [], address
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.problems.append(f"error {error}"))
        self.page.on("request", self._see)
        self.page.goto(address)
        self.page.get_by_role("button", name="Declare").wait_for()

    def _hear(self, message):
        if message.type == "error":
            self.problems.append(f"console {message.text} {message.location.get('url')}")

    def _see(self, request):
        if not request.url.startswith((self._address, "data:", "blob:")):
            self.problems.append(f"request to {request.url}")

    def declare(self):
        """Say what entitles to the likeness."""
        self.page.get_by_label(RIGHT).check()
        self.page.get_by_role("button", name="Declare").click()
        self.page.locator("#declared").wait_for()
        return self

    def tab(self, name):
        """Open a tab."""
        self.page.get_by_role("tab", name=name, exact=True).click()
        self.page.locator(f"#{name.lower()}-start").wait_for()
        return self

    def upload(self, where, *files):
        """Hand files to an input, and wait until they are there."""
        self.page.locator(f"#{where} input[type=file]").first.set_input_files(list(files))
        self.page.locator(f"#{where} :is(img, video, .file-preview)").first.wait_for()
        return self

    def small(self, tab):
        """Ask for the face alone, in few pixels."""
        self._options(tab)
        self.page.locator(f"#{tab}-crop input").check()
        self.page.locator(f"#{tab}-size").get_by_label("256").check()
        return self

    def large(self, tab):
        """Ask for a film that takes its time."""
        self._options(tab)
        self.page.locator(f"#{tab}-size").get_by_label("1080").check()
        return self

    def steps(self, count):
        """Fit an identity in so many steps."""
        self.page.get_by_role("button", name="Options").locator("visible=true").click()
        self.page.get_by_label("Steps of fitting").fill(count)
        return self

    def _options(self, tab):
        options = self.page.locator(f"#{tab}-crop input")
        if not options.is_visible():
            self.page.get_by_role("button", name="Options").locator("visible=true").click()
            options.wait_for()

    def start(self, tab):
        """Press the tab's button; what it said before no longer counts."""
        self.page.evaluate(f"document.querySelector('#{tab}-said p')?.classList.add('old')")
        self.page.locator(f"#{tab}-start").click()
        return self

    def said(self, tab, words):
        """Wait until the tab says something, and give the whole of it; not what went wrong instead."""
        line = self.page.locator(f"#{tab}-said p:not(.old)")
        meant = line.filter(has_text=re.compile(words))
        meant.or_(line.and_(self.page.locator(".wrong"))).first.wait_for()
        told = line.inner_text()
        assert re.search(words, told), told
        return told

    def download(self, tab, folder):
        """The result, saved as a person does."""
        self.said(tab, "^Done")
        with self.page.expect_download() as waiting:
            self.page.locator(f"#{tab}-shown a.fetch").first.click()
        path = folder / waiting.value.suggested_filename
        waiting.value.save_as(path)
        return path

    def findings(self):
        """What axe-core calls serious or critical on what is seen now."""
        import axe_playwright_python

        source = Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text(encoding="utf-8")
        self.page.evaluate(source)
        found = self.page.evaluate("axe.run()")["violations"]
        grave = [one for one in found if one["impact"] in ("serious", "critical")]
        return [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in grave]

    def overflows(self):
        """Whether one has to scroll sideways."""
        return self.page.evaluate(
            "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        )

    def close(self):
        """Leave; nothing may have gone wrong unseen."""
        self.context.close()
        assert self.problems == []


@contextlib.contextmanager
def visits(chrome, address):
    """Opens the page, as often as asked; at the end all is closed and nothing has gone wrong unseen."""
    visitors = []

    def opened(**options):
        visitors.append(Visitor(chrome, address, **options))
        return visitors[-1]

    yield opened
    for visitor in visitors:
        visitor.close()
