"""What the tests of the page share: a real server, a real Chromium, and a visitor who does what people do."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

import cv2
import pytest

from gioconda import media
from programs import address_of
from web_world import serve_command, wait_for

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


def evaluated(page, script, argument=None, seconds=60.0):
    """What a page makes of JavaScript that waits for something; Playwright itself would wait for ever.

    Args:
        page: The page.
        script: A function of one argument, as a rule an async one.
        argument: Its argument.
        seconds: In which it has to answer.
    """
    late = f"new Promise((_, reject) => setTimeout(reject, {1000 * seconds}, new Error('no answer in {seconds} s')))"
    return page.evaluate(f"(argument) => Promise.race([({script})(argument), {late}])", argument)


class Server:
    """`gioconda serve` on a port of its own, which can be killed and started again.

    Attributes:
        address: Of the server.
    """

    def __init__(self, folder, *options, **environment):
        self._folder, self._options = folder, options
        self._environment = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
        self._log = folder / "log"
        self.address = ""
        self.start()

    def start(self):
        """Start the server, at its former port if it had one."""
        port = self.address.rpartition(":")[2] or "0"
        command = serve_command(self._folder, *self._options, port=port)
        with self._log.open("w") as errors:
            self._process = subprocess.Popen(command, stderr=errors, env=self._environment)
        try:
            self.address = address_of(self._process, self._log)
        except BaseException:
            self.kill()
            raise

    def kill(self):
        """End the server without a chance to tidy up."""
        self._process.kill()
        self._process.wait(20)

    def stop(self):
        """Ask the server to end; nothing may have gone wrong in it."""
        self._process.terminate()
        try:
            self._process.wait(20)
        finally:
            self._process.kill()
        told = self._log.read_text()
        assert '"level": "error"' not in told, told
        assert "Traceback" not in told, told


@contextlib.contextmanager
def serving(folder, *options, **environment):
    """The address of `gioconda serve`, a process of its own with its data in `folder`/data."""
    server = Server(folder, *options, **environment)
    try:
        yield server.address
    finally:
        server.stop()


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

    def __init__(self, browser, address, *, width=1280, height=900, dark=False, **options):
        scheme = "dark" if dark else "light"
        viewport = {"width": width, "height": height}
        self.context = browser.new_context(
            viewport=viewport, color_scheme=scheme, reduced_motion="reduce", **options
        )
        self.problems, self._address = [], address
        self.page = self.open()

    def open(self):
        """Open the page in a tab."""
        page = self.context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.problems.append(f"error {error}"))
        page.on("request", self._see)
        page.goto(self._address)
        page.locator("#tool-move").wait_for()
        return page

    def _hear(self, message):
        address = str(message.location.get("url"))
        # The page begins a session again that the server has ended; the browser itself notes the answer.
        ended = "status of 404" in message.text and "/v1/sessions/" in address
        if message.type == "error" and not ended:
            self.problems.append(f"console {message.text} {address}")

    def _see(self, request):
        if not request.url.startswith((self._address, "data:", "blob:")):
            self.problems.append(f"request to {request.url}")

    def portrait(self, path):
        """Choose a portrait of one's own."""
        first = self.page.locator("#portrait")
        field = first if first.count() else self.page.get_by_label("Choose another portrait")
        field.set_input_files(path)
        self.page.locator(".portrait-card h2").wait_for()
        return self

    def declare(self):
        """Say what entitles to the likeness."""
        self.page.get_by_label(RIGHT).check()
        self.page.locator("#declare").click()
        self.page.locator("#declared").wait_for()
        return self

    def tool(self, name):
        """Open a tool."""
        self.page.locator(f"#tool-{name}").click()
        return self

    def options(self):
        """Unfold the further options."""
        fold = self.page.locator("details.fold").filter(has_text="More options").first
        if fold.get_attribute("open") is None:
            fold.locator("summary").first.click()
        return self

    def small(self):
        """Ask for the face alone, in few pixels."""
        self.options()
        self.page.get_by_label("Only the face").check()
        self.page.get_by_label("Longest side").select_option("256")
        return self

    def press(self, name):
        """Press the button that makes something."""
        self.page.locator(f"#{name}").click()
        return self

    def problem(self):
        """The sentence that says what is wrong."""
        line = self.page.locator(".problem:not(:empty)").first
        line.wait_for()
        return line.inner_text()

    def done(self):
        """Wait for the result on the stage; not for what went wrong instead."""
        ready = self.page.locator(".stage #download, .stage .verdict")
        wrong = self.page.locator(".stage .problem:not(:empty)")
        ready.or_(wrong).first.wait_for()
        assert not wrong.count(), wrong.first.inner_text()
        return self

    def download(self, folder):
        """The result, saved as a person does."""
        self.done()
        with self.page.expect_download() as waiting:
            self.page.locator("#download").click()
        path = folder / waiting.value.suggested_filename
        waiting.value.save_as(path)
        return path

    def plays(self):
        """Wait until the film on the stage plays."""
        time_shown = "document.querySelector('.stage video')?.currentTime ?? 0"
        wait_for(lambda: self.page.evaluate(time_shown) > 0.1)
        return self

    def findings(self):
        """What axe-core finds in what is seen now."""
        import axe_playwright_python

        source = Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text(encoding="utf-8")
        # The page's policy lets no script in, so the debugger's own way is used.
        self.page.evaluate(source)
        found = evaluated(self.page, "() => axe.run()")["violations"]
        return [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found]

    def overflows(self):
        """Whether one has to scroll sideways."""
        return self.page.evaluate(
            "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        )

    def close(self):
        """Leave; nothing may have gone wrong unseen."""
        self.context.close()
        assert not self.problems, self.problems


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
