"""The user's mistakes: one message that says where, what was found, what is allowed and what to do.

Anything that is not a `TrimtabError` is a fault of ours and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class TrimtabError(Exception):
    """A request that cannot be carried out as it stands; commands print it and exit with code 2."""


def problem(where: str, found: str, allowed: str = "", do: str = "") -> TrimtabError:
    """Make the one kind of message that users see: `where: found. Allowed: ... Do: ...`."""
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
    folded = {known_name.casefold(): known_name for known_name in known}
    close = difflib.get_close_matches(name.casefold(), list(folded), n=1, cutoff=0.6)
    listed = ", ".join(known[:20]) + (f", ... ({len(known)} in all)" if len(known) > 20 else "")
    return f"{listed} (did you mean {folded[close[0]]!r}?)" if close else listed


def missing_extra(package: str, extra: str, needed_for: str) -> TrimtabError:
    """A package of an optional extra is not installed."""
    return problem(
        needed_for,
        f"the package {package!r} is not installed",
        do=f"pip install 'trimtab[{extra}]'",
    )
