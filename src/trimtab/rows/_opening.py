"""From a path or stdin to lines of text: unpacked, decoded; what is no text, such as an Excel sheet, is refused."""

from __future__ import annotations

import contextlib
import gzip
import io
import re
import sys
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import BinaryIO, cast

from trimtab.errors import nearest, problem
from trimtab.rows import _encodings
from trimtab.rows._encodings import Choice, Reading

HEAD = 1 << 18  # bytes that are looked at to tell format, encoding and dialect
LONGEST = 1 << 26  # characters of a line: no row is longer, and a file without ends of lines takes no more memory
_AHEAD = 200  # lines that an encoding is told by where the first bytes did not show it
_BOMB = (1 << 28, 200)  # unpacked bytes, and how many times the packed ones, from which a file is made to do harm


@dataclass(frozen=True)
class Opened:
    """A source of rows: its name in messages, its bytes from the first on, a copy of the first ones, its encoding."""

    name: str
    stream: BinaryIO
    head: bytes
    reading: Reading

    @cached_property
    def choice(self) -> Choice | None:
        """The encoding that the first bytes show; None where they are UTF-8."""
        whole = self.head.splitlines()
        return _encodings.choose(self.name, whole[:-1] if len(self.head) >= HEAD and whole[1:] else whole, self.reading)


# What a file that is no table starts with -> what it is and how its rows can be had.
_MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (b"\x89PNG", "a PNG image", ""),
    (b"\xff\xd8\xff", "a JPEG image", ""),
    (b"GIF8", "a GIF image", ""),
    (b"RIFF", "a RIFF file (sound, video or WebP image)", ""),
    (b"%PDF", "a PDF document", ""),
    (b"PK\x03\x04", "a zip archive", "unpack it and name the file inside"),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word file", "save the sheet as csv"),
    (b"BZh", "a bzip2 file", "unpack it with bunzip2"),
    (b"\xfd7zXZ", "an xz file", "unpack it with unxz"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file", "unpack it with unzstd"),
    (b"7z\xbc\xaf", "a 7-Zip archive", "unpack it and name the file inside"),
    (b"\x93NUMPY", "a NumPy array", ""),
    (b"\x89HDF", "an HDF5 file", ""),
    (b"SQLite format 3", "an SQLite database", "export the table as csv"),
    (b"ARROW1", "an Arrow (Feather) file", "save it as parquet"),
    (b"\x7fELF", "a program", ""),
    *((b"\x80" + bytes([protocol]), "a Python pickle", "save the table as csv or parquet") for protocol in range(2, 6)),
)
_TABLES = "csv, tsv, json lines or parquet, plain or gzipped"

_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_UNDECODED = re.compile("[\udc80-\udcff]")


@contextlib.contextmanager
def opened(source: Path | str, reading: Reading) -> Iterator[Opened]:
    """Open a path, or stdin for "-", unpack gzip and look at the first bytes.

    Raises TrimtabError when there is no such file, when it is empty, and when it is something else than a table.
    """
    with contextlib.ExitStack() as stack:
        name = "stdin" if str(source) == "-" else str(source)
        stream = sys.stdin.buffer if str(source) == "-" else stack.enter_context(_open(Path(source)))
        stream, head = _with_head(stream, name, stream.seekable())
        if head.startswith(b"\x1f\x8b"):
            packed = _Counted(stream)
            unpacked = stack.enter_context(gzip.GzipFile(fileobj=cast(BinaryIO, packed)))
            stream, head = _with_head(io.BufferedReader(_Unpacked(name, packed, unpacked)), name, True)
        _refuse(name, head)
        yield Opened(name, stream, head, reading)


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError:
        beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
        raise problem(str(path), "no such file", nearest(path.name, beside) if beside else "") from None
    except IsADirectoryError:
        raise problem(str(path), "is a folder", "a file: " + _TABLES) from None
    except OSError as error:
        raise problem(str(path), f"cannot be opened ({error.strerror or error})") from None


class _Replay(io.RawIOBase):
    """A stream whose first bytes were read already, from its start again."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head = memoryview(head)
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        part = self._head[: len(buffer)] if self._head else memoryview(_some(self._rest, len(buffer)))
        self._head = self._head[len(part) :]
        buffer[: len(part)] = part
        return len(part)


class _Counted(io.RawIOBase):
    """A stream that counts the bytes that were read from it."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self.count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        part = _some(self._source, len(buffer))
        buffer[: len(part)] = part
        self.count += len(part)
        return len(part)


class _Unpacked(io.RawIOBase):
    """The unpacked bytes of a gzip file; raises TrimtabError for far too many of far too few."""

    def __init__(self, name: str, packed: _Counted, source: gzip.GzipFile) -> None:
        self._name, self._packed, self._source = name, packed, source
        self._count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        part = self._source.read1(len(buffer))
        buffer[: len(part)] = part
        self._count += len(part)
        least, times = _BOMB
        if self._count > least and self._count > times * self._packed.count:
            found = f"unpacks to more than {self._count / 1e6:,.0f} MB from {self._packed.count / 1e6:.1f} MB"
            raise problem(self._name, found, f"{times} times as much", "unpack it by hand, if it is no bomb")
        return len(part)


def _some(stream: BinaryIO, size: int) -> bytes:
    """The bytes that are there now (at least one, unless the stream has ended): a slow pipe is not waited for."""
    read1: Callable[[int], bytes] = getattr(stream, "read1", stream.read)
    return read1(size)


