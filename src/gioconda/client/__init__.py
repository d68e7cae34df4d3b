"""Clients of a server that `gioconda serve` runs: the functions of the package, carried out there."""

from gioconda.client.blocking import Client, Job
from gioconda.client.concurrent import AsyncClient, AsyncJob
from gioconda.client.state import JobState

__all__ = ["AsyncClient", "AsyncJob", "Client", "Job", "JobState"]
