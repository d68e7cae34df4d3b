"""How the page looks: local fonts alone, light and dark as the system has it, readable on a phone."""

from __future__ import annotations

from html import escape

import gradio as gr

HEAD = (
    '<meta name="color-scheme" content="light dark"><meta name="description" content="Portraits in motion">'
)

FOOTER = (
    "<p>Files stay on the machine that serves this page: uploads for an hour at most, results until they expire. "
    '<a href="docs">The same for programs</a></p>'
)


def header(version: str) -> str:
    """The name, and where one is."""
    return (
        f'<h1>Gioconda <span class="version">{escape(version)}</span></h1>'
        "<p>Brings a portrait to life, on this machine. Everything it makes says that it is synthetic.</p>"
    )


def theme() -> gr.themes.Base:
    """System fonts, and one colour that is dark enough for white letters and light enough for dark ones."""
    sans = [gr.themes.Font(name) for name in ("system-ui", "-apple-system", "Segoe UI", "sans-serif")]
    mono = [gr.themes.Font(name) for name in ("ui-monospace", "Consolas", "monospace")]
    made = gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        secondary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.stone,
        radius_size=gr.themes.sizes.radius_md,
        font=sans,
        font_mono=mono,
    )
    return made.set(
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_800",
        button_primary_text_color="white",
        block_label_text_color="*neutral_700",
        block_label_text_color_dark="*neutral_200",
        block_title_text_color="*neutral_800",
        block_title_text_color_dark="*neutral_100",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        input_placeholder_color="*neutral_500",
        link_text_color="*primary_700",
        link_text_color_dark="*primary_300",
        color_accent="*primary_700",
        checkbox_background_color_selected="*primary_700",
        checkbox_background_color_selected_dark="*primary_700",
        block_border_width="1px",
    )


CSS = """
.gradio-container { max-width: 76rem !important; margin: 0 auto !important; width: 100% }
.gradio-container main, .gradio-container main > .wrap { width: 100% }
#header h1 { margin: .5rem 0 0; font-size: 1.75rem }
#header p, #footer p { margin: .25rem 0 0 }
#footer { margin-top: 2rem; font-size: .9rem }
.version { font-weight: 400; font-size: 1rem }
.dark { --color-accent: var(--primary-400) }
.html-container { padding: 0 !important }
#consent { padding: 1rem; gap: .75rem; border: 1px solid var(--border-color-primary); border-radius: var(--radius-lg);
  background: var(--background-fill-secondary) }
#consent h2 { margin: 0; font-size: 1.15rem }
#consent p { margin: .25rem 0 0 }
#consent :is(.block, .form) { border: 0; padding: 0; background: transparent !important }
#declare { align-self: flex-start; max-width: 12rem }
#declared { align-items: center; flex-wrap: nowrap }
#declare-again { flex: none; min-width: 6rem }
.shown .bar { appearance: none; display: block; width: 100%; height: .6rem; margin: .5rem 0; border: 0;
  border-radius: .3rem; overflow: hidden; background: var(--border-color-primary) }
.shown .bar::-webkit-progress-bar { background: var(--border-color-primary) }
.shown .bar::-webkit-progress-value { background: var(--color-accent) }
.shown .bar::-moz-progress-bar { background: var(--color-accent) }
.shown .bar:indeterminate { animation: waiting 1.5s ease-in-out infinite alternate }
@keyframes waiting { from { opacity: .4 } }
@media (prefers-reduced-motion: reduce) { .shown .bar { animation: none !important } }
.seen { display: block; max-width: 100%; width: auto; height: auto; max-height: 70vh; margin: .5rem 0;
  border-radius: .5rem }
[data-testid=video] video { max-height: 20rem }
.preview { opacity: .85 }
.figures { font-variant-numeric: tabular-nums }
.said p { margin: 0; padding: .35rem .75rem; border-left: .25rem solid var(--primary-700) }
.said p.wrong { border-color: #dc2626; font-weight: 600 }
.downloads { display: flex; flex-wrap: wrap; gap: .5rem }
.fetch { padding: .4rem .9rem; border: 1px solid currentcolor; border-radius: .5rem; font-weight: 600 }
.warning { border-left: .25rem solid #d97706; padding: .25rem .75rem }
.verdict { border: 1px solid var(--border-color-primary); border-left-width: .5rem; border-radius: .5rem;
  padding: .75rem 1rem }
.verdict h2 { margin: 0 0 .5rem; font-size: 1.2rem }
.verdict.good { border-left-color: #15803d }
.verdict.warned { border-left-color: #d97706 }
.verdict.bad { border-left-color: #dc2626 }
.verdict pre { overflow-x: auto; max-height: 24rem; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .8rem }
:focus-visible { outline: 2px solid var(--primary-500) !important; outline-offset: 2px }
@media (max-width: 640px) {
  .gradio-container { padding: .5rem !important }
  #consent { padding: .75rem }
  #tabs .tab-container button { padding: 0 .4rem; font-size: .85rem }
}
"""

# What Gradio leaves out: lines that are read out, and names of its buttons, which may not lie within each other.
SCRIPT = """
() => {
  document.documentElement.lang = "en";
  const names = { "common.upload": "Upload more", "common.clear": "Clear" };
  const tend = () => {
    for (const line of document.querySelectorAll(".said .html-container")) line.setAttribute("role", "status");
    for (const button of document.querySelectorAll("button[aria-label^='common.']")) {
      const name = names[button.ariaLabel] ?? button.ariaLabel.slice(7);
      button.ariaLabel = button.title = name;
    }
    for (const inner of document.querySelectorAll("button button.upload-container:not([inert])")) {
      const input = inner.querySelector("input");
      inner.inert = true;
      inner.parentElement.closest("button").addEventListener("click", (event) => {
        if (event.target !== input) input.click();
      });
    }
  };
  tend();
  new MutationObserver(tend).observe(document.body, { childList: true, subtree: true });
}
"""
