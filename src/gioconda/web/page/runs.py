"""A job of the page, from its button to its result: told while it runs, cancelled when asked."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import gradio as gr
from gradio.components import Component
from pydantic import ValidationError

from gioconda.errors import GiocondaError, InputError
from gioconda.web.errors import ClosingError
from gioconda.web.page import telling
from gioconda.web.page.context import Context
from gioconda.web.queue.jobs import JobQueue
from gioconda.web.queue.state import JobState
from gioconda.web.requests import JOB, JobRequest
from gioconda.web.validation import refusal

LOG = logging.getLogger("gioconda.web")
LOOK_SECONDS = 0.25  # between looks at a running job

Ask: TypeAlias = tuple[dict[str, Any], Mapping[str, Sequence[str | Path]]]
"""A request's fields without `rights`, and the paths of its files by role."""
Show: TypeAlias = Callable[[JobQueue, JobState], str]
"""A finished job's result as HTML."""


class Panel:
    """A button that starts a job, one that cancels it, and the place where both are told.

    Made where it is to stand on the page; `wire` tells it what to ask for.
    """

    def __init__(self, context: Context, label: str, *, name: str, show: Show = telling.result) -> None:
        """label: of the button. name: of the kind of job, unique on the page, for ids in its HTML."""
        self._context, self._show = context, show
        with gr.Row(elem_classes="actions"):
            self.start = gr.Button(label, variant="primary", elem_id=f"{name}-start")
            self.stop = gr.Button("Cancel", interactive=False, elem_id=f"{name}-cancel")
        self.said = gr.HTML(elem_id=f"{name}-said", elem_classes="said")
        """What happens, in words; read out by screen readers."""
        self.shown = gr.HTML(elem_id=f"{name}-shown", elem_classes="shown")
        """Progress with the latest frame, then the result."""
        self.job = gr.State("")
        """The job's id, while it runs and after."""

    def wire(self, ask: Callable[..., Ask], inputs: Sequence[Component]) -> None:
        """Start a job at each click. ask: makes the request of the values of `inputs`; raises GiocondaError."""

        async def run(request: gr.Request, rights: str, *values: Any) -> AsyncIterator[list[Any]]:
            async for update in self._run(request.session_hash or "", rights, ask, values):
                yield update

        outputs = [self.start, self.stop, self.said, self.shown, self.job]
        quiet: dict[str, Any] = {
            "show_progress": "hidden",
            "concurrency_limit": None,
            "api_visibility": "private",
        }
        self.start.click(run, [self._context.rights, *inputs], outputs, **quiet)
        self.stop.click(self._cancel, [self.job], [self.stop], **quiet)

    async def _run(
        self, session: str, rights: str, ask: Callable[..., Ask], values: tuple[Any, ...]
    ) -> AsyncIterator[list[Any]]:
        try:
            request, files = _request(rights, *ask(*values))
            job = await asyncio.to_thread(self._context.queue.submit, request, files)
            async for update in self._follow(session, job):
                yield update
        except GiocondaError as error:
            yield [*_IDLE, telling.say(str(error), wrong=True), "", ""]
        except Exception:  # the last net: the buttons must not stay as they are
            LOG.exception("a defect of the page")
            yield [*_IDLE, telling.say(_DEFECT, wrong=True), "", ""]

    async def _follow(self, session: str, job: str) -> AsyncIterator[list[Any]]:
        """What is seen of a job until it has ended; if nobody follows it so far, it is cancelled with the session."""
        queue, running = self._context.queue, self._context.running
        running.add(session, job)
        said, last = "", None
        async for state in states(queue, job):
            last = state
            if not state.final:
                words, shown = telling.phase(state), await self._progress(state)
                yield [*_BUSY, gr.skip() if words == said else telling.say(words), shown, job]
                said = words
        running.drop(session, job)
        if last is None or not last.final:
            raise ClosingError
        shown = await asyncio.to_thread(self._show, queue, last) if last.state == "done" else ""
        yield [*_IDLE, telling.say(telling.end(last), wrong=last.state == "failed"), shown, job]

    async def _progress(self, state: JobState) -> str:
        frame = await asyncio.to_thread(self._context.queue.preview, state.id)
        return telling.progress(state, frame)

    async def _cancel(self, job: str) -> dict[str, Any]:
        if job:
            with contextlib.suppress(GiocondaError):  # it may have expired
                await asyncio.to_thread(self._context.queue.cancel, job)
        return gr.update(interactive=False)


_DEFECT = "a defect of the server; please report it"
_BUSY = gr.update(interactive=False), gr.update(interactive=True)
_IDLE = gr.update(interactive=True), gr.update(interactive=False)


async def states(queue: JobQueue, job: str) -> AsyncIterator[JobState]:
    """A job's state now and at each change, until it has ended; UnknownJobError."""
    last: JobState | None = None
    while not queue.closed:
        now = await asyncio.to_thread(queue.state, job)
        if now != last:
            yield now
        if now.final:
            return
        last = now
        await asyncio.sleep(LOOK_SECONDS)


def _request(
    rights: str, fields: dict[str, Any], files: Mapping[str, Sequence[str | Path]]
) -> tuple[JobRequest, dict[str, list[Path]]]:
    """A request that holds together, and its files; InputError for one that does not."""
    given = {role: [Path(path) for path in paths] for role, paths in files.items() if paths}
    if fields["kind"] != "verify":
        if not rights:
            raise InputError("first declare above what entitles you to use this likeness")
        fields = {**fields, "rights": rights}
    try:
        return JOB.validate_python(fields), given
    except ValidationError as error:
        raise refusal(error) from None
