"""A file of SQLite in WAL mode: readers never wait for writers, and what is written outlives a kill of the process."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from trimtab.errors import problem
from trimtab.watch.log import ENTRIES, Entry, Kept, Label, Log, LogError, Seen, Sql, entry_row, kept, label_row

_SQL = Sql("?", "INTEGER PRIMARY KEY AUTOINCREMENT")
_PREFIX = "sqlite://"
_PATIENCE = 5.0  # seconds that one process waits for another to end writing
_PORTION = 2000  # entries read at a time


class SqliteLog(Log):
    """See `Log`."""

    def __init__(self, connection: sqlite3.Connection, where: str) -> None:
        self.where = where
        self._connection = connection
        self._lock = threading.Lock()  # one connection, several threads

    @classmethod
    def opened(cls, url: str, create: bool) -> Self:
        """See `Log.opened`."""
        path = Path(url.removeprefix(_PREFIX + "/") if url.startswith(_PREFIX + "/") else url.removeprefix(_PREFIX))
        if not create and not path.is_file():
            raise problem(str(path), "no such log", do="name the log that the server writes: --log FILE")
        try:
            connection = sqlite3.connect(path, _PATIENCE, isolation_level=None, check_same_thread=False)
            found = cls(connection, str(path))
            if create:
                found._make()
            connection.execute(f"SELECT place FROM {ENTRIES} LIMIT 1")
        except sqlite3.DatabaseError as error:
            raise problem(str(path), f"is no log of answers ({error})", do="name another file") from error
        return found

    def _make(self) -> None:
        """Several processes may make the same log at once."""
        # A crash of the machine may cost the last transactions, a kill of the process none.
        for statement in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=NORMAL", "BEGIN IMMEDIATE"):
            self._connection.execute(statement)
        for statement in (*_SQL.tables, *_SQL.indices, "COMMIT"):
            self._connection.execute(statement)

    def append(self, entries: Sequence[Entry], labels: Sequence[Label] = ()) -> None:
        """See `Log.append`."""
        made, said = [entry_row(entry) for entry in entries], [label_row(label) for label in labels]
        with self._lock, _told(self.where):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._connection.executemany(_SQL.entry, made)
                self._connection.executemany(_SQL.label, said)
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def read(self, bundle: str | None = None, column: str | None = None, after: int = 0) -> Iterator[Kept]:
        """See `Log.read`."""
        while True:
            with self._lock, _told(self.where):
                asked = (column or "", after, bundle or "", bundle or "", _PORTION)
                rows = self._connection.execute(_SQL.read, asked).fetchall()
            yield from map(kept, rows)
            if len(rows) < _PORTION:
                return
            after = rows[-1][0]

    def labelled(self, bundle: str, column: str, after: int = 0) -> Iterator[tuple[int, Kept]]:
        """See `Log.labelled`."""
        while True:
            with self._lock, _told(self.where):
                rows = self._connection.execute(_SQL.labelled, (after, column, bundle, _PORTION)).fetchall()
            yield from ((row[-1], kept(row[:-1])) for row in rows)
            if len(rows) < _PORTION:
                return
            after = rows[-1][-1]

    def seen(self) -> list[Seen]:
        """See `Log.seen`."""
        with self._lock, _told(self.where):
            return [Seen(*row) for row in self._connection.execute(_SQL.seen).fetchall()]

    def close(self) -> None:
        """See `Log.close`."""
        with self._lock:
            self._connection.close()


@contextmanager
def _told(where: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise LogError(f"{where}: {error}") from error
