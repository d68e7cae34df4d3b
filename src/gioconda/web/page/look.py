"""How the page looks: local fonts alone, light and dark as the system has it, readable on a phone."""

from __future__ import annotations

from html import escape

import gradio as gr

HEAD = (
    '<meta name="color-scheme" content="light dark"><meta name="description" content="Portraits in motion">'
)


def header(version: str) -> str:
    """The name, and where one is."""
    return (
        f'<h1>Gioconda <span class="version">{escape(version)}</span></h1>'
        "<p>Brings a portrait to life, on this machine. Everything it makes says that it is synthetic.</p>"
    )


FOOTER = (
    "<p>Files stay on the machine that serves this page: uploads for an hour at most, results until they expire. "
    '<a href="docs">The same for programs</a></p>'
)


def theme() -> gr.themes.Base:
    """System fonts, one warm colour."""
    sans = [gr.themes.Font(name) for name in ("system-ui", "-apple-system", "Segoe UI", "sans-serif")]
    mono = [gr.themes.Font(name) for name in ("ui-monospace", "Consolas", "monospace")]
    return gr.themes.Base(
        primary_hue=gr.themes.colors.amber,
        secondary_hue=gr.themes.colors.amber,
        neutral_hue=gr.themes.colors.stone,
        font=sans,
        font_mono=mono,
    )


CSS = """
.bar { width: 100%; height: .75rem }
.seen { display: block; max-width: 100%; width: auto; height: auto; max-height: 70vh; border-radius: .5rem }
.wrong { border-left: .25rem solid #b91c1c; padding: .25rem .75rem }
.version { font-weight: 400; font-size: 1rem; opacity: .8 }
"""

SCRIPT = """
() => {
  document.documentElement.lang = "en";
  for (const line of document.querySelectorAll(".said")) line.setAttribute("role", "status");
}
"""
