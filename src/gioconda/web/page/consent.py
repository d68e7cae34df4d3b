"""The right to use a likeness: asked for once a session, written into every manifest."""

from __future__ import annotations

from typing import Any

import gradio as gr

_CHOICES = (
    "It is my own likeness",
    "The person shown has agreed to this",
    "The picture is in the public domain, and nobody living is shown",
)
_OTHER = "Another right, which I describe below"
LEAST, MOST = 3, 500  # characters, as a request takes


def build() -> gr.State:
    """The question; the state holds the answer, "" until it is given."""
    rights = gr.State("")
    with gr.Column(elem_id="consent") as asked:
        gr.HTML(
            "<h2>What entitles you to use this likeness?</h2><p>Asked once a session. Your answer is written into the "
            "signed manifest of everything that you make.</p>"
        )
        choice = gr.Radio([*_CHOICES, _OTHER], label="Your right", elem_id="right")
        other = gr.Textbox(label="In your own words", max_length=MOST, visible=False, elem_id="right-words")
        confirm = gr.Button("Declare", variant="primary", elem_id="declare")
        wrong = gr.HTML(elem_classes="said", elem_id="consent-said")
    with gr.Row(elem_id="declared", visible=False) as declared:
        declaration = gr.HTML(elem_classes="said")
        again = gr.Button("Change", size="sm", scale=0, elem_id="declare-again")
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    choice.change(lambda which: gr.update(visible=which == _OTHER), choice, other, **quiet)
    confirm.click(_declare, [choice, other], [rights, asked, declared, declaration, wrong], **quiet)
    again.click(lambda: (gr.update(visible=True), gr.update(visible=False)), None, [asked, declared], **quiet)
    return rights


def _declare(choice: str | None, words: str) -> tuple[Any, ...]:
    """The state, what is seen of the question and of the answer, the answer in words, what is wrong."""
    from gioconda.web.page.telling import say

    right = (words or "").strip() if choice == _OTHER else choice or ""
    if not LEAST <= len(right) <= MOST:
        message = (
            "choose what entitles you" if choice != _OTHER else f"say it in {LEAST} to {MOST} characters"
        )
        return gr.skip(), gr.skip(), gr.skip(), gr.skip(), say(message, wrong=True)
    return right, gr.update(visible=False), gr.update(visible=True), say(f"You declared: {right}"), ""
