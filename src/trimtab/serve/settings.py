"""What a server was asked to be."""

from __future__ import annotations

from dataclasses import dataclass

from trimtab.columns import InputPolicy


@dataclass(frozen=True)
class Settings:
    """What `trimtab serve` was given, defaults filled in; the same in every worker."""

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

    @property
    def policy(self) -> InputPolicy:
        """What a value of a request may be: content alone, never a file of this machine."""
        return InputPolicy(
            files=False, megabytes=self.megabytes, megapixels=self.megapixels, megasamples=self.megasamples
        )
