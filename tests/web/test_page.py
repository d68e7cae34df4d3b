"""The page, used in a real Chromium as people use it: each tab with real files, and what must not happen."""

from __future__ import annotations

import http.client
import json
from urllib.parse import urlsplit

import cv2
import httpx
import numpy as np
import pytest

import gioconda
from gioconda import media
from gioconda.lipsync.build import load_database
from page_world import RIGHT, Visitor, as_camera, browser, serving, visits
from web_world import files_below, short_motion, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("page")]
TABS = ("Animate", "Speak", "Verify", "Adapt")
TOKEN = "a-token-that-nobody-guesses"  # noqa: S105


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def chrome(driver, folder):
    with browser(as_camera(driver, folder / "camera.y4m")) as running:
        yield running


@pytest.fixture(scope="module")
def address(chrome, folder):
    """Of a server in whose queue one job may wait."""
    with serving(folder, "--queue", "1") as served:
        yield served


@pytest.fixture
def visit(chrome, address):
    with visits(chrome, address) as opened:
        yield opened


@pytest.fixture(scope="module")
def film(astronaut, folder):
    """A signed film that a server has not made."""
    path = folder / "film.mp4"
    gioconda.animate(astronaut, short_motion(folder), path, crop=True, size=128, rights=RIGHT)
    return path


@pytest.mark.slow
def test_a_portrait_and_a_video_become_a_signed_film_once_a_right_is_declared(
    visit, astronaut, driver, folder
):
    visitor = visit()
    visitor.upload("animate-portrait", astronaut).start("animate")
    assert "declare" in visitor.said("animate", "declare")
    assert files_below(folder / "data") == []
    visitor.declare()
    visitor.page.get_by_label("A video or a recording").check()
    visitor.upload("animate-video", driver).small("animate").start("animate")
    film = visitor.download("animate", folder)
    verdict = gioconda.verify(film)
    assert verdict.status == "ours"
    assert verdict.manifest["rights"] == RIGHT
    assert media.probe(film).frames == media.probe(driver).frames
    assert "watermark" in visitor.page.locator("#animate-shown .marks").inner_text()
    wait_for(lambda: visitor.page.locator("#animate-shown video").evaluate("video => video.readyState") >= 2)


@pytest.mark.slow
def test_progress_is_seen_cancel_stops_the_queue_is_bounded_and_leaving_ends_what_was_begun(visit, folder):
    data = folder / "data"
    kept = set(files_below(data))
    first, second, third = visit(), visit(), visit()
    for visitor in (first, second, third):
        visitor.declare().page.locator("#animate-example").click()
        visitor.page.locator("#animate-portrait img").wait_for()
        visitor.page.locator("#animate-template").get_by_label("idle").check()
    first.large("animate")
    first.start("animate")
    first.page.locator("#animate-shown img.preview").wait_for()
    figures = first.page.locator("#animate-shown .figures")
    assert wait_for(lambda: "frames a second" in (told := figures.inner_text()) and "left" in told)
    second.start("animate").said("animate", "Next in the queue")
    third.start("animate")
    assert "limit" in third.said("animate", "wait already")
    second.page.close()
    wait_for(lambda: len({name[:27] for name in files_below(data) if name not in kept}) == 1, 20)
    first.page.locator("#animate-cancel").click()
    first.said("animate", "^Cancelled")
    wait_for(lambda: set(files_below(data)) == kept, 3)
    first.start("animate").said("animate", "Drawing")  # and can be begun anew
    first.page.locator("#animate-cancel").click()
    first.said("animate", "^Cancelled")


@pytest.mark.slow
def test_a_recording_of_the_webcam_moves_the_portrait(visit, folder):
    visitor = visit().declare()
    visitor.page.locator("#animate-example").click()
    visitor.page.get_by_label("A video or a recording").check()
    video = visitor.page.locator("#animate-video")
    video.get_by_label("Capture from camera").click()
    video.get_by_text("Click to Access Webcam").click()
    record = video.get_by_label("start recording")
    record.click()
    visitor.page.wait_for_timeout(800)
    record.click()
    video.locator("video[src]").wait_for()
    (recorded,) = (folder / "data" / "uploads").rglob("*.webm")
    assert media.probe(recorded).frames < 1000  # its file tells no rate, which time left is reckoned from
    visitor.small("animate").start("animate")
    made = visitor.download("animate", folder)
    assert gioconda.verify(made).status == "ours"
    assert 0.3 < media.probe(made).seconds < 10


