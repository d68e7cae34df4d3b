"""Webhooks: the server posts the final state of a job to an address that the client named, on hosts that are allowed.

Requests are signed as https://www.standardwebhooks.com describes, with the server's token as the secret.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import logging
import threading
import time
from collections.abc import Collection
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

import gioconda
from gioconda.errors import InputError

if TYPE_CHECKING:
    from gioconda.web.queue.store import Store

LOG = logging.getLogger("gioconda.web")

# Seconds after a job's end until which its webhook is tried.
GIVE_UP_SECONDS = 3600.0
# Seconds before the second attempt; each further pause is twice as long, up to the most.
FIRST_PAUSE, MOST_PAUSE = 1.0, 600.0
# Threads that send, so that a slow host does not hold up others.
SENDERS = 2
# Seconds in which a host has to answer.
_ANSWER_SECONDS = 5.0
# Most seconds between two looks at the clock, which may be set, while a webhook waits to be sent again.
_CLOCK_SECONDS = 60.0
_PORTS = {"http": 80, "https": 443}
# Statuses that mean that the host has taken a webhook.
_TAKEN = range(200, 300)


def check_webhook(url: str, hosts: Collection[str]) -> None:
    """Check that the server may send a webhook to an address.

    Args:
        url: The address.
        hosts: Allowed hosts in lower case, "name" for the usual port of the scheme or "name:port".

    Raises:
        InputError: The address is malformed, or its host is not allowed.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", _port(parts)
    except ValueError:
        parts, host, port = SplitResult("", "", "", "", ""), "", 0
    plain = url.isascii() and url.isprintable() and not set(url) & set(" \\#") and "@" not in parts.netloc
    if parts.scheme not in _PORTS or not host or not plain:
        raise InputError(
            "the webhook must be an address such as https://example.org/done, without a password or a fragment"
        )
    usual = port == _PORTS[parts.scheme]
    if f"{host}:{port}" not in hosts and not (usual and host in hosts):
        named = host if usual else f"{host}:{port}"
        raise InputError(
            f"this server sends no webhooks to {named}; to allow it, start the server with --webhook-host {named}"
        )


def _port(parts: SplitResult) -> int:
    """The port of an address, 0 for an unknown scheme; ValueError for a malformed one."""
    return parts.port or _PORTS.get(parts.scheme, 0)


def signature(token: str, job: str, moment: int, body: bytes) -> str:
    """Return the value of the header `webhook-signature` for a body that is sent at `moment`, seconds since 1970."""
    signed = hmac.new(token.encode(), f"{job}.{moment}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(signed.digest()).decode()}"


class Sender(threading.Thread):
    """A thread that sends the webhooks of jobs that have ended, until `stopping` is set."""

    def __init__(
        self,
        store: Store,
        token: str,
        hosts: Collection[str],
        changed: threading.Condition,
        stopping: threading.Event,
    ) -> None:
        """Prepare to send.

        Args:
            store: The database of jobs.
            token: The secret that signs.
            hosts: As for `check_webhook`; an address whose host is no longer allowed is given up.
            changed: Notified when a job ends.
            stopping: Ends the thread.
        """
        super().__init__(name="gioconda-webhooks", daemon=True)
        self._store, self._token, self._hosts = store, token, hosts
        self._changed, self._stopping = changed, stopping

    def run(self) -> None:
        """Send webhooks as they become due."""
        while not self._stopping.is_set():
            # A claim is due again after a pause, also if this process dies meanwhile.
            claim = self._store.claim_webhook(FIRST_PAUSE, MOST_PAUSE)
            if claim is None:
                self._wait()
                continue
            job, url, due = claim
            state = self._store.state(job)
            if state is None:
                continue
            failure = self._failure(url, job, state.model_dump_json().encode())
            late = due > (state.finished or 0.0) + GIVE_UP_SECONDS
            if failure is None or late:
                self._store.drop_webhook(job)
            if failure is not None:
                ending = "it is given up" if late else "it is sent again later"
                LOG.warning("a webhook failed: %s; %s", failure, ending, extra={"job": job[:8]})

    def _wait(self) -> None:
        """Wait until the next webhook is due; where none waits, until a job ends or the queue stops."""
        with self._changed:
            due = self._store.next_webhook()
            if not self._stopping.is_set():
                seconds = None if due is None else due - time.time()
                self._changed.wait(seconds and min(max(seconds, 0.0), _CLOCK_SECONDS))

    def _failure(self, url: str, job: str, body: bytes) -> str | None:
        """Send a body and return why that failed; None where the host has taken it. Redirects are not followed."""
        try:
            check_webhook(url, self._hosts)
        except InputError as error:
            return str(error)
        parts, moment = urlsplit(url), int(time.time())
        scheme = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = scheme(parts.hostname or "", _port(parts), timeout=_ANSWER_SECONDS)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"gioconda/{gioconda.__version__}",
            "webhook-id": job,
            "webhook-timestamp": str(moment),
            "webhook-signature": signature(self._token, job, moment, body),
        }
        target = parts._replace(scheme="", netloc="", path=parts.path or "/").geturl()
        try:
            connection.request("POST", target, body, headers)
            status = connection.getresponse().status
        except (OSError, ValueError, http.client.HTTPException) as error:
            return f"the host cannot be reached ({type(error).__name__})"
        finally:
            connection.close()
        return None if status in _TAKEN else f"the host answered {status}"
