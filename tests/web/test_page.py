"""The page, used in a real Chromium as people use it: each tool with real files, and what must not happen."""

from __future__ import annotations

import cv2
import httpx
import numpy as np
import pytest

import gioconda
from gioconda import media
from gioconda.inputs.person import read_person
from gioconda.lipsync.build import load_database
from gioconda.web.page.mount import NETWORKS, STATIC
from live_world import openings
from page_world import RIGHT, Visitor, as_camera, browser, evaluated, serving, visits
from places import FEWSHOT_EXAMPLE
from web_world import short_motion, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("page")]
TOOLS = ("move", "speak", "edit", "live", "person", "verify")
TOKEN = "a-token-that-nobody-guesses"  # noqa: S105
# Bytes of everything that the first screen loads.
# Seconds that are left out of a driver.
TRIMMED = 0.4
FIRST_SCREEN_BYTES = 400_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def chrome(talking_astronaut, folder):
    with browser(as_camera(talking_astronaut, folder / "camera.y4m")) as running:
        yield running


@pytest.fixture(scope="module")
def address(chrome, folder):
    with serving(folder) as served:
        yield served


@pytest.fixture
def visit(chrome, address):
    with visits(chrome, address) as opened:
        yield opened


def test_one_press_makes_the_first_film_and_it_plays_by_itself(visit, folder):
    visitor = visit()
    visitor.page.get_by_role("button", name="Mona Lisa smiles").click()
    film = visitor.done().plays().download(folder)
    assert film.name == "mona-lisa-smiles.mp4"
    verdict = gioconda.verify(film)
    assert verdict.status == "ours"
    assert "public domain" in verdict.manifest["rights"]
    assert "watermark in every frame" in visitor.page.locator(".about").inner_text()
    visitor.page.get_by_role("button", name="Compare").click()
    curtain = visitor.page.get_by_label("How much of the original covers the result")
    curtain.focus()
    visitor.page.keyboard.press("Home")
    assert curtain.input_value() == "0"


def test_the_first_screen_is_small_and_comes_from_here_alone(visit, address):
    visitor = visit()
    sizes = visitor.page.evaluate(
        "performance.getEntriesByType('resource').map((entry) => [entry.name, entry.encodedBodySize])"
    )
    assert len(sizes) > 5
    assert all(name.startswith((address, "blob:")) for name, _ in sizes)
    assert sum(size for _, size in sizes) < FIRST_SCREEN_BYTES


def test_a_portrait_and_a_video_become_a_signed_film_once_a_right_is_declared(
    visit, astronaut, talking_astronaut, folder
):
    visitor = visit().portrait(astronaut)
    visitor.press("animate")
    assert "Declare" in visitor.problem()
    visitor.declare()
    visitor.page.locator("#driver").set_input_files(talking_astronaut)
    visitor.page.get_by_role("slider", name="From").fill(str(TRIMMED))
    film = visitor.small().press("animate").download(folder)
    verdict = gioconda.verify(film)
    assert verdict.status == "ours"
    assert verdict.manifest["rights"] == RIGHT
    driver = media.probe(talking_astronaut)
    left_out = round(TRIMMED * driver.fps)
    assert media.probe(film).frames == driver.frames - left_out
    assert _correlation(film, talking_astronaut, left_out) > 0.8
    visitor.page.get_by_role("button", name="Compare").click()
    visitor.page.get_by_text("The driver", exact=True).click()
    visitor.page.get_by_label("The driver", exact=True).nth(1).wait_for()


def _correlation(film, driver, left_out):
    """How alike the mouths of two films open, the first frames of the driver left out."""
    ours, theirs = (openings([frame.image for frame in media.read_frames(path)]) for path in (film, driver))
    return float(np.corrcoef(ours, theirs[left_out:])[0, 1])


def test_faces_are_boxes_to_choose_from(visit, astronaut, folder):
    picture = cv2.imread(str(astronaut))
    pair = folder / "two.png"
    assert cv2.imwrite(str(pair), np.hstack([picture, cv2.flip(picture, 1)]))
    visitor = visit().portrait(pair).declare()
    second = visitor.page.get_by_role("button", name="Face 2 of 2")
    second.click()
    visitor.page.get_by_text("number 2 moves").wait_for()
    assert visitor.page.get_by_role("button", name="Face 2 of 2").get_attribute("aria-pressed") == "true"


