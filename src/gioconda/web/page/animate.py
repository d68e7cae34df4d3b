"""The tab Animate: a portrait and a motion give a film."""

from __future__ import annotations

from gioconda.web.page.context import Context
from gioconda.web.page.files import picture
from gioconda.web.page.runs import Ask, Panel


def build(context: Context) -> None:
    """The tab."""
    portrait = picture("Portrait", "animate-portrait")
    panel = Panel(context, "Animate", name="animate")
    panel.wire(_ask, [portrait])


def _ask(portrait: str | None) -> Ask:
    fields = {"kind": "animate", "template": "smile", "crop": True, "size": 256}
    return fields, {"portrait": [portrait] if portrait else []}
