"""What may happen to a page while a film is being made, each as a function: reload, cut, restart, sleep."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from page_world import Server, Visitor
from web_world import wait_for

# A film that takes long enough to be disturbed.
PAIR = "Mona Lisa smiles"
# Tries of a stream of events in two seconds, with growing pauses between them.
MOST_STREAMS = 6


@dataclass
class Scene:
    """A server, and a visitor whose film is being made.

    Attributes:
        server: The server.
        visitor: The visitor.
        seconds: How long what happens lasts.
    """

    server: Server
    visitor: Visitor
    seconds: float = 2.0


def begin(scene: Scene, *, rendering: bool = True) -> None:
    """Press a ready pair; wait until frames are drawn."""
    page = scene.visitor.page
    page.get_by_role("button", name=PAIR).click()
    if rendering:
        page.locator(".stage .phase").filter(has_text="Drawing").wait_for()


def reload(scene: Scene) -> None:
    scene.visitor.page.reload()
    scene.visitor.page.locator(".result-card").first.click()


def second_tab(scene: Scene) -> None:
    """Close the tab, and look at the film in another."""
    first = scene.visitor.page
    scene.visitor.page = scene.visitor.open()
    first.close()
    scene.visitor.page.locator(".result-card").first.click()


def offline(scene: Scene) -> None:
    """No network for some seconds."""
    scene.visitor.context.set_offline(True)
    time.sleep(scene.seconds)
    scene.visitor.context.set_offline(False)


def restart(scene: Scene) -> None:
    """The server is asked to end, and comes back."""
    scene.server.stop()
    time.sleep(scene.seconds)
    scene.server.start()


def kill(scene: Scene) -> None:
    """The server dies, and comes back."""
    scene.server.kill()
    time.sleep(scene.seconds)
    scene.server.start()


def without_events(scene: Scene) -> None:
    """A proxy lets no stream of events through: the page asks instead, and not all the time."""
    asked: list[str] = []
    scene.visitor.page.on("request", lambda request: asked.append(request.url))
    scene.visitor.context.route("**/events", lambda route: route.abort())
    scene.visitor.page.reload()
    scene.visitor.page.locator(".result-card").first.click()
    scene.visitor.page.wait_for_timeout(1000 * scene.seconds)
    streams = [url for url in asked if url.endswith("/events")]
    assert 0 < len(streams) < MOST_STREAMS, streams


def sleep(scene: Scene) -> None:
    """The computer sleeps: the page is frozen, and its connections are gone when it wakes."""
    debugger: Any = scene.visitor.context.new_cdp_session(scene.visitor.page)
    debugger.send("Page.setWebLifecycleState", {"state": "frozen"})
    offline(scene)
    debugger.send("Page.setWebLifecycleState", {"state": "active"})


def arrives(scene: Scene, seconds: float = 150.0) -> float:
    """Seconds until the film plays, without a press; AssertionError if it never does."""
    began = time.monotonic()
    shown = "document.querySelector('.stage video')?.readyState ?? 0"
    wait_for(lambda: scene.visitor.page.evaluate(shown) >= 2, seconds)
    return time.monotonic() - began
