"""A file of SQLite in WAL mode: readers never wait for writers, and what is written outlives a kill of the process."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from trimtab.errors import problem
from trimtab.watch.log import ENTRIES, Entry, Label, Log, LogError, Sql, entry_row, label_row

_PREFIX = "sqlite://"
_PATIENCE = 5.0  # seconds that one process waits for another to end writing


class SqliteLog(Log):
    """See `Log`."""

    sql = Sql("?", "INTEGER PRIMARY KEY AUTOINCREMENT")

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
        for statement in (*self.sql.tables, *self.sql.indices, "COMMIT"):
            self._connection.execute(statement)

    def append(self, entries: Sequence[Entry], labels: Sequence[Label] = ()) -> None:
        """See `Log.append`."""
        made, said = [entry_row(entry) for entry in entries], [label_row(label) for label in labels]
        with self._lock, _told(self.where):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._connection.executemany(self.sql.entry, made)
                self._connection.executemany(self.sql.label, said)
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def rows(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """See `Log.rows`."""
        with self._lock, _told(self.where):
            return self._connection.execute(statement, values).fetchall()

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
