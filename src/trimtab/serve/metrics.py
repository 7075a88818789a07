"""What is counted while a server works, as Prometheus reads it; with several workers, of all of them together.

Workers share files in the folder that PROMETHEUS_MULTIPROC_DIR names, which is set before a worker is started: any of
them then answers `/metrics` for all, and what a killed one counted is not lost.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from trimtab.serve.settings import METRICS_FOLDER

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Metrics:
    """The counters of a worker. Others may add their own by `gauge`: drift, for example."""

    def __init__(self) -> None:
        self.registry = own = CollectorRegistry()
        self.requests = Counter("trimtab_requests", "Requests by address and status", ["route", "status"], registry=own)
        self.seconds = Histogram(
            "trimtab_request_seconds", "From a request's head to its answer", ["route"], registry=own, buckets=_SECONDS
        )
        self.batch_rows = Histogram("trimtab_batch_rows", "Rows computed together", registry=own, buckets=_ROWS)
        self.batch_seconds = Histogram("trimtab_batch_seconds", "What a batch took", registry=own, buckets=_SECONDS)
        self.answers = Counter("trimtab_answers", "Rows by their answer", ["answer"], registry=own)
        self.problems = Counter("trimtab_problems", "Values not read as sent", ["column", "kind"], registry=own)
        self.waiting = self.gauge("trimtab_waiting_rows", "Rows that wait to be computed", mode="livesum")
        self.bundle = self.gauge("trimtab_bundle", "When a bundle was loaded", ["bundle", "name"], "livemax")
        self.recorded = self.gauge("trimtab_log_entries", "Entries of the log since the start", ["state"], "livesum")
        self.read_tokens = Counter("trimtab_prompt_tokens", "Tokens of prompts that were read", registry=own)
        self.written_tokens = Counter("trimtab_tokens", "Tokens that were written", registry=own)
        self.first_token = Histogram(
            "trimtab_first_token_seconds", "From a request to its first token", registry=own, buckets=_SECONDS
        )
        self.token_seconds = Histogram(
            "trimtab_token_seconds", "From one token of a request to the next", registry=own, buckets=_SECONDS
        )
        self.writing = self.gauge("trimtab_writing_rows", "Rows that are being written", mode="livesum")
        self.reloads = Counter("trimtab_reloads", "Bundles that were asked for", ["outcome"], registry=own)

    def gauge(
        self,
        name: str,
        help: str,
        labels: Sequence[str] = (),
        mode: Literal["livesum", "livemax", "max", "mostrecent"] = "mostrecent",
    ) -> Gauge:
        """A number that goes up and down; `mode` says what becomes of those of several workers."""
        return Gauge(name, help, labels, registry=self.registry, multiprocess_mode=mode)

    def batch(self, rows: int, seconds: float) -> None:
        """A batch was computed."""
        self.batch_rows.observe(rows)
        self.batch_seconds.observe(seconds)

    def wrote(self, tokens: int, seconds: float, first: bool) -> None:
        """Tokens of a request were written, so many seconds after its last one, or after it came."""
        self.written_tokens.inc(tokens)
        (self.first_token if first else self.token_seconds).observe(seconds)

    def request(self, route: str, status: int, seconds: float) -> None:
        """A request was answered."""
        self.requests.labels(route, status).inc()
        self.seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """All of it in Prometheus's text format."""
        if not os.environ.get(METRICS_FOLDER):
            return generate_latest(self.registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)
