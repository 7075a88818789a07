"""When something was, as users write it: `7d`, `12h`, `2026-11-29`, `2026-11-29T14:00+08:00`."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

from trimtab.errors import problem

_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*(m|h|d|w)")
_SECONDS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def read(text: str) -> float:
    """Seconds since 1970; without a time zone it is UTC. Raises TrimtabError for what is no time."""
    if ago := _AGO.fullmatch(text.strip()):
        return time.time() - float(ago[1]) * _SECONDS[ago[2]]
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise problem("--since", f"cannot read {text!r}", "30m, 12h, 7d, 2w, or 2026-11-29, 2026-11-29T14:00") from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
