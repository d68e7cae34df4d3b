"""The command `serve`: serves the page, and jobs over HTTP."""

from __future__ import annotations

import ipaddress
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import platformdirs
import typer

from gioconda.cli.commands import app
from gioconda.cli.options import DeviceOption, use_device
from gioconda.errors import InputError
from gioconda.runtime.devices import CPU

HostOption = Annotated[str, typer.Option(help="Address to listen on; the default accepts this machine only.")]
PortOption = Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=64,
        help="Worker processes; each runs one job at a time. If left out, one per core, as far as memory goes.",
        show_default=False,
    ),
]
DataOption = Annotated[
    Path | None,
    typer.Option(
        help="Folder for jobs and their files; the user's data folder by default.", show_default=False
    ),
]
TokenFileOption = Annotated[
    Path | None,
    typer.Option(
        help="File with the token that clients must send; GIOCONDA_TOKEN does the same.", show_default=False
    ),
]
NoTokenOption = Annotated[
    bool, typer.Option("--no-token", help="Let anyone who can reach the server submit jobs.")
]
AllowHostOption = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-host",
        help="A host name under which clients reach the server; may be repeated.",
        show_default=False,
    ),
]
WebhookHostOption = Annotated[
    list[str] | None,
    typer.Option(
        "--webhook-host",
        help="A host, or HOST:PORT, to which jobs may send webhooks, signed with the token; may be repeated.",
        show_default=False,
    ),
]
RootPathOption = Annotated[
    str,
    typer.Option(
        help="Prefix under which a proxy serves this, such as /gio; by default that of the header X-Forwarded-Prefix.",
        show_default=False,
    ),
]
QueueOption = Annotated[int, typer.Option(min=1, max=10_000, help="Jobs that may wait.")]
KeepOption = Annotated[float, typer.Option(min=0.01, max=24 * 365, help="Hours until results are deleted.")]
UploadOption = Annotated[
    int, typer.Option(min=1, max=4096, help="MiB that the files of one request may have.")
]
MemoryOption = Annotated[int, typer.Option(min=512, help="MiB of memory that one worker may use.")]
SecondsOption = Annotated[float, typer.Option(min=1, help="Seconds that one job may take.")]
KeyOption = Annotated[
    Path | None, typer.Option(help="Your own private key (PEM) to sign results with.", show_default=False)
]
CertificateOption = Annotated[
    Path | None, typer.Option(help="The certificate chain (PEM) of that key.", show_default=False)
]
PageOption = Annotated[bool, typer.Option("--page/--no-page", help="Serve a page for people beside the API.")]

_NEEDED = ("fastapi", "uvicorn", "python_multipart", "prometheus_client", "psutil", "websockets")


@app.command(short_help="Serve a page, and jobs over HTTP.")
def serve(
    host: HostOption = "127.0.0.1",
    port: PortOption = 7860,
    workers: WorkersOption = None,
    data: DataOption = None,
    token_file: TokenFileOption = None,
    no_token: NoTokenOption = False,
    allow_host: AllowHostOption = None,
    webhook_host: WebhookHostOption = None,
    root_path: RootPathOption = "",
    queue: QueueOption = 64,
    keep: KeepOption = 24.0,
    upload: UploadOption = 512,
    memory: MemoryOption = 4096,
    seconds: SecondsOption = 3600.0,
    key: KeyOption = None,
    certificate: CertificateOption = None,
    page: PageOption = True,
    device: DeviceOption = CPU,
) -> None:
    """Serve a page and the API until Ctrl-C; jobs run in worker processes."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise InputError(f"serve needs {', '.join(missing)}; run: pip install 'gioconda[web]'")
    # A device that is not there fails here, not in each worker.
    use_device(device)
    from gioconda.provenance.certificate import signing_identity
    from gioconda.web import serve as server
    from gioconda.web.capacity import capacity
    from gioconda.web.settings import ServerSettings

    # A wrong key fails here, not in the first job.
    signing_identity(key, certificate)
    token = server.read_token(token_file)
    if token is None and not no_token and not _is_loopback(host):
        raise InputError(
            f"--host {host} accepts other machines: add --token-file FILE, or --no-token to admit anyone"
        )
    settings = ServerSettings(
        data=data or Path(platformdirs.user_data_dir("gioconda")) / "serve",
        host=host,
        port=port,
        workers=workers or capacity().workers,
        queue=queue,
        token=token,
        hosts=tuple(allow_host or ()),
        webhook_hosts=tuple(host.lower() for host in webhook_host or ()),
        root_path=_prefix(root_path),
        keep_seconds=keep * 3600,
        upload_bytes=upload * 2**20,
        memory_bytes=memory * 2**20,
        job_seconds=seconds,
        key=key and key.absolute(),
        certificate=certificate and certificate.absolute(),
        device=device,
    )
    server.serve(
        settings, lambda address: typer.echo(f"serving {address} (Ctrl-C ends)", err=True), page=page
    )


def _prefix(root_path: str) -> str:
    """A valid prefix without its final slash; InputError for others."""
    from gioconda.web.http.prefix import valid_prefix

    prefix = valid_prefix(root_path)
    if prefix is None:
        raise InputError(
            f"--root-path {root_path} is not a prefix such as /gio; give one of letters and digits"
        )
    return prefix


def _is_loopback(host: str) -> bool:
    """Whether an address accepts connections from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