def _with_head(stream: BinaryIO, name: str, is_file: bool) -> tuple[BinaryIO, bytes]:
    """The stream and its first bytes: from a file HEAD of them, from a pipe at least the first line."""
    try:
        head = stream.read(HEAD) if is_file else _first_lines(stream)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise problem(name, f"damaged gzip file ({error})", do="fetch or pack the file again") from None
    except OSError as error:
        raise problem(name, f"cannot be read ({error.strerror or error})") from None
    return io.BufferedReader(_Replay(head, stream), 1 << 17), head


def _first_lines(stream: BinaryIO) -> bytes:
    head = b""
    while len(head) < HEAD and b"\n" not in head:
        part = _some(stream, HEAD)
        if not part:
            break
        head += part
    return head


def _refuse(name: str, head: bytes) -> None:
    if not head.strip(b" \t\r\n\0\xef\xbb\xbf\xfe\xff"):
        raise problem(name, "the file is empty", "a header and rows: " + _TABLES)
    if head.startswith(b"PAR1"):
        return
    if head.startswith(b"PK\x03\x04") and (b"[Content_Types].xml" in head[:4096] or b"xl/" in head[:4096]):
        raise problem(name, "this is an Excel workbook (xlsx)", _TABLES, "save the sheet as csv (UTF-8)")
    for magic, what, do in _MAGIC:
        if head.startswith(magic):
            raise problem(name, f"this is {what}, not a table of rows", _TABLES, do)
    # Control characters make up about a tenth of compressed or random bytes, and hardly ever stand in text.
    start = head[:8192]
    if _encodings.wide(head) in (None, "utf-8") and len(_CONTROL.findall(start)) > 0.05 * len(start):
        raise problem(name, "this is binary data, not a table of rows", _TABLES)


# ------------------------------------------------------------------------------------------------------- text


def lines(file: Opened, note: Callable[[str], None], longest: int | None = None) -> Iterator[str]:
    """Lines with their ends as they stand (LF, CRLF or CR), of at most so many characters (default: LONGEST).

    Lines that are not UTF-8, in a file without a mark, are in the encoding that `Opened.reading` or their look says.
    Raises TrimtabError for a line that is too long, and for an encoding that was named and cannot be right.
    """
    encoding = _encodings.wide(file.head)
    named = file.reading.named
    if encoding is None and named is not None and named.startswith(("utf-16", "utf-32", "utf_16", "utf_32")):
        encoding = named
    if encoding not in (None, "utf-8"):
        text = io.TextIOWrapper(file.stream, encoding, errors="replace", newline="")
        yield from _bounded(file.name, text, longest or LONGEST)
        return
    text = io.TextIOWrapper(file.stream, "utf-8-sig", errors="surrogateescape", newline="")
    yield from _decoded(file, _bounded(file.name, text, longest or LONGEST), None if encoding else file.choice, note)


def _bounded(name: str, text: io.TextIOWrapper, longest: int) -> Iterator[str]:
    number = 0
    while line := text.readline(longest + 1):
        number += 1
        if len(line) > longest:
            found = f"a line of more than {longest:,} characters: is it a table?"
            raise problem(f"{name}:{number}", found, do="write one row a line")
        yield line


def _decoded(file: Opened, source: Iterator[str], choice: Choice | None, note: Callable[[str], None]) -> Iterator[str]:
    """Lines that were decoded as UTF-8, those in another encoding decoded again."""
    if choice:
        _tell(file, choice, note)
    lost = False
    ahead: deque[str] = deque()
    number = 0
    while line := ahead.popleft() if ahead else next(source, ""):
        number += 1
        plain = line.isascii() and "\x1b" not in line
        if plain or ((choice is None or choice.mixed) and not _UNDECODED.search(line)):
            yield line
            continue
        if choice is None:  # the first bytes were UTF-8, or ASCII
            ahead.extend(islice(source, _AHEAD))
            near = [one.encode("utf-8", "surrogateescape") for one in (line, *ahead)]
            choice = _encodings.choose(file.name, near, file.reading) or Choice(_encodings.WESTERN, "")
            _tell(file, choice, note)
        raw = line.encode("utf-8", "surrogateescape")
        found = western(raw) if choice.encoding == _encodings.WESTERN else raw.decode(choice.encoding, "replace")
        if "\ufffd" in found and not lost and b"\xef\xbf\xbd" not in raw:
            note(f"{file.name}:{number}: holds bytes that are not {_encodings.label(choice.encoding)}: shown as \ufffd")
            lost = True
        yield found


def _tell(file: Opened, choice: Choice, note: Callable[[str], None]) -> None:
    if choice.remark:
        note(choice.remark)
    file.reading.told(choice.encoding)


def western(raw: bytes) -> str:
    """Windows-1252, or Latin-1 where a byte has no letter there: never fails."""
    try:
        return raw.decode("cp1252")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def head_lines(file: Opened, most: int = 200) -> list[str]:
    """The first whole lines, to look at."""
    start = replace(file, stream=io.BytesIO(file.head), reading=replace(file.reading, told=lambda encoding: None))
    found = []
    for line in lines(start, lambda text: None):
        found.append(line)
        if len(found) > most:
            return found[:most]
    whole = len(file.head) < HEAD or len(found) < 2 or found[-1].endswith(("\n", "\r"))
    return found if whole else found[:-1]
