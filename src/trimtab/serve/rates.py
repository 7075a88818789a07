"""How often each client may ask: a token bucket for each, which the workers share.

Buckets lie in a file that every worker maps into its memory, one of 4,096 for each name by its hash: two names may
share one, which is rare and strict rather than lax.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import struct
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

_BUCKETS = 4_096
_BUCKET = struct.Struct("dd")  # tokens, and when they were counted
_SIZE = _BUCKETS * _BUCKET.size


def shared() -> int:
    """A file without a name for the buckets of all workers: its descriptor, which they inherit."""
    with tempfile.TemporaryFile() as file:
        file.truncate(_SIZE)
        return os.dup(file.fileno())


class Rates:
    """So many requests a second for each name, and as many at once as two seconds give."""

    def __init__(self, per_second: float, descriptor: int) -> None:
        self.per_second = per_second
        self._most = max(1.0, 2 * per_second)
        self._descriptor = descriptor
        self._buckets = mmap.mmap(descriptor, _SIZE)

    def wait(self, name: str) -> float:
        """Seconds until the name may ask again; 0: it may, and this is counted."""
        place = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest()) % _BUCKETS
        start = place * _BUCKET.size
        with self._locked(start):
            tokens, before = _BUCKET.unpack_from(self._buckets, start)
            now = time.monotonic()
            full = self._most if not before else min(self._most, tokens + (now - before) * self.per_second)
            _BUCKET.pack_into(self._buckets, start, full - (full >= 1), now)
        return 0.0 if full >= 1 else (1 - full) / self.per_second

    @contextmanager
    def _locked(self, start: int) -> Iterator[None]:
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX, _BUCKET.size, start)
        try:
            yield
        finally:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN, _BUCKET.size, start)
