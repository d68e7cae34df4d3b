"""The settings of a server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gioconda.errors import InputError
from gioconda.runtime.devices import CPU


@dataclass(frozen=True)
class ServerSettings:
    """How a server behaves. Sizes are in bytes, times in seconds.

    Attributes:
        data: The folder of everything that the server keeps.
        host: The address to listen on.
        port: The port to listen on; 0 takes a free one.
        workers: Worker processes; each runs one job at a time.
        queue: Jobs that may wait; further ones are refused.
        token: What clients must send; None admits everyone.
        root_path: The prefix under which a proxy serves the app, such as /gio; "" for the header X-Forwarded-Prefix.
        hosts: Further names under which clients reach the server.
        webhook_hosts: Hosts, in lower case, to which webhooks are sent: "name" or "name:port".
        upload_bytes: What all files of one request may have.
        upload_seconds: What one upload may take.
        idle_seconds: What the next piece of an upload may take.
        uploads: Uploads that may be in progress at once.
        reserve_bytes: What must stay free on the disk.
        media_seconds: The longest video or sound that is accepted.
        job_seconds: What one job may take.
        memory_bytes: What one worker may use.
        attempts: How often a job is started in all when its worker dies.
        recycle: Jobs after which a worker is replaced by a new one.
        nice: Added to the niceness of the workers.
        key: Absolute path of the private key that signs results; None for Gioconda's own.
        certificate: Absolute path of the certificate chain of that key.
        device: What runs the networks, as for `gioconda.runtime.onnx.use_device`.
        keep_seconds: How long results are kept.
        event_seconds: What one stream of events may take; then the client has to connect again.

    Raises:
        InputError: There are hosts for webhooks, but no token, which signs them.
    """

    data: Path
    host: str = "127.0.0.1"
    port: int = 7860
    workers: int = 1
    queue: int = 64
    token: str | None = None
    root_path: str = ""
    hosts: tuple[str, ...] = ()
    webhook_hosts: tuple[str, ...] = ()
    upload_bytes: int = 512 * 2**20
    upload_seconds: float = 600.0
    idle_seconds: float = 30.0
    uploads: int = 8
    reserve_bytes: int = 2**30
    media_seconds: float = 600.0
    job_seconds: float = 3600.0
    memory_bytes: int = 4 * 2**30
    attempts: int = 2
    recycle: int = 100
    nice: int = 5
    key: Path | None = None
    certificate: Path | None = None
    device: str = CPU
    keep_seconds: float = 24 * 3600.0
    event_seconds: float = 900.0

    def __post_init__(self) -> None:
        if self.webhook_hosts and self.token is None:
            raise InputError("--webhook-host needs a token, which signs what is sent; add --token-file FILE")
