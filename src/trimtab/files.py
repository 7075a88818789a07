"""Files that a kill at any moment cannot spoil: written aside, flushed, then renamed; and what they are checked by."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trimtab.errors import TrimtabError, problem

_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def aside(target: Path) -> Iterator[Path]:
    """A path beside `target` to write to; at the end it is flushed and takes the name, and until then the old file has.

    The file gets the mode that the umask gives, whatever wrote it: some libraries make files for their owner alone.
    """
    place = target.with_name(f".{target.name}.{os.getpid()}.part{target.suffix}")  # some libraries add a suffix
    try:
        place.touch()
        mode = place.stat().st_mode
        yield place
        place.chmod(mode)
        flush(place)
        place.replace(target)
    finally:
        place.unlink(missing_ok=True)


def write(target: Path, text: str) -> None:
    """Write text as UTF-8, lone surrogates escaped and line ends as they are: a reader sees the old file or the new."""
    with aside(target) as place:
        place.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")


def read_json(path: Path) -> dict[str, Any] | None:
    """What a note of a run's state says; None where there is none, and where it cannot be read: that counts as none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def cache() -> Path | None:
    """What is kept on this machine is here: $TRIMTAB_CACHE, else ~/.cache/trimtab; None without a home folder."""
    if named := os.environ.get("TRIMTAB_CACHE"):
        return Path(named)
    home = os.path.expanduser("~")  # "~" of a user whom the system does not know
    return None if home == "~" else Path(home) / ".cache" / "trimtab"


def swap(staging: Path, final: Path) -> None:
    """Put the folder `staging` in the place of the folder `final`, on the same disk.

    Killed at any moment, one of them is whole: the old one is moved aside, the new one in, then the old one deleted.
    `recover` ends what was begun.
    """
    recover(final)
    for path in [*staging.rglob("*"), staging]:
        flush(path)
    if final.exists():
        final.rename(old(final))
    staging.rename(final)
    flush(final.parent)
    recover(final)


def recover(final: Path) -> None:
    """End a `swap` that was killed: bring the old folder back where the new one is not in place, else delete it."""
    if old(final).exists() and not final.exists():
        old(final).rename(final)
    shutil.rmtree(old(final), ignore_errors=True)


def old(final: Path) -> Path:
    """Where the old folder waits while the new one moves in."""
    return final.with_name(f".{final.name}.old")


def flush(path: Path) -> None:
    """Make sure that a file, or a folder's entries, survive a power cut; some file systems cannot flush a folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if not path.is_dir() or error.errno in _FULL:
            raise
    finally:
        os.close(handle)


def sha256(path: Path) -> str:
    """Of a file's bytes, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turn what the system refuses while `name` is read into the user's message."""
    try:
        yield
    except OSError as error:
        raise unreadable(name, error) from error


def unreadable(name: str, error: OSError) -> TrimtabError:
    """The message for a file that the system does not let us read."""
    return problem(str(error.filename or name), f"cannot be read ({error.strerror or error})")


@contextmanager
def writing(name: str) -> Iterator[None]:
    """Turn what the system refuses while `name` is written into the user's message; a closed pipe stays what it is."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise unwritable(name, error) from error


def unwritable(name: str, error: OSError) -> TrimtabError:
    """The message for a place that the system does not let us write to."""
    reason = "the disk is full" if error.errno in _FULL else str(error.strerror or error)
    return problem(name, f"cannot be written: {reason}", do="choose another place, or make room")
