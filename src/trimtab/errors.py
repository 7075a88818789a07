"""The user's mistakes: one message that says where, what was found, what is allowed and what to do.

Anything that is not a `TrimtabError` is a fault of ours and keeps its traceback.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

_QUOTED = re.compile(r"""(?<!\w)('(?:[^'\\]|\\.){100,}'|"(?:[^"\\]|\\.){100,}")(?!\w)""", re.DOTALL)
_MOST_QUOTED = 80  # characters of a cell that a message quotes
_MOST = 1000  # characters of a part of a message
_NAME = 60  # characters of each name in a list of names
# What a terminal obeys rather than shows: control characters but tabs and ends of lines, marks that turn the direction
# of writing; and halves of surrogate pairs, which cannot be written.
_INVISIBLE = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class TrimtabError(Exception):
    """A request that cannot be carried out as it stands; commands print it and exit with code 2."""


class ToldElsewhere(TrimtabError):
    """What another process of the same launch has come to an end by, and tells; this one ends with the same code."""

    def __init__(self, code: int) -> None:
        super().__init__("another process of this launch has come to an end, and says why")
        self.code = code


def visible(text: str) -> str:
    """Text with its control characters spelt out (`\\x1b`), so that a name can neither colour nor clear a terminal."""
    return _INVISIBLE.sub(lambda found: ascii(found[0])[1:-1], text)


def brief(text: str) -> str:
    """A message without whole cells or files in it: long quotes are cut, and the middle of what is still too long."""
    text = _QUOTED.sub(lambda found: f"{found[0][:_MOST_QUOTED]}...{found[0][0]}", text)
    return text if len(text) <= _MOST else f"{text[: _MOST * 3 // 4]} ... {text[-_MOST // 4 :]}"


def shortened(text: str, most: int) -> str:
    """A text, its end left out where it is longer than `most` characters."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


def problem(where: str, found: str, allowed: str = "", do: str = "") -> TrimtabError:
    """Make the one kind of message that users see: `where: found. Allowed: ... Do: ...`."""
    where, found, allowed, do = map(brief, (where, found, allowed, do))
    parts = [f"{where}: {found}" if where else found]
    if allowed:
        parts.append(f"  allowed: {allowed}")
    if do:
        parts.append(f"  do: {do}")
    return TrimtabError("\n".join(parts))


def several(errors: Iterable[TrimtabError]) -> TrimtabError:
    """Join problems that were found together into one error, in the order in which they were found."""
    texts = [str(error) for error in errors]
    if len(texts) == 1:
        return TrimtabError(texts[0])
    return TrimtabError(f"{len(texts)} problems:\n" + "\n".join(texts))


def nearest(name: str, names: Iterable[str]) -> str:
    """Say which of `names` was probably meant, or list them: the `allowed` part of a message."""
    known = sorted(set(names))
    meant = close(name, known)
    shown = [name if len(name) <= _NAME else f"{name[:_NAME]}..." for name in known[:20]]
    listed = ", ".join(shown) + (f", ... ({len(known)} in all)" if len(known) > 20 else "")
    return f"{listed} (did you mean {meant!r}?)" if meant is not None else listed


def close(name: str, names: Iterable[str]) -> str | None:
    """Which of `names` was probably meant, None where none is like it."""
    folded = {known.casefold(): known for known in names}
    found = difflib.get_close_matches(name.casefold(), list(folded), n=1, cutoff=0.6)
    return folded[found[0]] if found else None


def missing_extra(package: str, extra: str, needed_for: str) -> TrimtabError:
    """A package of an optional extra is not installed."""
    return problem(
        needed_for,
        f"the package {package!r} is not installed",
        do=f"pip install 'trimtab[{extra}]'",
    )
