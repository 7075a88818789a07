"""Answers to the log, without a request ever waiting for it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from trimtab.watch.log import Entry, Label, Log, LogError

_GATHERED = 0.02  # seconds from the first entry until all that wait are written: a kill costs no more, and one write
_LONGEST_PAUSE = 1.0  # seconds between two tries while the log cannot be written
_BATCH = 5000  # entries of one transaction
_MOST_WAITING = 50_000  # entries held in memory while the log cannot be written


@dataclass(frozen=True)
class Recorded:
    """What became of what was recorded, counted since the start."""

    written: int  # entries and labels
    waiting: int
    lost: int  # for the log could not be written for so long that memory ran out, or never at all
    failures: int  # tries to write that failed
    error: str  # of the last one


@dataclass
class _Counts:
    written: int = 0
    lost: int = 0
    failures: int = 0
    error: str = ""


@dataclass
class Recorder:
    """Writes entries from one thread of its own. Each process of a server has its own, made after it was started.

    What is recorded is on disk within 50 ms, so that kill -9 loses no more. While the log cannot be written (a full
    disk, a lock, a server that is away) entries wait in memory, `most_waiting` of them at most; what comes then is
    lost, and counted. Answers are never held up.
    """

    log: Log
    most_waiting: int = _MOST_WAITING
    _waiting: deque[Entry | Label] = field(default_factory=deque, repr=False)
    _to_make: deque[tuple[int, Callable[[], Iterable[Entry | Label]]]] = field(default_factory=deque, repr=False)
    _there: threading.Event = field(default_factory=threading.Event, repr=False)
    _closing: threading.Event = field(default_factory=threading.Event, repr=False)
    _counts: _Counts = field(default_factory=_Counts, repr=False)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run, name="trimtab-log", daemon=True)
        self._thread.start()

    def record(self, entries: Iterable[Entry | Label]) -> None:
        """Take entries of answers, and labels that were sent later. Returns at once, and never raises for the log."""
        for entry in entries:
            if self._closing.is_set() or len(self._waiting) >= self.most_waiting:
                self._counts.lost += 1
            else:
                self._waiting.append(entry)
        self._there.set()

    def record_later(self, make: Callable[[], Iterable[Entry | Label]], rows: int) -> None:
        """As `record`, but the entries, `rows` of them, are made by the recorder's own thread: sketches cost time.

        What `make` raises is counted, and its entries are lost.
        """
        if self._closing.is_set() or len(self._waiting) + len(self._to_make) >= self.most_waiting:
            self._counts.lost += rows
        else:
            self._to_make.append((rows, make))
            self._there.set()

    def counts(self) -> Recorded:
        """What became of what was recorded."""
        own = self._counts
        return Recorded(own.written, len(self._waiting) + self._unmade, own.lost, own.failures, own.error)

    def flush(self, seconds: float = 5.0) -> bool:
        """Wait until all that was recorded is written; whether it is."""
        until = time.monotonic() + seconds
        while (self._waiting or self._to_make) and time.monotonic() < until:
            time.sleep(0.005)
        return not (self._waiting or self._to_make)

    def close(self, seconds: float = 5.0) -> bool:
        """Write what waits, for so long at most, and close the log; whether all was written."""
        written = self.flush(seconds)
        self._closing.set()
        self._there.set()
        self._thread.join(seconds)
        self._counts.lost += len(self._waiting) + self._unmade
        self.log.close()
        return written

    def _run(self) -> None:
        pause = 0.0
        while not self._closing.is_set():
            self._there.wait()
            self._closing.wait(pause or _GATHERED)
            self._there.clear()
            self._make()
            while self._waiting:
                if not self._wrote():
                    pause = min(_LONGEST_PAUSE, 2 * pause or _GATHERED)
                    self._there.set()
                    break
                pause = 0.0

    @property
    def _unmade(self) -> int:
        return sum(rows for rows, _ in tuple(self._to_make))

    def _make(self) -> None:
        """Entries of all that were to be made later; they are let go of when they wait to be written."""
        while self._to_make and len(self._waiting) < self.most_waiting:
            rows, make = self._to_make[0]
            try:
                self._waiting.extend(make())
            except Exception as error:
                self._failed(error)
                self._counts.lost += rows
            self._to_make.popleft()

    def _wrote(self) -> bool:
        """Write the first of those that wait; they are let go of only when they are written."""
        batch = [self._waiting[place] for place in range(min(_BATCH, len(self._waiting)))]
        try:
            written = self._append(batch) or self._one_by_one(batch)
        except LogError as error:
            self._failed(error)
            return False
        for _ in batch:
            self._waiting.popleft()
        self._counts.written += written
        self._counts.lost += len(batch) - written
        return True

    def _one_by_one(self, batch: list[Entry | Label]) -> int:
        """An entry that no log can hold must not keep the others out; how many were written."""
        return sum(self._append([one]) for one in batch)

    def _append(self, batch: list[Entry | Label]) -> int:
        """How many were written: all or none."""
        entries = [one for one in batch if isinstance(one, Entry)]
        try:
            self.log.append(entries, [one for one in batch if isinstance(one, Label)])
        except LogError:
            raise
        except Exception as error:
            self._failed(error)
            return 0
        return len(batch)

    def _failed(self, error: Exception) -> None:
        self._counts.failures += 1
        self._counts.error = " ".join(str(error).split())
