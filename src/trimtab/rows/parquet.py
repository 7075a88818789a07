"""Parquet, read and written by polars in chunks."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl
from polars import selectors
from polars.exceptions import PolarsError

from trimtab.errors import problem
from trimtab.rows import Block, Note, Reject, Row
from trimtab.rows._opening import Opened

CHUNK = 4096  # rows held at once


def read(file: Opened, format: str, reject: Reject, note: Note) -> tuple[tuple[str, ...], _Chunks]:
    """The column names and rows; times become ISO text and decimals floats, as they would in csv or JSON."""
    path = Path(file.name)
    source = path if path.is_file() and path.suffix != ".gz" else io.BytesIO(file.stream.read())
    try:
        frame = pl.scan_parquet(source)
        names = tuple(frame.collect_schema().names())
    except (PolarsError, OSError) as error:
        raise problem(file.name, f"damaged parquet file ({str(error).splitlines()[0]})") from None
    frame = frame.with_columns(
        selectors.temporal().cast(pl.String),
        selectors.by_dtype(pl.Categorical, pl.Enum).cast(pl.String),
        selectors.decimal().cast(pl.Float64),
    )
    return names, _Chunks(file.name, frame)


class _Chunks(Iterator[Row]):
    """The rows of a file, one by one or a chunk at a time."""

    def __init__(self, file: str, frame: pl.LazyFrame) -> None:
        self.file, self.frame = file, frame
        self.each = self._each()

    def __next__(self) -> Row:
        return next(self.each)

    def _each(self) -> Iterator[Row]:
        for number, chunk in self._read():
            for line, values in enumerate(chunk.iter_rows(named=True), number):
                yield Row(values, line)

    def blocks(self) -> Iterator[Block]:
        """See `rows.InBlocks`."""
        for number, chunk in self._read():
            values: dict[str, Sequence[Any]] = {**chunk.to_dict(as_series=False)}
            yield Block(values, range(number, number + len(chunk)))

    def _read(self) -> Iterator[tuple[int, pl.DataFrame]]:
        """The chunks that have rows, each with the number of its first one."""
        number = 1
        try:
            for chunk in self.frame.collect_batches(chunk_size=CHUNK, maintain_order=True):
                if len(chunk):
                    yield number, chunk
                number += len(chunk)
        except PolarsError as error:
            raise problem(self.file, f"damaged parquet file ({str(error).splitlines()[0]})") from None


@contextlib.contextmanager
def _one_kind() -> Iterator[None]:
    """Turn what parquet cannot hold, such as lists beside texts in one column, into the user's message."""
    try:
        yield
    except PolarsError as error:
        found = f"a column holds what parquet cannot ({str(error).splitlines()[0][:200]})"
        raise problem(
            "writing rows", found, "values of one kind in a column", "write json lines: --format jsonl"
        ) from None


class Writer:
    """Rows go to part files that are joined at the end, so that memory holds one chunk at a time."""

    def __init__(self, stream: BinaryIO, format: str, names: Sequence[str]) -> None:
        self._stream = stream
        self._names = tuple(names)
        self._parts = tempfile.TemporaryDirectory(prefix="trimtab-parquet-")
        self._count = 0

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append rows as one part."""
        if not rows:
            return
        with _one_kind():
            frame = pl.DataFrame([dict(row) for row in rows], infer_schema_length=None, strict=False)
            absent = [pl.lit(None).alias(name) for name in self._names if name not in frame.columns]
            extra = [name for name in frame.columns if name not in self._names]
            frame.with_columns(absent).select(*self._names, *extra).write_parquet(self._part(self._count))
        self._count += 1

    def _part(self, number: int) -> Path:
        return Path(self._parts.name) / f"{number:06}.parquet"

    def close(self) -> None:
        """Join the parts; where they disagree on a column's type, the wider one is taken."""
        try:
            if self._count:
                parts = [pl.scan_parquet(self._part(number)) for number in range(self._count)]
                with _one_kind():
                    pl.concat(parts, how="diagonal_relaxed").sink_parquet(self._stream)
            else:
                pl.DataFrame(schema=dict.fromkeys(self._names, pl.String)).write_parquet(self._stream)
        finally:
            self._parts.cleanup()
