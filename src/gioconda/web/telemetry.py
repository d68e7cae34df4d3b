"""The log in lines of JSON, and metrics for Prometheus."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import psutil
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from gioconda.web.live.sessions import Sessions
    from gioconda.web.queue.jobs import JobQueue

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON, including its `extra` values."""

    def format(self, record: logging.LogRecord) -> str:
        """Format one record."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        entry: dict[str, object] = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        entry |= {
            name: value for name, value in vars(record).items() if name not in _PLAIN and value is not None
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


def log_to_stderr(level: int = logging.INFO) -> None:
    """Log the messages of the server and of uvicorn to standard error, in lines of JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    for name, least in (
        ("gioconda.web", level),
        ("uvicorn", logging.WARNING),
        ("python_multipart", logging.ERROR),
    ):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(least)


class Metrics(Collector):
    """Counters of requests, and gauges that read the queue when Prometheus asks."""

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self._requests = Counter(
            "gioconda_http_requests",
            "Requests answered.",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "gioconda_http_request_seconds",
            "Seconds to the end of the answer.",
            ("route",),
            registry=self._registry,
        )

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request. Unknown methods count as "other", so that clients cannot add labels."""
        known = method if method in ("GET", "HEAD", "POST", "DELETE", "OPTIONS") else "other"
        self._requests.labels(known, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def watch(self, sessions: Sessions) -> None:
        """Add the metrics of the sessions."""
        self._registry.register(_SessionMetrics(sessions))

    def text(self) -> bytes:
        """Return all metrics in Prometheus' format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield the queue's metrics."""
        queue = self._queue
        yield GaugeMetricFamily("gioconda_jobs_waiting", "Jobs in the queue.", queue.waiting)
        yield GaugeMetricFamily("gioconda_jobs_running", "Jobs that are running.", queue.running)
        yield GaugeMetricFamily("gioconda_workers_up", "Worker processes that are running.", queue.workers_up)
        ended = CounterMetricFamily("gioconda_jobs_ended", "Jobs that ended.", labels=("kind", "state"))
        for labels, count in tuple(queue.counts.items()):
            ended.add_metric(labels, count)
        yield ended
        yield CounterMetricFamily(
            "gioconda_worker_crashes", "Workers that died during a job.", queue.restarts
        )
        memory = GaugeMetricFamily("gioconda_resident_bytes", "Resident memory.", labels=("process",))
        memory.add_metric(("server",), psutil.Process().memory_info().rss)
        memory.add_metric(("workers",), sum(queue.worker_memory().values()))
        yield memory


class _SessionMetrics(Collector):
    """Metrics of the sessions."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def collect(self) -> Iterator[Metric]:
        """Yield the number of sessions and their memory, by use."""
        count = GaugeMetricFamily("gioconda_sessions", "Open sessions.", labels=("use",))
        memory = GaugeMetricFamily(
            "gioconda_session_bytes", "Resident memory of the sessions.", labels=("use",)
        )
        for use, held in self._sessions.memory().items():
            count.add_metric((use,), len(held))
            memory.add_metric((use,), sum(held))
        yield count
        yield memory