@pytest.mark.slow
def test_a_portrait_says_a_text_and_what_the_microphone_hears(visit, folder):
    visitor = visit().declare().tab("Speak")
    visitor.page.locator("#speak-example").click()
    visitor.page.locator("#speak-portrait img").wait_for()
    visitor.page.get_by_label("Text", exact=True).fill("Hello.")
    visitor.small("speak").start("speak")
    made = visitor.download("speak", folder)
    assert gioconda.verify(made).status == "ours"
    assert media.probe(made).has_audio
    visitor.page.get_by_label("A voice", exact=True).check()
    sound = visitor.page.locator("#speak-sound")
    sound.get_by_label("Record audio").click()
    sound.get_by_role("button", name="Record", exact=True).click()
    visitor.page.wait_for_timeout(1200)
    sound.get_by_role("button", name="Stop", exact=True).click()
    sound.get_by_label("Play", exact=True).wait_for()
    visitor.start("speak")
    heard = visitor.download("speak", folder)
    assert media.probe(heard).has_audio
    assert gioconda.verify(heard).status == "ours"


@pytest.mark.slow
def test_verify_tells_ours_from_others(visit, film, astronaut):
    visitor = visit().tab("Verify")
    visitor.upload("verify-file", film).start("verify").said("verify", "^Done")
    shown = visitor.page.locator("#verify-shown")
    assert shown.get_by_role("heading").inner_text() == "Made with Gioconda, and not changed since"
    assert RIGHT in shown.inner_text()
    visitor.page.locator("#verify-file").get_by_label("Clear").click()
    visitor.upload("verify-file", astronaut).start("verify")
    shown.get_by_role("heading", name="No mark of Gioconda found").wait_for()


@pytest.mark.slow
def test_adapt_gives_the_mouths_of_a_video(visit, driver, folder):
    visitor = visit().declare().tab("Adapt")
    visitor.page.get_by_label("this person's mouths").check()
    visitor.upload("adapt-sources", driver).start("adapt")
    made = visitor.download("adapt", folder)

    bank = load_database(made)
    assert len(bank) > 0
    assert bank.about["rights"] == RIGHT


@pytest.mark.slow
def test_adapt_makes_of_a_photo_an_identity_which_animate_plays(visit, astronaut, folder):
    visitor = visit().declare().tab("Adapt")
    visitor.steps("3").upload("adapt-sources", astronaut).start("adapt")
    identity = visitor.download("adapt", folder)
    assert identity.suffix == ".safetensors"
    visitor.tab("Animate")
    visitor.page.get_by_role("button", name="or an identity file").click()
    visitor.upload("animate-identity", identity)
    visitor.page.locator("#animate-template").get_by_label("nod").check()
    visitor.small("animate").start("animate")
    verdict = gioconda.verify(visitor.download("animate", folder))
    assert verdict.status == "ours"
    assert verdict.manifest["engine"] == "fewshot"


@pytest.mark.slow
def test_what_goes_wrong_is_told_in_a_sentence(visit, folder):
    grey = folder / "grey.png"
    assert cv2.imwrite(str(grey), np.full((128, 128, 3), 128, np.uint8))
    text = folder / "text.png"
    text.write_text("no picture")
    visitor = visit()
    visitor.page.get_by_role("button", name="Declare").click()
    visitor.page.locator("#consent-said").get_by_text("Choose what entitles you").wait_for()
    visitor.declare().start("animate").said("animate", "choose a portrait|Choose a portrait")
    visitor.upload("animate-portrait", grey).start("animate")
    assert "face" in visitor.said("animate", "face")
    visitor.page.locator("#animate-portrait").get_by_label("Remove Image").click()
    visitor.upload("animate-portrait", text).start("animate")
    assert "picture" in visitor.said("animate", "cannot be read|can be read")