def test_a_text_is_spoken_and_its_words_are_seen(visit, astronaut, folder):
    visitor = visit().portrait(astronaut).declare().tool("speak")
    visitor.page.locator("#text").fill("Good evening.")
    film = visitor.small().press("speak").download(folder)
    assert media.probe_sound(film) > 0.5
    assert openings([frame.image for frame in media.read_frames(film)]).max() > 0.05
    assert visitor.page.locator(".said").inner_text().split() == ["Good", "evening."]


def test_sliders_move_the_face_are_undone_and_become_a_film(visit, astronaut, folder):
    visitor = visit().portrait(astronaut).declare().tool("edit")
    page = visitor.page
    page.locator("#editor:not([hidden])").wait_for()
    rest = _mouth(page, "#editor", folder)
    page.get_by_role("button", name="Surprise", exact=True).click()
    wait_for(lambda: _mouth(page, "#editor", folder) > rest + 0.08)
    page.get_by_role("button", name="Undo").click()
    wait_for(lambda: _mouth(page, "#editor", folder) < rest + 0.03)
    page.get_by_role("button", name="Redo").click()
    page.locator("#add-key").click()
    visitor.small()
    page.locator("#animate-keys").click()
    film = visitor.download(folder)
    shown = openings([frame.image for frame in media.read_frames(film)])
    assert shown[-1] > shown[0] + 0.08


def _mouth(page, canvas, folder):
    """How far the mouth in a canvas is open."""
    path = folder / "canvas.png"
    page.locator(canvas).screenshot(path=path)
    return float(openings([np.ascontiguousarray(cv2.imread(str(path))[..., ::-1])])[0])


def test_dragging_the_face_turns_it(visit, astronaut):
    visitor = visit().portrait(astronaut).declare().tool("edit")
    page = visitor.page
    page.locator("#editor:not([hidden])").wait_for()
    box = page.locator("#editor").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + 0.2 * box["height"]
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 0.2 * box["width"], y, steps=3)
    page.mouse.up()
    assert float(page.get_by_label("Turn (yaw)").input_value()) > 8


def test_a_film_is_exported_used_again_and_deleted(visit, astronaut, folder):
    visitor = visit().portrait(astronaut).declare()
    page = visitor.page
    visitor.small().press("animate").done()
    page.locator(".menu > summary").first.click()
    assert visitor.findings() == []
    page.get_by_role("button", name="Vertical, 9:16").click()
    film = visitor.download(folder)
    probed = media.probe(film)
    assert probed.width * 16 == pytest.approx(probed.height * 9, rel=0.01)
    assert gioconda.verify(film).status == "ours"
    assert film.name.endswith("-vertical.mp4")
    page.locator(".menu > summary").last.click()
    page.get_by_role("button", name="As motion").click()
    page.locator(".driver .chosen").filter(has_text=film.name).wait_for()
    cards = page.locator(".result-card")
    cards.first.click()
    visitor.done().page.get_by_role("button", name="Delete").first.click()
    wait_for(lambda: cards.count() == 1)


def test_the_portrait_follows_the_camera_and_the_recording_becomes_a_film(visit, astronaut, folder):
    visitor = visit().portrait(astronaut).declare().tool("live")
    page = visitor.page
    page.locator("#live-start").click()
    page.locator("#live:not([hidden])").wait_for()
    page.get_by_role("button", name="Record", exact=True).click()
    mouths = []

    def moves():
        mouths.append(_mouth(page, "#live", folder))
        return max(mouths) > min(mouths) + 0.04

    wait_for(moves)
    assert visitor.findings() == []
    page.get_by_role("button", name="Stop recording").click()
    with page.expect_popup() as popup:
        page.locator("#clean").click()
    assert popup.value.locator("canvas").count() == 1
    popup.value.close()
    visitor.press("live-film")
    assert gioconda.verify(visitor.download(folder)).status == "ours"


