"""From a cell to the content of a file: paths, bytes, what Hugging Face keeps in parquet, data: URIs, base64."""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import os
import re
import stat
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeVar, runtime_checkable
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np

from trimtab.columns import InputPolicy
from trimtab.values import parse
from trimtab.values.problems import Problem

_URI = "data:"
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_LEAST_BASE64 = 64  # characters; what is shorter is a file's name, for no picture or sound is so small
_LONGEST_PATH = 4096  # characters
_SHOWN = 80  # characters of a name in a message
_THREADS = min(8, os.cpu_count() or 1)
_FEW = 4  # values that are not worth a thread
_PARTS = 8  # that each thread gets: many, so that none waits long for the last one

_MB = 1_000_000
ANYTHING = InputPolicy()  # what training rows and the command line may hold

Stream = io.BytesIO | io.BufferedReader
Result = TypeVar("Result")


class Unreadable(ValueError):
    """Why a value cannot be read; the reason that stands beside a rejected row."""


class Impossible(Unreadable):
    """Why a value cannot be read that never could be: it holds no file, or names none that is there."""


@runtime_checkable
class _Open(Protocol):
    """An open file, or what a web framework has of an upload."""

    def read(self) -> Any:
        """The rest of its content."""


def opened(value: Any, policy: InputPolicy = ANYTHING) -> Stream:
    """The content that a cell stands for, to be closed by the caller. Raises Unreadable with the reason."""
    if isinstance(value, Mapping):
        return opened(_held(value), policy)
    if isinstance(value, (bytes, bytearray, memoryview)):
        _weigh(len(value), policy)
        return _filled(bytes(value))
    if isinstance(value, os.PathLike):
        return _file(os.fspath(value), policy)
    if isinstance(value, _Open):
        held = _rest(value)
        _weigh(len(held), policy)
        return _filled(held)
    if not isinstance(value, str):
        raise Impossible(f"found a value of type {type(value).__name__}, not a file's name, bytes or base64")
    if value.startswith(_URI):
        _weigh(_unpacked(value), policy)
        return _filled(_from_uri(value))
    if address := _ADDRESS.match(value):
        if address[1].lower() != "file":
            raise Impossible(f"an address, and nothing is fetched; give the file or its bytes: {value[:_SHOWN]}")
        return _file(url2pathname(urlsplit(value).path), policy)
    if len(value) >= _LEAST_BASE64 and not (policy.files and _exists(value)):
        _weigh(_unpacked(value), policy)
        if content := _from_base64(value):
            return io.BytesIO(content)
    return _file(value, policy)


def _held(value: Mapping[str, Any]) -> Any:
    """What `{"bytes": ..., "path": ...}` stands for; the path counts where there are no bytes."""
    found = value.get("bytes") if value.get("bytes") is not None else value.get("path")
    if found is None or isinstance(found, Mapping):
        raise Unreadable("no value: neither bytes nor path")
    return found


def _rest(file: _Open) -> bytes:
    """The content of an open file; one that can be rewound is read from its beginning."""
    if isinstance(file, io.IOBase) and file.seekable():
        file.seek(0)
    content = file.read()
    if not isinstance(content, bytes):
        raise Impossible("an open file that gives no bytes; open it with the mode 'rb'")
    return content


def _weigh(size: int, policy: InputPolicy) -> None:
    """Raises Unreadable for more bytes than a policy lets in."""
    if size > policy.megabytes * _MB:
        raise Unreadable(f"{size / _MB:,.1f} MB: more than {policy.megabytes:g}")


def _unpacked(text: str) -> int:
    """About how many bytes a text in base64 stands for."""
    return len(text) * 3 // 4


def _filled(content: bytes) -> Stream:
    if not content:
        raise Unreadable("an empty file")
    return io.BytesIO(content)


def _from_uri(text: str) -> bytes:
    head, comma, body = text.partition(",")
    content = _from_base64(body) if comma and head.endswith(";base64") else None
    if content is None:
        raise Unreadable("a data: URI whose content is not base64")
    return content


def _from_base64(text: str) -> bytes | None:
    """The bytes; None for text that is not base64. White space and missing padding are forgiven."""
    compact = "".join(text.split())
    try:
        return base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def _exists(name: str) -> bool:
    return len(name) <= _LONGEST_PATH and os.path.exists(name)  # False for a name with a zero byte


