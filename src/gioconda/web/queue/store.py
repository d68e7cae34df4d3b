"""The database of jobs in SQLite; only one server at a time may have it open."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from gioconda.errors import InputError, OutputError
from gioconda.web.queue.state import FINAL, JobState, Output, Submission

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
  result TEXT,
  key TEXT,
  fingerprint TEXT,
  webhook TEXT,
  webhook_tries INTEGER NOT NULL DEFAULT 0,
  webhook_due REAL
)
"""
# Columns that databases of earlier versions lack.
_ADDED = (
    "key TEXT",
    "fingerprint TEXT",
    "webhook TEXT",
    "webhook_tries INTEGER NOT NULL DEFAULT 0",
    "webhook_due REAL",
)
_COLUMNS = "id, kind, state, attempts, created, started, finished, expires, error, result"


class Store:
    """The database of jobs. Methods may be called from any thread; changes are on the disk when they return."""

    def __init__(self, path: Path) -> None:
        """Open or create the database.

        Raises:
            InputError: Another server has it open, or it is damaged.
            OutputError: It cannot be written.
        """
        self._lock = threading.Lock()
        try:
            self._base = sqlite3.connect(path, timeout=1.0, check_same_thread=False, isolation_level=None)
            # The lock of the file also keeps a second server from running the same jobs.
            for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=NORMAL"):
                self._base.execute(f"PRAGMA {pragma}").close()
            self._run(_TABLE)
            self._add_columns()
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise InputError(
                    f"another server uses {path.parent}; stop it, or choose another folder with --data"
                ) from None
            raise OutputError(
                f"{path} cannot be opened ({error}); choose another folder with --data"
            ) from None
        except sqlite3.DatabaseError as error:
            raise InputError(f"{path} is damaged ({error}); move it away (its jobs are lost)") from None

    def _add_columns(self) -> None:
        """Add the columns that a database of an earlier version lacks; a key belongs to one job."""
        present = {row[1] for row in self._rows("PRAGMA table_info(jobs)")}
        for column in _ADDED:
            if column.split()[0] not in present:
                self._run(f"ALTER TABLE jobs ADD COLUMN {column}")
        self._run("CREATE UNIQUE INDEX IF NOT EXISTS keys ON jobs (key)")

    def close(self) -> None:
        """Close the database, so that another server can open it."""
        with self._lock:
            self._base.close()

    def _run(self, command: str, values: Sequence[Any] = ()) -> int:
        """Execute a statement and return the number of rows that it changed."""
        with self._lock, closing(self._base.execute(command, values)) as cursor:
            return cursor.rowcount

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Execute a query and return its rows."""
        with self._lock, closing(self._base.execute(query, values)) as cursor:
            return cursor.fetchall()

    def add(self, job: str, kind: str, request: str, submission: Submission) -> None:
        """Add a job, with its request as JSON, at the end of the queue."""
        self._run(
            "INSERT INTO jobs (id, kind, request, state, created, key, fingerprint, webhook)"
            " VALUES (?, ?, ?, 'queued', ?, ?, ?, ?)",
            (job, kind, request, time.time(), submission.key, submission.fingerprint, submission.webhook),
        )

    def by_key(self, key: str) -> tuple[str, str] | None:
        """Return the id and the fingerprint of the job with an idempotency key; None if there is none."""
        rows = self._rows("SELECT id, fingerprint FROM jobs WHERE key = ?", (key,))
        return rows[0] if rows else None

    def state(self, job: str) -> JobState | None:
        """Return the state of a job without its progress; None if the job does not exist."""
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
        """Return the number of queued jobs."""
        return int(self._rows("SELECT COUNT(*) FROM jobs WHERE state = 'queued'")[0][0])

    def take(self) -> tuple[str, str] | None:
        """Mark the next queued job as running and return its id and request; None if no job waits."""
        rows = self._rows(
            "UPDATE jobs SET state = 'running', attempts = attempts + 1, started = ? WHERE number ="
            " (SELECT number FROM jobs WHERE state = 'queued' ORDER BY number LIMIT 1) RETURNING id, request",
            (time.time(),),
        )
        return rows[0] if rows else None

    def requeue(self, job: str, *, counted: bool) -> None:
        """Queue a running job again, at its old place; the attempt counts only if `counted`."""
        self._run(
            "UPDATE jobs SET state = 'queued', started = NULL, attempts = attempts - ?"
            " WHERE id = ? AND state = 'running'",
            (0 if counted else 1, job),
        )

    def finish(
        self, job: str, state: str, keep: float, *, error: str | None = None, result: Output | None = None
    ) -> bool:
        """Mark a job as ended.

        Args:
            job: The job's id.
            state: The state in which it ended.
            keep: Seconds until it expires.
            error: Why it failed.
            result: What it has made.

        Returns:
            False if the job had ended before; then it stays as it is.
        """
        now = time.time()
        written = None if result is None else result.model_dump_json()
        changed = self._run(
            "UPDATE jobs SET state = ?, error = ?, result = ?, finished = ?, expires = ?, webhook_due = ?"
            " WHERE id = ? AND state IN ('queued', 'running')",
            (state, error, written, now, now + keep, now, job),
        )
        return changed > 0

    def claim_webhook(self, first_pause: float, most_pause: float) -> tuple[str, str, float] | None:
        """Take the webhook that is due for the longest time, and make it due again later.

        Args:
            first_pause: Seconds after the first attempt until it is due again; each further pause is twice as long.
            most_pause: Seconds of the longest pause.

        Returns:
            The job's id, the webhook's address, and when it will be due again; None if none is due.
        """
        rows = self._rows(
            "UPDATE jobs SET webhook_tries = webhook_tries + 1,"
            " webhook_due = ?1 + MIN(?3, ?2 * (1 << MIN(webhook_tries, 30))) WHERE number ="
            " (SELECT number FROM jobs WHERE webhook IS NOT NULL AND webhook_due <= ?1 ORDER BY webhook_due LIMIT 1)"
            " RETURNING id, webhook, webhook_due",
            (time.time(), first_pause, most_pause),
        )
        return rows[0] if rows else None

    def next_webhook(self) -> float | None:
        """Return when the next webhook is due, in seconds since 1970; None if none waits."""
        due = self._rows("SELECT MIN(webhook_due) FROM jobs WHERE webhook IS NOT NULL")[0][0]
        return None if due is None else float(due)

    def drop_webhook(self, job: str) -> None:
        """Send a job's webhook no more."""
        self._run("UPDATE jobs SET webhook = NULL WHERE id = ?", (job,))

    def forget(self, job: str) -> None:
        """Delete a job."""
        self._run("DELETE FROM jobs WHERE id = ?", (job,))

    def orphans(self) -> list[tuple[str, int]]:
        """Return the jobs that ran when a server died, and how often each was started."""
        return [(job, attempts) for job, attempts in self._rows(_RUNNING)]

    def expired(self) -> list[str]:
        """Return the ids of expired jobs."""
        marks = ", ".join("?" * len(FINAL))
        query = f"SELECT id FROM jobs WHERE state IN ({marks}) AND expires < ?"  # noqa: S608
        return [row[0] for row in self._rows(query, (*FINAL, time.time()))]

    def known(self) -> set[str]:
        """Return the ids of all jobs."""
        return {row[0] for row in self._rows("SELECT id FROM jobs")}


_RUNNING = "SELECT id, attempts FROM jobs WHERE state = 'running'"