def test_verify_says_what_the_marks_mean(visit, astronaut, folder):
    film = folder / "film.mp4"
    gioconda.animate(astronaut, short_motion(folder), film, crop=True, size=128, rights=RIGHT)
    visitor = visit().tool("verify")
    visitor.page.locator("#verify-file").set_input_files(film)
    visitor.press("verify").done()
    shown = visitor.page.locator(".verdict")
    assert shown.locator("h2").inner_text() == "Made with Gioconda, and not changed since"
    assert "the person in it did not move or speak like this" in shown.inner_text()
    assert ".." not in shown.inner_text()
    visitor.tool("verify").page.get_by_label("Remove film.mp4").click()
    visitor.page.locator("#verify-file").set_input_files(astronaut)
    visitor.press("verify").done()
    shown.get_by_role("heading", name="No mark of Gioconda found").wait_for()


def test_person_gives_the_mouths_of_a_video(visit, driver, folder):
    visitor = visit().tool("person")
    visitor.page.locator("#sources").set_input_files(driver)
    visitor.page.get_by_label("this person's mouths").check()
    visitor.declare()
    bank = load_database(visitor.press("adapt").download(folder))
    assert len(bank) > 0
    assert bank.about["rights"] == RIGHT


def test_person_makes_of_a_film_a_person_file_which_move_plays(visit, talking_astronaut, folder):
    visitor = visit().tool("person")
    visitor.page.locator("#sources").set_input_files(talking_astronaut)
    person = visitor.declare().press("adapt").download(folder)
    assert len(read_person(person)) > 1
    visitor.page.locator(".stage img.seen").wait_for()
    assert visitor.findings() == []
    visitor.page.get_by_role("button", name="Use as portrait").click()
    visitor.page.get_by_role("heading", name="talking astronaut").wait_for()
    visitor.page.locator(".template").filter(has_text="Nod").click()
    verdict = gioconda.verify(visitor.small().press("animate").download(folder))
    assert (verdict.status, verdict.manifest["engine"]) == ("ours", "warp")
    assert verdict.manifest["inputs"][0]["sha256"] == media.sha256_file(person)


def test_nothing_on_the_page_offers_the_engine_of_ones_own_networks(visit):
    visitor = visit()
    for tool in TOOLS:
        visitor.tool(tool)
        visitor.page.evaluate("document.querySelectorAll('details').forEach((fold) => (fold.open = true))")
        text = visitor.page.locator("body").inner_text().lower()
        assert "few-shot" not in text, tool
        assert "identity file" not in text, tool


def test_move_plays_an_identity_file_by_the_picture_in_it(visit, astronaut, folder):
    pytest.importorskip("torch")
    from gioconda.training.fewshot.adapt import AdaptSettings
    from gioconda.training.fewshot.person import adapt_person

    identity = folder / "me.safetensors"
    adapt_person([astronaut], identity, AdaptSettings(str(FEWSHOT_EXAMPLE), steps=1))
    visitor = visit().portrait(identity).declare()
    visitor.page.locator(".template").filter(has_text="Nod").click()
    verdict = gioconda.verify(visitor.small().press("animate").download(folder))
    assert (verdict.status, verdict.manifest["engine"]) == ("ours", "warp")
    assert verdict.manifest["inputs"][0]["sha256"] == media.sha256_file(identity)


# What an older page keeps: a result of fitting, and a film that was not yet sent when it was closed.
OLDER = """async () => {
  const canvas = new OffscreenCanvas(64, 64);
  canvas.getContext("2d");
  const picture = new File([await canvas.convertToBlob()], "me.png", { type: "image/png" });
  const opening = indexedDB.open("gioconda");
  await new Promise((ready) => (opening.onsuccess = ready));
  const page = opening.result.transaction("page", "readwrite").objectStore("page");
  const [keys, values] = await Promise.all([page.getAllKeys(), page.getAll()].map(
    (asked) => new Promise((ready) => (asked.onsuccess = () => ready(asked.result)))
  ));
  const at = keys.findIndex((key) => key.startsWith("entry:"));
  const made = values[at];
  made.request.purpose = "fewshot";
  page.put(made, keys[at]);
  const rights = made.request.rights;
  const request = { kind: "animate", engine: "fewshot", template: "nod", rights };
  const waiting = { ...made, key: "waiting-film", title: "Waiting", job: null, state: null, request };
  page.put(waiting, "entry:waiting-film");
  page.put({ portrait: [picture] }, "files:waiting-film");
  await new Promise((ready) => (page.transaction.oncomplete = ready));
  opening.result.close();
}"""


