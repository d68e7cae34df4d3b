"""A process of the server: a fresh interpreter whose messages a thread reads, ended with all that it started."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Generic, TypeVar

import psutil

Message = TypeVar("Message")


class Child(Generic[Message]):
    """A module that runs in a session of its own. messages: what it says, and None once it has ended."""

    def __init__(
        self, module: str, folder: Path, log: IO[bytes], read: Callable[[IO[bytes]], Iterable[Message]]
    ) -> None:
        """Start it in `folder`. log: for what libraries print. read: the messages of its standard output."""
        environment = {name: value for name, value in os.environ.items() if name != "GIOCONDA_TOKEN"}
        # glibc keeps what threads have freed: 510 MB instead of 360 after 150 jobs
        environment.setdefault("MALLOC_ARENA_MAX", "2")
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
            cwd=folder,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        self.pid, self.stdin = self._process.pid, self._process.stdin
        self.messages: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._listen, args=(read,), name=module, daemon=True)
        self._reader.start()

    def _listen(self, read: Callable[[IO[bytes]], Iterable[Message]]) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(OSError, ValueError):
            for message in read(self._process.stdout):
                self.messages.put(message)
        self.messages.put(None)

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def wait(self) -> int:
        """Its exit code, once it has ended; negative for a signal."""
        return self._process.wait()

    def memory(self) -> int:
        """Resident bytes; 0 if it has ended."""
        try:
            return int(psutil.Process(self.pid).memory_info().rss)
        except psutil.Error:
            return 0

    def end(self) -> None:
        """End it, and whatever it started, at once."""
        with contextlib.suppress(OSError):
            if sys.platform == "win32":
                self._process.kill()
            else:
                os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join(1.0)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError, ValueError):
                    stream.close()
