"""The client whose calls wait for the server's answer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from gioconda.client.connection import PATIENCE_SECONDS, Connection, Patience
from gioconda.client.functions import Functions, JobHandle
from gioconda.client.results import check_done, target_of, write
from gioconda.client.state import JobState, read_event, read_state
from gioconda.client.submission import AnyRequest, Submission, opened, submission_of
from gioconda.types import PathLike

if TYPE_CHECKING:
    import httpx

    from gioconda.provenance import Verdict  # noqa: F401 (the base class of the client names it)

R = TypeVar("R")


class Job(JobHandle[R]):
    """A job on a server.

    Attributes:
        id: Of the job; whoever knows it can see, fetch and cancel the job.
    """

    def __init__(self, client: Client, job: str, request: AnyRequest | None = None) -> None:
        super().__init__(job, request)
        self._client = client

    def state(self) -> JobState:
        """Return the present state; ServerError if the job does not exist or has expired."""
        return read_state(self._client.send("GET", self._path()).json())

    def watch(self) -> Iterator[JobState]:
        """Iterate over the states, from the present one to the last, each when it comes.

        If the network fails or the server restarts, the iteration goes on as soon as the server is back.

        Raises:
            ServerError: The job does not exist or has expired, or the server stays away.
        """
        return self._client.states(self._path("events"))

    def preview(self) -> bytes | None:
        """Return the latest finished frame as a JPEG with its marks; None while there is none."""
        return self._client.send("GET", self._path("preview")).content or None

    def result(self) -> R:
        """Wait for the end of the job, and return the content of its file; for `verify`, the verdict.

        Raises:
            JobError: The job failed or was cancelled.
            ServerError: The job has expired, or the server stays away.
        """
        self._wait()
        return self._read(self._client.send("GET", self._path("result")).content)

    def save(self, path: PathLike | None = None) -> Path:
        """Wait for the end of the job, and write its file, and beside it the manifest of a WebM.

        Args:
            path: The file to write; the output of the request if None.

        Raises:
            InputError: There is no path, or its suffix is of another format than the result.
            JobError: The job failed or was cancelled.
            OutputError: The file cannot be written.
            ServerError: The job has expired, or the server stays away.
        """
        state = self._wait()
        target = target_of(self._out if path is None else path, state)
        has_sidecar = state.result is not None and state.result.sidecar
        sidecar = self._client.send("GET", self._path("sidecar")).content if has_sidecar else None
        write(target, self._client.send("GET", self._path("result")).content, sidecar)
        return target

    def cancel(self) -> JobState:
        """Stop the job and delete its files; a job that has ended stays as it is."""
        return read_state(self._client.send("POST", self._path("cancel")).json())

    def forget(self) -> None:
        """Stop the job, and delete everything about it, including its result."""
        self._client.send("DELETE", self._path(), may_be_absent=True)

    def _wait(self) -> JobState:
        """The state of the job when it is done; what its progress callback raises cancels it."""
        state: JobState | None = None
        for state in self.watch():
            try:
                self._report(state)
            except BaseException:
                self.cancel()
                raise
        assert state is not None
        return check_done(state)


class Client(Functions["Job[bytes]", "Job[Verdict]"]):
    """A server that `gioconda serve` runs, used from Python; needs `gioconda[client]`.

    Its methods take the arguments of the functions of the same names. They upload the files, and return a job at once.
    `out` decides the format, and is where `Job.save` writes. Options that name other files of this machine (`key`,
    `weights`) do not apply. `animate`, `speak`, `edit` and `adapt` need `rights`.

    If the connection is lost or the server restarts, every call is tried again; a job is never made twice.
    """

    def __init__(self, url: str, token: str | None = None, *, patience: float = PATIENCE_SECONDS) -> None:
        """Prepare to use a server; nothing is sent yet.

        Args:
            url: The server's address, such as http://127.0.0.1:7860.
            token: What the server asks for.
            patience: Seconds for which a call is tried again after the connection is lost.

        Raises:
            InputError: The address is not one of a server.
            MissingFileError: `gioconda[client]` is not installed.
        """
        self._connection = Connection(url, token, patience)
        arguments = self._connection.arguments()
        import httpx

        self._http = httpx.Client(**arguments)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def submit(self, request: AnyRequest) -> Job[bytes]:
        """Submit any request.

        Raises:
            InputError: The server refuses the request.
            MissingFileError: A file does not exist.
            ServerError: The server cannot be reached, or its queue stays full.
        """
        answer = self.send("POST", "/v1/jobs", submission_of(request))
        return Job(self, read_state(answer.json()).id, request)

    def job(self, job: str) -> Job[bytes]:
        """Return a job that was submitted before, by its id."""
        return Job(self, job)

    def send(
        self, method: str, path: str, submission: Submission | None = None, *, may_be_absent: bool = False
    ) -> httpx.Response:
        """Send a request until the server answers; errors as `Connection.answered`.

        Args:
            method: Of HTTP.
            path: Of the address.
            submission: The body, or None.
            may_be_absent: Whether status 404 is a success.
        """
        import httpx

        patience = Patience()
        while True:
            try:
                with opened(submission) as body:
                    answer = self._http.request(method, path, **body)
                pause = self._connection.answered(patience, answer, may_be_absent=may_be_absent)
            except httpx.TransportError as error:
                pause = self._connection.lost(patience, error)
            else:
                if pause is None:
                    return answer
            time.sleep(pause)

    def states(self, path: str) -> Iterator[JobState]:
        """Iterate over a job's states, and open the stream again wherever it breaks; errors as `Connection.answered`.

        Args:
            path: Of the address of the job's events.
        """
        import httpx

        patience = Patience()
        last: JobState | None = None
        while last is None or not last.final:
            try:
                with self._http.stream("GET", path) as answer:
                    if answer.is_error:
                        answer.read()
                    pause = self._connection.answered(patience, answer)
                    for line in answer.iter_lines():
                        if (state := read_event(line)) is None:
                            continue
                        patience.renew()
                        if state != last:
                            last = state
                            yield state
            except httpx.TransportError as error:
                pause = self._connection.lost(patience, error)
            if last is None or not last.final:
                # A server that stops ends its streams.
                time.sleep(self._connection.left(patience) if pause is None else pause)
