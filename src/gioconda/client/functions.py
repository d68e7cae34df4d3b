"""What both clients share: the functions of the package as methods, and what a job keeps of its request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from gioconda.client.results import read_verdict
from gioconda.client.submission import AnyRequest
from gioconda.requests import Adapt, Animate, Edit, Export, Speak, Verify
from gioconda.requests.functions import method_takes
from gioconda.types import PathLike, Progress

if TYPE_CHECKING:
    from gioconda.client.state import JobState

F = TypeVar("F")
V = TypeVar("V")
R = TypeVar("R")


class Functions(Generic[F, V]):
    """The functions that a server carries out; F is what submits a job of a file, V one of a verdict."""

    def submit(self, request: AnyRequest) -> F:
        """Submit any request."""
        raise NotImplementedError

    @method_takes(Animate)
    def animate(self, request: Animate) -> F:
        """Submit a job, with the arguments of `gioconda.animate`."""
        return self.submit(request)

    @method_takes(Speak)
    def speak(self, request: Speak) -> F:
        """Submit a job, with the arguments of `gioconda.speak`."""
        return self.submit(request)

    @method_takes(Edit)
    def edit(self, request: Edit) -> F:
        """Submit a job, with the arguments of `gioconda.edit`."""
        return self.submit(request)

    @method_takes(Export)
    def export(self, request: Export) -> F:
        """Submit a job, with the arguments of `gioconda.export`."""
        return self.submit(request)

    @method_takes(Adapt)
    def adapt(self, request: Adapt) -> F:
        """Submit a job, with the arguments of `gioconda.adapt`."""
        return self.submit(request)

    @method_takes(Verify)
    def verify(self, request: Verify) -> V:
        """Submit a job, with the arguments of `gioconda.verify`; its result is the verdict."""
        return cast("V", self.submit(request))


class JobHandle(Generic[R]):
    """A job on a server.

    Attributes:
        id: Of the job; whoever knows it can see, fetch and cancel the job.
    """

    def __init__(self, job: str, request: AnyRequest | None) -> None:
        self.id = job
        self._request = request
        self._out: PathLike | None = getattr(request, "out", None)
        self._progress: Progress | None = getattr(request, "progress", None)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id!r})"

    def _path(self, part: str = "") -> str:
        """The address of the job, or of a part of it."""
        return f"/v1/jobs/{self.id}{'/' if part else ''}{part}"

    def _read(self, content: bytes) -> R:
        """The result in the content of its file: a verdict, or the content itself."""
        request: Any = self._request
        result = read_verdict(content, request.path) if isinstance(request, Verify) else content
        return cast("R", result)

    def _report(self, state: JobState) -> None:
        """Call the request's progress callback."""
        if self._progress is not None and (now := state.progress) is not None:
            self._progress(now.stage, now.done, now.total)
