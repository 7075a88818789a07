"""A PostgreSQL server: many replicas on many machines write one log."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

import psycopg
from psycopg.conninfo import conninfo_to_dict

from trimtab.errors import problem
from trimtab.watch.log import ENTRIES, Entry, Label, Log, LogError, Sql, entry_row, label_row

_PATIENCE = 5  # seconds until a server that does not answer counts as away
# Writers take turns: else an entry could become visible behind a reader that has been told of a later one.
_TURN = "SELECT pg_advisory_xact_lock(7423061188)"


class PostgresqlLog(Log):
    """See `Log`. A connection that is lost is made again by the next call."""

    sql = Sql("%s", "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY")

    def __init__(self, url: str, where: str) -> None:
        self.where = where
        self._url = url
        self._connection: psycopg.Connection[Any] | None = None
        self._lock = threading.Lock()

    @classmethod
    def opened(cls, url: str, create: bool) -> Self:
        """See `Log.opened`."""
        try:
            parts = conninfo_to_dict(url)
        except psycopg.Error as error:
            allowed = "postgresql://user:password@host:port/database"
            raise problem("log", f"the URL cannot be read ({str(error).strip()})", allowed) from error
        where = f"postgresql://{parts.get('host', '')}/{parts.get('dbname', '')}"
        found = cls(url, where)
        try:
            with found._working() as connection:
                for statement in (_TURN, *cls.sql.tables, *cls.sql.indices) if create else ():
                    connection.execute(statement)
                connection.execute(f"SELECT place FROM {ENTRIES} LIMIT 1")
        except LogError as error:
            do = "is the server there, may this user write to it, and did a server of Trimtab write to it before?"
            raise problem(
                where, f"is no log of answers that can be used ({error.__cause__})".replace("\n", " "), do=do
            ) from error
        return found

    def append(self, entries: Sequence[Entry], labels: Sequence[Label] = ()) -> None:
        """See `Log.append`."""
        made, said = [entry_row(entry) for entry in entries], [label_row(label) for label in labels]
        with self._working() as connection, connection.cursor() as cursor:
            cursor.execute(_TURN)
            cursor.executemany(self.sql.entry, made)
            cursor.executemany(self.sql.label, said)

    def rows(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """See `Log.rows`."""
        with self._working() as connection:
            return connection.execute(statement, values).fetchall()

    def close(self) -> None:
        """See `Log.close`."""
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    @contextmanager
    def _working(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection, and one transaction on it."""
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = psycopg.connect(self._url, connect_timeout=_PATIENCE)
                with self._connection.transaction():
                    yield self._connection
            except psycopg.Error as error:
                self._drop()
                raise LogError(f"{self.where}: {error}") from error