@pytest.mark.slow
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_light_and_dark_wide_and_narrow_nobody_is_kept_out(visit, width, dark):
    visitor = visit(width=width, dark=dark)
    assert visitor.page.evaluate("[document.documentElement.lang, document.title]") == ["en", "Gioconda"]
    assert visitor.findings() == []
    _press_until(visitor.page, "document.activeElement.type == 'radio'")  # with the keyboard alone
    visitor.page.keyboard.press("Space")
    _press_until(visitor.page, "document.activeElement.id == 'declare'")
    visitor.page.keyboard.press("Enter")
    visitor.page.locator("#declared").wait_for()
    for name in TABS:
        visitor.tab(name)
        for more in visitor.page.get_by_role("button", name="Options").locator("visible=true").all():
            more.click()
        assert visitor.findings() == [], name
        assert not visitor.overflows(), name


def _press_until(page, there):
    """Press Tab until a condition of the focused element holds."""
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate(there):
            return
    raise AssertionError("it cannot be reached with the keyboard")


def test_nothing_but_uploads_and_the_page_is_handed_out(address, folder):
    (folder / "data" / "uploads" / "away").symlink_to(folder)
    with httpx.Client(base_url=address) as client:
        for path in (
            "/gradio_api/file=/etc/passwd",
            "/gradio_api/file=../../../../etc/passwd",
            f"/gradio_api/file={folder}/data/uploads/../jobs.sqlite",
            f"/gradio_api/file={folder}/data/jobs.sqlite",
            f"/gradio_api/file={folder}/data/uploads/away/log",
            "/gradio_api/file=http://127.0.0.1:9/",
            "/gradio_api/file=file:///etc/passwd",
            "/gradio_api/file/etc/passwd",
            "/gradio_api/proxy=http://a.hf.space/",
            "/gradio_api/openapi.json",
            "/monitoring",
            "/v1/nothing",
        ):
            answer = client.get(path)
            assert answer.status_code == 404, path
            assert set(answer.json()) == {"error", "request_id"}
        config = client.get("/config", headers={"Origin": "http://evil.example"})
        assert config.status_code == 200
        assert not any(name.startswith("access-control") for name in config.headers)
        assert "connect-src 'self'" in config.headers["content-security-policy"]
        assert client.get("/", headers={"Host": "evil.example"}).status_code == 400
        assert (
            client.post("/gradio_api/queue/join", headers={"Origin": "http://evil.example"}).status_code
            == 403
        )
        fetched = {"path": "http://127.0.0.1:9/a.png", "meta": {"_type": "gradio.FileData"}}
        asked = json.dumps({"data": ["", fetched], "fn_index": 1, "session_hash": "x"})
        answer = client.post(
            "/gradio_api/queue/join", content=asked, headers={"Content-Type": "application/json"}
        )
        assert "not fetched" in answer.json()["error"]
        assert client.get("/v1/jobs").status_code == 405
    assert _upload_of(address, {"Content-Length": str(2**40)}) == 413
    assert _upload_of(address, {"Transfer-Encoding": "chunked"}) == 411


def _upload_of(address, headers):
    """The status that an upload gets before it has sent anything."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=20)
    connection.putrequest("POST", "/gradio_api/upload")
    for name, value in {**headers, "Content-Type": "multipart/form-data; boundary=b"}.items():
        connection.putheader(name, value)
    connection.endheaders()
    status = connection.getresponse().status
    connection.close()
    return status


@pytest.mark.slow
def test_a_token_is_asked_for_once_and_the_server_ends_while_a_page_is_open(chrome, tmp_path):
    with serving(tmp_path, GIOCONDA_TOKEN=TOKEN) as address:
        for path in ("/", "/config", "/assets/x.js", "/gradio_api/queue/data"):
            assert httpx.get(address + path).status_code == 401, path
        visitor = Visitor(chrome, address, http_credentials={"username": "me", "password": TOKEN})
        visitor.declare().page.locator("#animate-example").click()
        visitor.page.locator("#animate-portrait img").wait_for()
        assert visitor.problems == []
    visitor.context.close()  # open until now: the server has ended without a word of it
    assert list((tmp_path / "data" / "uploads").iterdir()) == []
