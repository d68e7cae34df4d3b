"""The film arrives without a press of the user, whatever happens to the page, the network or the server."""

from __future__ import annotations

import pytest

import survival
from page_world import Server, Visitor, browser

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("page")]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("survival"))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def chrome():
    with browser() as running:
        yield running


@pytest.mark.parametrize(
    "happens",
    [
        survival.reload,
        survival.second_tab,
        survival.offline,
        survival.without_events,
        survival.kill,
        survival.sleep,
    ],
)
def test_the_film_arrives(server, chrome, happens):
    visitor = Visitor(chrome, server.address)
    scene = survival.Scene(server, visitor)
    survival.begin(scene)
    happens(scene)
    survival.arrives(scene)
    visitor.context.close()


def test_what_was_not_sent_is_sent_when_the_network_is_back(server, chrome):
    visitor = Visitor(chrome, server.address)
    scene = survival.Scene(server, visitor)
    visitor.context.route("**/v1/jobs", lambda route: route.abort())
    survival.begin(scene, rendering=False)
    visitor.page.locator(".stage .phase").filter(has_text="Waiting for the server").or_(
        visitor.page.locator(".stage .phase").filter(has_text="Sending")
    ).wait_for()
    visitor.page.reload()
    visitor.page.locator(".result-card").first.click()
    visitor.context.unroute("**/v1/jobs")
    survival.arrives(scene)
    visitor.context.close()


def test_two_tabs_show_the_same_results(server, chrome):
    visitor = Visitor(chrome, server.address)
    scene = survival.Scene(server, visitor)
    other = visitor.open()
    survival.begin(scene)
    card = other.locator(".result-card")
    card.click()
    survival.arrives(scene)
    other.locator(".stage #download").wait_for()
    other.get_by_role("button", name="Delete").first.click()
    visitor.page.locator(".result-card").wait_for(state="detached")
    assert card.count() == 0
    visitor.close()
