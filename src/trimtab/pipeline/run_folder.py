"""The folder of a run: one launch at a time works in it, and it belongs to the spec that made it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trimtab import __version__, files
from trimtab.errors import problem
from trimtab.progress import Progress
from trimtab.rows import RUN_NOTE

try:
    import fcntl
except ModuleNotFoundError:  # Windows: two launches at once are the user's to avoid
    fcntl = None  # type: ignore[assignment]

_LOCK = ".lock"


@contextmanager
def held(home: Path, maker: Path | None, progress: Progress) -> Iterator[None]:
    """Make the folder `home` if need be, and let nobody else work in it meanwhile; a kill lets it go.

    `maker` is the spec file, or the bundle that is compressed; None for a spec that was given as values. Raises
    TrimtabError where another process works in it, where another spec made it, and where it cannot be written.
    """
    made = [folder for folder in (home, *home.parents) if not folder.exists()]
    with files.writing(str(home)):
        home.mkdir(parents=True, exist_ok=True)
        lock = _locked(home)
    try:
        _claim(home, maker, progress)
        yield
    finally:
        _leave(home, made)
        os.close(lock)


def _locked(home: Path) -> int:
    """The open lock file of a folder; it holds the number of our process."""
    path = home / _LOCK
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if fcntl:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = os.read(lock, 20).decode(errors="replace")
            os.close(lock)
            do = "wait until it has ended, or give this one a folder of its own: --runs, or a `name` in the spec"
            raise problem(str(home), f"another launch works here (pid {other or 'unknown'})", do=do) from None
        except OSError:
            pass  # a file system without locks
        if path.exists() and os.path.samestat(os.fstat(lock), path.stat()):
            os.truncate(lock, 0)
            os.write(lock, str(os.getpid()).encode())
            return lock
        os.close(lock)  # whoever had it took the file away in between


def _claim(home: Path, maker: Path | None, progress: Progress) -> None:
    """Note whose folder it is; what another spec made there is not written over.

    The other one is named relative to the folder, so that both can be moved together.
    """
    own = os.path.relpath(maker.resolve(), home.resolve()) if maker else None
    note = files.read_json(home / RUN_NOTE) or {}
    before = note.get("made_by")
    if before and before != own and (home / str(before)).exists():
        other = os.path.relpath((home / str(before)).resolve())
        do = "give this spec a `name` of its own, use another --runs, or remove the folder"
        raise problem(str(home), f"was made by {other}, whose bundle would be lost", do=do)
    if note and before != own:
        progress.note(f"{home}: what {before or 'a spec that was given as values'} left here is replaced")
    with files.writing(str(home)):
        files.write(home / RUN_NOTE, json.dumps({"trimtab": __version__, "made_by": own}) + "\n")


def _leave(home: Path, made: list[Path]) -> None:
    """Take away folders in which nothing came about."""
    if {path.name for path in home.iterdir()} <= {_LOCK, RUN_NOTE} and home in made:
        (home / RUN_NOTE).unlink(missing_ok=True)
        (home / _LOCK).unlink()
        for folder in made:
            if any(folder.iterdir()):
                break
            folder.rmdir()
