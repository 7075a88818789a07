"""Keys of an API: a file holds a name and a hash of each; a key itself is shown once, when it is made.

A line is `name sha256:<64 hexadecimal digits>`; what follows # is a comment. A key holds 256 random bits, so that one
round of SHA-256 is enough: there is nothing to guess. A server looks at the file again when it has changed: a line that
is taken out ends its key within a second.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import time
from collections.abc import Mapping
from pathlib import Path

from trimtab import files
from trimtab.errors import problem

_LINE = re.compile(r"([\w.@-]{1,60})\s+sha256:([0-9a-f]{64})")
_NAME = re.compile(r"[\w.@-]{1,60}")
_PREFIX = "tt_"
_LOOKED_AT = 0.5  # seconds between two looks at the file


def made(path: Path, name: str) -> str:
    """A new key, whose hash is added to the file. Raises TrimtabError for a name that is taken or cannot be one."""
    if not _NAME.fullmatch(name):
        raise problem("key", f"found the name {name!r:.80}", "1 to 60 letters, digits, . _ @ -")
    known = read(path) if path.exists() else {}
    if name in known:
        raise problem(str(path), f"there is a key named {name!r} already", do="revoke it first, or take another name")
    key = _PREFIX + secrets.token_urlsafe(32)
    _write(path, {**known, name: hashed(key)})
    return key


def revoked(path: Path, name: str) -> None:
    """Take a key out of the file. Raises TrimtabError where there is none of that name."""
    known = read(path)
    if name not in known:
        raise problem(str(path), f"no key named {name!r}", ", ".join(known) or "(no keys)")
    _write(path, {other: digest for other, digest in known.items() if other != name})


def read(path: Path) -> dict[str, str]:
    """Name -> hash. Raises TrimtabError for a file that is none of keys."""
    with files.reading(str(path)):
        lines = path.read_text(encoding="utf-8").splitlines()
    found = {}
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        match = _LINE.fullmatch(text)
        if text and not match:
            raise problem(f"{path}: line {number}", "is no key", "name sha256:<hash>", "make one: trimtab keys")
        if match:
            found[match[1]] = match[2]
    return found


def hashed(key: str) -> str:
    """What a file holds of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _write(path: Path, known: Mapping[str, str]) -> None:
    files.write(path, "".join(f"{name} sha256:{digest}\n" for name, digest in known.items()))
    os.chmod(path, 0o600)


class Keys:
    """The keys of a file, as it stands at the moment."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = read(path)
        self._stamp = self._stamped()
        self._looked = time.monotonic()

    def name_of(self, key: str) -> str | None:
        """Whose key it is; None for one that is not known. Every hash is compared, in constant time."""
        self._look()
        digest = hashed(key)
        found = [name for name, known in self._known.items() if hmac.compare_digest(known, digest)]
        return found[0] if found else None

    def _stamped(self) -> tuple[int, int] | None:
        try:
            told = self._path.stat()
        except OSError:
            return None
        return told.st_mtime_ns, told.st_ino

    def _look(self) -> None:
        """Read the file again where it has changed; a file that cannot be read lets nobody in."""
        now = time.monotonic()
        if now - self._looked < _LOOKED_AT:
            return
        self._looked, stamp = now, self._stamped()
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._known = read(self._path)
            except Exception:  # half written by an editor, gone, not to be read: whoever had a key has none
                self._known = {}