def test_what_an_older_page_keeps_of_that_engine_still_opens(visit, astronaut):
    visitor = visit().tool("person")
    visitor.page.locator("#sources").set_input_files(astronaut)
    visitor.declare().press("adapt").done()
    evaluated(visitor.page, OLDER)
    visitor.page.reload()
    cards = visitor.page.locator(".result-card")
    cards.filter(has_text="Waiting").click()
    assert "fewshot needs a file of the server's machine" in visitor.problem()
    visitor.problems.clear()  # the browser's console notes the refusal
    cards.filter(has_text="astronaut").click()
    visitor.page.locator(".about").filter(has_text="A file for later films").wait_for()
    visitor.page.get_by_role("button", name="Use as portrait").click()
    visitor.page.get_by_role("heading", name="astronaut").wait_for()


def test_what_goes_wrong_is_told_in_a_sentence(visit, folder):
    grey = folder / "grey.png"
    assert cv2.imwrite(str(grey), np.full((128, 128, 3), 128, np.uint8))
    visitor = visit()
    visitor.press("animate")
    assert visitor.problem() == "Choose a portrait first."
    visitor.portrait(grey)
    visitor.page.locator("#declare").click()
    assert "Choose what entitles you" in visitor.problem()
    visitor.declare()
    visitor.page.get_by_text("no human face").wait_for()
    visitor.problems.clear()  # the session was refused, and the browser's console says so


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_light_and_dark_wide_and_narrow_nobody_is_kept_out(visit, width, dark, astronaut):
    visitor = visit(width=width, height=900 if width > 1000 else 844, dark=dark)
    assert visitor.page.evaluate("[document.documentElement.lang, document.title]") == ["en", "Gioconda"]
    assert visitor.findings() == []
    assert not visitor.overflows()
    visitor.portrait(astronaut)
    assert visitor.findings() == []
    visitor.declare()
    for name in TOOLS:
        visitor.tool(name)
        for fold in visitor.page.locator("details.fold:not([open]) > summary").all():
            if fold.is_visible():
                fold.click()
        assert visitor.findings() == [], name
        assert not visitor.overflows(), name


def test_the_first_film_is_made_with_the_keyboard_alone(visit):
    visitor = visit()
    for _ in range(20):
        visitor.page.keyboard.press("Tab")
        if visitor.page.evaluate("document.activeElement.innerText?.includes('Mona Lisa smiles')"):
            break
    visitor.page.keyboard.press("Enter")
    visitor.done()
    assert visitor.findings() == []


def test_nothing_but_the_page_is_handed_out(address):
    with httpx.Client(base_url=address) as client:
        for path in (
            "/../../etc/passwd",
            "/assets/../../mount.py",
            "/assets/%2e%2e/%2e%2e/mount.py",
            "/mount.py",
            "/networks/speech.onnx",
            "/static/index.html",
            "/v1/nothing",
        ):
            answer = client.get(path)
            assert answer.status_code == 404, path
            assert set(answer.json()) == {"error", "request_id"}
        page = client.get("/")
        assert "connect-src 'self'" in page.headers["content-security-policy"]
        assert "unsafe-inline" not in page.headers["content-security-policy"]
        assert client.get("/", headers={"If-None-Match": page.headers["etag"]}).status_code == 304
        assert client.get("/", headers={"Host": "evil.example"}).status_code == 400
        assert client.post("/").status_code == 405
        for name in NETWORKS:
            assert client.get(f"/networks/{name}.onnx").status_code == 200
        script = next(path for path in STATIC.glob("assets/index-*.js"))
        kept = client.get(f"/assets/{script.name}").headers["cache-control"]
        assert "immutable" in kept


def test_a_token_is_asked_for_once_and_the_server_ends_while_a_page_is_open(chrome, tmp_path):
    with serving(tmp_path, GIOCONDA_TOKEN=TOKEN) as address:
        for path in ("/", "/v1/server", "/icon.svg"):
            assert httpx.get(address + path).status_code == 401, path
        visitor = Visitor(chrome, address, http_credentials={"username": "me", "password": TOKEN})
        visitor.page.get_by_role("button", name="A drawing laughs").click()
        visitor.page.locator(".stage progress").wait_for()
        assert visitor.problems == []
    visitor.context.close()  # open until now: the server has ended without a word of it
