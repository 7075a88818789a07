"""From a path or stdin to bytes, unpacked, and from bytes to lines of text, whatever their encoding."""

from __future__ import annotations

import codecs
import contextlib
import gzip
import io
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from trimtab.errors import nearest, problem

HEAD = 1 << 18  # bytes that are looked at to tell format, encoding and dialect


@dataclass(frozen=True)
class Opened:
    """A source of rows: its name in messages, its bytes from the first on, and a copy of the first ones."""

    name: str
    stream: BinaryIO
    head: bytes


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

_BOMS: tuple[tuple[bytes, str], ...] = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_UNDECODED = re.compile("[\udc80-\udcff]")
_HIGH_RUN = re.compile(rb"[\x80-\xff]+")


@contextlib.contextmanager
def opened(source: Path | str) -> Iterator[Opened]:
    """Open a path, or stdin for "-", unpack gzip and look at the first bytes.

    Raises TrimtabError when there is no such file, when it is empty, and when it is something else than a table.
    """
    with contextlib.ExitStack() as stack:
        name = "stdin" if str(source) == "-" else str(source)
        stream = sys.stdin.buffer if str(source) == "-" else stack.enter_context(_open(Path(source)))
        stream, head = _with_head(stream, name)
        if head.startswith(b"\x1f\x8b"):
            stream, head = _with_head(cast(BinaryIO, stack.enter_context(gzip.GzipFile(fileobj=stream))), name)
        _refuse(name, head)
        yield Opened(name, stream, head)


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


def _some(stream: BinaryIO, size: int) -> bytes:
    """The bytes that are there now (at least one, unless the stream has ended): a slow pipe is not waited for."""
    read1: Callable[[int], bytes] = getattr(stream, "read1", stream.read)
    return read1(size)


def _with_head(stream: BinaryIO, name: str) -> tuple[BinaryIO, bytes]:
    """The stream and its first bytes: from a file HEAD of them, from a pipe at least the first line."""
    try:
        head = stream.read(HEAD) if stream.seekable() else _first_lines(stream)
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
    if encoding_of(head).startswith("utf-8") and _is_binary(head[:8192]):
        raise problem(name, "this is binary data, not a table of rows", _TABLES)


def _is_binary(start: bytes) -> bool:
    """Control characters make up about a tenth of compressed or random bytes, and hardly ever stand in text."""
    return len(_CONTROL.findall(start)) > 0.05 * len(start)


# ------------------------------------------------------------------------------------------------------- text


def encoding_of(head: bytes) -> str:
    """The encoding by its mark or its look: UTF-8, UTF-16, UTF-32, or GB 18030 where nothing else fits."""
    marked = [encoding for mark, encoding in _BOMS if head.startswith(mark)]
    if marked:
        return marked[0]
    start = head[: 8192 - 8192 % 2]
    zeros = [start[side::2].count(0) / max(1, len(start) // 2) for side in (0, 1)]
    if max(zeros) > 0.3 and min(zeros) < 0.05:
        return "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"
    return "gb18030" if not _decodes(head, "utf-8") and _looks_chinese(head) else "utf-8"


def _decodes(head: bytes, encoding: str) -> bool:
    """Whether the bytes are text in this encoding; a last character may be cut off."""
    try:
        codecs.getincrementaldecoder(encoding)().decode(head)
    except UnicodeDecodeError:
        return False
    return True


def _looks_chinese(head: bytes) -> bool:
    """GBK writes characters as pairs of high bytes; accents of Western encodings stand alone between letters."""
    runs = [len(run) for run in _HIGH_RUN.findall(head)]
    return _decodes(head, "gb18030") and sum(run for run in runs if run > 1) > 0.9 * sum(runs)


def lines(file: Opened, note: Callable[[str], None]) -> Iterator[str]:
    """Lines with their ends as they stand (LF, CRLF or CR).

    A line that is not UTF-8 in a file without a mark is read as Windows-1252, or Latin-1 where that has no letter.
    """
    encoding = encoding_of(file.head)
    if not encoding.startswith("utf-8"):
        if encoding == "gb18030":
            note(f"{file.name}: not UTF-8; read as GB 18030 (Chinese)")
        yield from io.TextIOWrapper(file.stream, encoding, errors="replace", newline="")
        return
    told = False
    for line in io.TextIOWrapper(file.stream, "utf-8-sig", errors="surrogateescape", newline=""):
        if line.isascii() or not _UNDECODED.search(line):
            yield line
            continue
        if not told:
            note(f"{file.name}: not UTF-8; read as Windows-1252. If letters look wrong, save the file as UTF-8")
            told = True
        yield western(line.encode("utf-8", "surrogateescape"))


def western(raw: bytes) -> str:
    """Windows-1252, or Latin-1 where a byte has no letter there: never fails."""
    try:
        return raw.decode("cp1252")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def head_lines(file: Opened, most: int = 200) -> list[str]:
    """The first whole lines, to look at."""
    start = Opened(file.name, io.BytesIO(file.head), file.head)
    found = []
    for line in lines(start, lambda text: None):
        found.append(line)
        if len(found) > most:
            return found[:most]
    whole = len(file.head) < HEAD or len(found) < 2 or found[-1].endswith(("\n", "\r"))
    return found if whole else found[:-1]
