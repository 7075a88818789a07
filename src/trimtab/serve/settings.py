"""What a server was asked to be."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # where the workers of a server count together


@dataclass(frozen=True)
class Settings:
    """What `trimtab serve` was given, defaults filled in; the same in every worker, to which it goes as JSON."""

    bundle: str  # the folder
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    threads: int | None = None  # that each worker computes with; None: the cores that it may use, shared by the workers
    megabytes: float = 16.0  # of a request's body (10^6 bytes)
    rows: int = 1_000  # of a request
    megapixels: float = 25.0  # of a picture
    megasamples: float = 60.0  # of a sound, of all its channels: 10 minutes of stereo at 48,000 Hz
    timeout: float = 10.0  # seconds until an answer
    body_timeout: float = 10.0  # seconds until a body has arrived
    queue: int = 1_000  # rows that wait in a worker
    queue_megabytes: float = 64.0  # of these rows, as the network takes them
    held_megabytes: float = 256.0  # of all bodies that a worker has in memory
    tokens: int | None = None  # of one answer that is written; None: as many as the bundle says itself
    keys: str | None = None  # the file of those who may ask; None: everyone may
    admin_keys: str | None = None  # the file of those who may do what an admin does; None: nobody may
    rate: float = 0.0  # requests a second for each key, or each address where there are no keys; 0: any number
    rates: int | None = None  # the descriptor of what the workers count them in
    origins: tuple[str, ...] = ()  # of pages that may ask from a browser (CORS)
    certificate: str | None = None
    key: str | None = None
    access_log: float = 0.0  # share of the requests that a line is written of
    log: str | None = None  # where answers are recorded: a URL of `watch.log`; None: nowhere
    log_inputs: bool = False  # whether the rows themselves are recorded too
    log_share: float = 1.0  # of the requests that are recorded
    shadow: str | None = None  # another bundle, which answers too, and is not heard
    canary: float = 0.0  # share of the requests that the other bundle answers

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Self:
        """The settings that came as JSON."""
        return cls(**{**found, "origins": tuple(found["origins"])})

    def address(self, listening: socket.socket) -> str:
        """Where the server can be asked."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.certificate else 'http'}://{host}:{listening.getsockname()[1]}"
