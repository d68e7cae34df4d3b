"""Jobs in words and HTML, for the page: where one stands, how far it is, what came of it."""

from __future__ import annotations

import base64
from html import escape

from gioconda.web.queue.jobs import JobQueue
from gioconda.web.queue.state import JobState, Output

_STAGES = {
    "track": "Reading the motion off the video",
    "listen": "Listening to the voice",
    "mouths": "Collecting mouths",
    "photos": "Reading the photos",
    "adapt": "Fitting the networks",
    "render": "Drawing",
}
_STILLS = ("image/png", "image/jpeg", "image/webp")
_UNITS = {"photos": "photos", "adapt": "steps"}


def say(words: str, *, wrong: bool = False) -> str:
    """A sentence for the line that is read out."""
    if not words:
        return ""
    whole = words[0].upper() + words[1:]
    return f'<p class="{"wrong" if wrong else "fine"}">{escape(whole)}{"" if whole[-1] in ".!?" else "."}</p>'


def phase(state: JobState) -> str:
    """What a job is doing, in a few words that change seldom."""
    if state.state == "queued":
        ahead = (state.position or 1) - 1
        return "Next in the queue" if not ahead else f"In the queue, behind {_many(ahead, 'other job')}"
    if state.progress is None:
        return "Starting"
    return _STAGES.get(state.progress.stage, state.progress.stage.capitalize())


def progress(state: JobState, frame: bytes | None) -> str:
    """A bar with the rate and the time left, and the latest frame (a JPEG) below."""
    now = state.progress
    if now is None:
        return '<progress class="bar" aria-label="Progress"></progress>'
    share = f' value="{now.done}" max="{now.total}"' if now.total else ""
    unit = _UNITS.get(now.stage, "frames")
    parts = [f"{now.done} of {now.total} {unit}" if now.total else f"{now.done} {unit}"]
    if now.rate:
        parts.append(f"{now.rate:.1f} {unit} a second")
    if now.seconds_left is not None:
        parts.append(f"{_duration(now.seconds_left)} left")
    return (
        f'<progress class="bar" aria-label="Progress"{share}></progress>'
        f'<p class="figures">{escape(", ".join(parts))}</p>{_frame(frame)}'
    )


def _frame(frame: bytes | None) -> str:
    if frame is None:
        return ""
    data = base64.b64encode(frame).decode()
    return f'<img class="seen preview" src="data:image/jpeg;base64,{data}" alt="The latest frame">'


def end(state: JobState) -> str:
    """How a job ended."""
    if state.state == "done":
        return "Done"
    if state.state == "cancelled":
        return "Cancelled"
    return state.error or "It failed"


def result(queue: JobQueue, state: JobState) -> str:
    """A film or picture with its download, and what marks it carries."""
    made = state.result
    if made is None:
        return ""
    address = f"v1/jobs/{state.id}/result"
    return _seen(address, made) + _downloads(state, address, made) + _marks(made) + _warnings(made)


def _seen(address: str, made: Output) -> str:
    size = f'width="{made.width}" height="{made.height}"'
    if made.media_type.startswith("video/"):
        return f'<video class="seen" controls loop playsinline {size} src="{address}" aria-label="The result"></video>'
    if made.media_type.startswith("image/"):
        return f'<img class="seen" {size} src="{address}" alt="The result">'
    return ""


def _downloads(state: JobState, address: str, made: Output) -> str:
    links = [f'<a class="fetch" href="{address}" download>Download ({_bytes(made.bytes)})</a>']
    if made.sidecar:
        links.append(f'<a class="fetch" href="v1/jobs/{state.id}/sidecar" download>Its manifest (.c2pa)</a>')
    return f'<p class="downloads">{" ".join(links)}</p>'


def _marks(made: Output) -> str:
    where = "in a file beside it: keep the two together" if made.sidecar else "inside the file"
    still = made.media_type in _STILLS
    if not still and not made.media_type.startswith(("video/", "image/")):
        return ""
    return (
        f'<p class="marks">Signed as synthetic: Content Credentials {where}, and a watermark in '
        f"{'the picture' if still else 'every frame'} that is meant to outlive re-encoding.</p>"
    )


def _warnings(made: Output) -> str:
    return "".join(f'<p class="warning">{escape(one)}</p>' for one in made.warnings)


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _duration(seconds: float) -> str:
    whole = max(1, round(seconds))
    return f"{whole} s" if whole < 90 else f"{round(whole / 60)} min"


def _bytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{max(1, round(count / 1e3))} kB"
