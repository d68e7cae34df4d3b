"""The reference under /docs in a real Chromium: its forms send requests, within a strict policy."""

from __future__ import annotations

import pytest

from page_world import browser, serving
from web_world import small_portrait

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("page")]
TOKEN = "a-token-that-nobody-guesses"  # noqa: S105
WAIT = 60_000


@pytest.fixture(scope="module")
def chrome():
    with browser() as running:
        yield running


@pytest.fixture(scope="module")
def address(chrome, tmp_path_factory):
    with serving(tmp_path_factory.mktemp("docs"), "--no-page", GIOCONDA_TOKEN=TOKEN) as served:
        yield served


@pytest.fixture
def page(chrome, address):
    """The reference, opened with the token as a password; what goes wrong in it fails the test."""
    context = chrome.new_context(http_credentials={"username": "me", "password": TOKEN})
    page, problems = context.new_page(), []
    page.set_default_timeout(WAIT)
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "request",
        lambda sent: None if sent.url.startswith((address, "blob:")) else problems.append(sent.url),
    )
    page.goto(f"{address}/docs")
    yield page
    context.close()
    assert problems == []


def opened(page, method, path):
    """The section of a request, with its form open."""
    section = page.locator(f'section[data-path="{path}"][data-method="{method}"]')
    section.get_by_text("Try it").click()
    return section


def answered(section, status):
    """Send, and return what is shown once the answer has come."""
    section.get_by_role("button", name="Send").click()
    section.locator(".status", has_text=status).wait_for()
    return section.get_by_role("status").inner_text()


def test_a_job_is_submitted_watched_and_fetched_in_the_reference(page, astronaut_image, tmp_path):
    submit = opened(page, "post", "/v1/jobs")
    submit.get_by_label("kind").select_option("edit")
    for role, shown in (("portrait", True), ("like", True), ("audio", False), ("source", False)):
        assert submit.get_by_label(role, exact=True).is_visible() is shown, role
    for name, value in (("rights (required)", "Public domain."), ("size", "64")):
        submit.get_by_label(name, exact=True).fill(value)
    submit.get_by_label("crop", exact=True).select_option("true")
    submit.get_by_label("portrait", exact=True).set_input_files(small_portrait(astronaut_image, tmp_path))
    assert '"kind": "edit"' in answered(submit, "202")
    command = submit.locator(".curl").inner_text()
    assert "-F portrait=@" in command.replace("'", "")
    assert '"yaw":10,' in command
    assert "Bearer $GIOCONDA_TOKEN" in command
    assert TOKEN not in page.content()
    events = opened(page, "get", "/v1/jobs/{job}/events")
    answered(events, "200 text/event-stream")
    events.get_by_text('"state":"done"').wait_for()
    result = opened(page, "get", "/v1/jobs/{job}/result")
    answered(result, "200 image/png")
    picture = result.get_by_role("img")
    page.wait_for_function("picture => picture.naturalWidth === 64", arg=picture.element_handle())
    forget = opened(page, "delete", "/v1/jobs/{job}")
    answered(forget, "204")


def test_an_answer_that_refuses_and_a_sound_are_shown(page):
    sample = opened(page, "get", "/v1/voices/{voice}/sample")
    sample.get_by_label("voice (required)").fill("f2")
    sample.get_by_label("language").fill("fr")
    answered(sample, "200 audio/wav")
    sound = sample.locator("audio").element_handle()
    page.wait_for_function("sound => sound.duration > 1", arg=sound)
    assert sample.locator(".curl").inner_text().endswith("/v1/voices/f2/sample?language=fr'")


def test_it_can_be_read_without_scripts(chrome, address):
    context = chrome.new_context(
        java_script_enabled=False, http_credentials={"username": "me", "password": TOKEN}
    )
    page = context.new_page()
    page.goto(f"{address}/docs")
    assert page.get_by_role("heading", name="POST /v1/jobs", exact=True).is_visible()
    assert page.get_by_role("cell", name="Idempotency-Key", exact=True).is_visible()
    assert page.get_by_role("button").count() == 0
    context.close()


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_keeps_people_out(page, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page.set_viewport_size({"width": width, "height": 844})
    opened(page, "post", "/v1/jobs")
    found = axe.run(page)
    assert [violation["id"] for violation in found.response["violations"]] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