def _file(name: str | bytes, policy: InputPolicy) -> Stream:
    """An ordinary file, opened; devices and pipes, which might never end, are refused.

    Where a policy reads no files, nothing is said of whether there is one.
    """
    if not policy.files:
        raise Impossible("found no content, and no files are read here: give base64 or a data: URI")
    name = os.fsdecode(name)
    if len(name) > _LONGEST_PATH or "\0" in name or _unwritable(name):
        raise Impossible(f"no such file: {name[:_SHOWN]!r}")
    name = next(filter(_exists, _spellings(name)), name)
    try:
        found = os.stat(name)
        if stat.S_ISDIR(found.st_mode):
            raise Unreadable(f"is a folder: {name[:_SHOWN]}")
        if not stat.S_ISREG(found.st_mode):
            raise Unreadable(f"is not an ordinary file: {name[:_SHOWN]}")
        if not found.st_size:
            raise Unreadable(f"an empty file: {name[:_SHOWN]}")
        _weigh(found.st_size, policy)
        return open(name, "rb")
    except FileNotFoundError:
        raise Impossible(f"no such file: {name[:_SHOWN]}") from None
    except OSError as error:
        raise Unreadable(f"cannot be opened ({error.strerror}): {name[:_SHOWN]}") from None


def _spellings(name: str) -> tuple[str, str, str]:
    """How the name of a file may be meant: as it stands, from the user's home, or as Windows writes it."""
    return name, os.path.expanduser(name), name.replace("\\", "/")


def _unwritable(name: str) -> bool:
    """Whether it holds half of a surrogate pair, as JSON may; those of `os.fsdecode` are names of files."""
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return True
    return False


def located(value: Any, folder: Path) -> Any:
    """The value, as it stands in a file of `folder`: a relative path of a file there becomes an absolute one."""
    if isinstance(value, Mapping) and value.get("bytes") is None and value.get("path") is not None:
        return {**value, "path": located(value["path"], folder)}
    if not isinstance(value, str) or parse.is_missing(value) or value.startswith(_URI):
        return value
    if len(value) > _LONGEST_PATH or os.path.isabs(value):
        return value
    beside = (os.path.join(folder, name) for name in _spellings(value))
    return next((os.path.abspath(path) for path in beside if _exists(path)), value)


def digest(value: Any) -> str:
    """BLAKE2b of the content, 32 hexadecimal digits; "" when there is none, or none that can be read.

    An array counts with its shape and type; other names, or base64 instead of a file, change nothing.
    """
    if parse.is_missing(value):
        return ""
    if isinstance(value, np.ndarray):
        head = f"{value.dtype.str}{value.shape}".encode()
        return hashlib.blake2b(head + np.ascontiguousarray(value).tobytes(), digest_size=16).hexdigest()
    try:
        with opened(value) as stream:
            return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except (Unreadable, OSError):
        return ""


def uri(media_type: str, content: bytes) -> str:
    """The content as a data: URI."""
    return f"{_URI}{media_type};base64,{base64.b64encode(content).decode()}"


def cut_off(stream: BinaryIO) -> str | None:
    """Why a RIFF file (wav, WebP) is not whole: its header says how long it is. The stream is rewound.

    A program that writes to a pipe leaves the length at 0 or at its largest value, which says nothing.
    """
    head = stream.read(8)
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    said = 8 + int.from_bytes(head[4:8], "little")
    if head[:4] != b"RIFF" or said >= 0x7FFF_F000 or said <= size + 1:  # an odd chunk's last byte is often left out
        return None
    return f"truncated: {size:,} of {said:,} bytes"


def problem_of(column: str, row: int, reason: Unreadable) -> Problem:
    """What is told of a value that cannot be read."""
    return Problem(column, row, "unreadable", str(reason), never=isinstance(reason, Impossible))


def spread(values: Sequence[Any], most: int) -> list[Any]:
    """At most `most` of the values that are there, evenly spread."""
    present = [value for value in values if not parse.is_missing(value)]
    return present[:: -(-len(present) // most)] if present else []


class Room:
    """How much may be in memory at a time, by all threads together: who wants more waits until others are done."""

    def __init__(self, whole: int) -> None:
        self.whole = whole
        self._renew()
        if hasattr(os, "register_at_fork"):  # not on Windows
            os.register_at_fork(after_in_child=self._renew)  # the threads that would give back do not live there

    def _renew(self) -> None:
        self._left = self.whole
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, size: int) -> Iterator[None]:
        """Wait for so much, and hold it; what is larger than the whole has the whole to itself."""
        size = min(size, self.whole)
        with self._changed:
            self._changed.wait_for(lambda: self._left >= size)
            self._left -= size
        try:
            yield
        finally:
            with self._changed:
                self._left += size
                self._changed.notify_all()


def each(function: Callable[[Any], Result], values: Sequence[Any]) -> list[Result]:
    """`function` of each value, in order, by a few threads: decoders work outside of Python's lock."""
    if len(values) < _FEW or _THREADS == 1:
        return [function(value) for value in values]
    size = -(-len(values) // (_PARTS * _THREADS))
    parts = [values[start : start + size] for start in range(0, len(values), size)]
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(chain.from_iterable(pool.map(lambda part: [function(value) for value in part], parts)))
