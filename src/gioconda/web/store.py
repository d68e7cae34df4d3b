"""The table of jobs in SQLite: it outlives the server, and only one server may have it open."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from gioconda.errors import InputError, OutputError
from gioconda.web.state import FINAL, JobState, Output

_TABLE = """
CREATE TABLE IF NOT EXISTS jobs (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL,
  request TEXT NOT NULL,
  state TEXT NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  created REAL NOT NULL,
  started REAL,
  finished REAL,
  expires REAL,
  error TEXT,
  result TEXT
)
"""
_COLUMNS = "id, kind, state, attempts, created, started, finished, expires, error, result"


class Store:
    """All jobs that are known. Every method may be called from any thread, and is on the disk when it returns."""

    def __init__(self, path: Path) -> None:
        """Open or make the table; InputError if another server has it, OutputError if it cannot be written."""
        self._lock = threading.Lock()
        try:
            self._base = sqlite3.connect(path, timeout=1.0, check_same_thread=False, isolation_level=None)
            # the lock of the file also keeps a second server from running the same jobs
            for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=NORMAL"):
                self._base.execute(f"PRAGMA {pragma}").close()
            self._run(_TABLE)
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise InputError(
                    f"another server uses {path.parent}; stop it, or choose another folder with --data"
                ) from None
            raise OutputError(
                f"{path} cannot be opened ({error}); choose another folder with --data"
            ) from None
        except sqlite3.DatabaseError as error:
            raise InputError(f"{path} is damaged ({error}); move it away, its jobs are lost") from None

    def close(self) -> None:
        """Let another server have it."""
        with self._lock:
            self._base.close()

    def _run(self, command: str, values: Sequence[Any] = ()) -> int:
        with self._lock, closing(self._base.execute(command, values)) as cursor:
            return cursor.rowcount

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._lock, closing(self._base.execute(query, values)) as cursor:
            return cursor.fetchall()

    def add(self, job: str, kind: str, request: str) -> None:
        """A new job at the end of the queue. request: as JSON."""
        self._run(
            "INSERT INTO jobs (id, kind, request, state, created) VALUES (?, ?, ?, 'queued', ?)",
            (job, kind, request, time.time()),
        )

    def state(self, job: str) -> JobState | None:
        """What is known of a job, but for its progress; None if nothing is."""
        rows = self._rows(f"SELECT {_COLUMNS}, number FROM jobs WHERE id = ?", (job,))  # noqa: S608
        if not rows:
            return None
        *values, number = rows[0]
        fields = dict(zip(_COLUMNS.split(", "), values, strict=True))
        result = fields.pop("result")
        position = None
        if fields["state"] == "queued":
            query = "SELECT COUNT(*) FROM jobs WHERE state = 'queued' AND number <= ?"
            position = max(1, self._rows(query, (number,))[0][0])
        return JobState(
            **fields, position=position, result=None if result is None else Output.model_validate_json(result)
        )

    def waiting(self) -> int:
        """How many jobs are queued."""
        return int(self._rows("SELECT COUNT(*) FROM jobs WHERE state = 'queued'")[0][0])

    def take(self) -> tuple[str, str] | None:
        """The next queued job's id and request, which is running from now on; None if none waits."""
        rows = self._rows(
            "UPDATE jobs SET state = 'running', attempts = attempts + 1, started = ? WHERE number ="
            " (SELECT number FROM jobs WHERE state = 'queued' ORDER BY number LIMIT 1) RETURNING id, request",
            (time.time(),),
        )
        return rows[0] if rows else None

    def again(self, job: str, *, counted: bool) -> None:
        """Queue a running job anew, at its old place. counted: whether the attempt counts."""
        self._run(
            "UPDATE jobs SET state = 'queued', started = NULL, attempts = attempts - ?"
            " WHERE id = ? AND state = 'running'",
            (0 if counted else 1, job),
        )

    def finish(
        self, job: str, state: str, keep: float, *, error: str | None = None, result: Output | None = None
    ) -> bool:
        """Bring a job to its end, unless it has one. keep: seconds until it expires."""
        now = time.time()
        written = None if result is None else result.model_dump_json()
        changed = self._run(
            "UPDATE jobs SET state = ?, error = ?, result = ?, finished = ?, expires = ?"
            " WHERE id = ? AND state IN ('queued', 'running')",
            (state, error, written, now, now + keep, job),
        )
        return changed > 0

    def forget(self, job: str) -> None:
        """Delete all that is known of a job."""
        self._run("DELETE FROM jobs WHERE id = ?", (job,))

    def orphans(self) -> list[tuple[str, int]]:
        """Jobs that ran when a server ended, and how often each was begun."""
        return [(job, attempts) for job, attempts in self._rows(_RUNNING)]

    def expired(self) -> list[str]:
        """Jobs whose time is over."""
        marks = ", ".join("?" * len(FINAL))
        query = f"SELECT id FROM jobs WHERE state IN ({marks}) AND expires < ?"  # noqa: S608
        return [row[0] for row in self._rows(query, (*FINAL, time.time()))]

    def known(self) -> set[str]:
        """The ids of all jobs."""
        return {row[0] for row in self._rows("SELECT id FROM jobs")}


_RUNNING = "SELECT id, attempts FROM jobs WHERE state = 'running'"
