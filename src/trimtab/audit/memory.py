"""`python -m trimtab.audit.memory BUNDLE COUNT < rows.json`: what a process that serves a bundle holds in memory.

Loads the bundle as a server would, answers COUNT rows at once, those that stand as a JSON list on stdin over and over,
and prints `{"memory": bytes, "memory_peak": bytes, "first_answer": seconds since 1970}`.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from itertools import cycle, islice
from pathlib import Path

from trimtab import runtime

_STATUS = Path("/proc/self/status")


def main() -> None:
    """Answer, then print what this process holds."""
    model = runtime.load(Path(sys.argv[1]))
    rows = list(islice(cycle(json.load(sys.stdin)), int(sys.argv[2])))
    begun = {}
    if rows:
        model.predict(rows[:1])
        begun = {"first_answer": time.time()}
        model.predict(rows)
    json.dump({**held(), **begun}, sys.stdout)


def held() -> dict[str, int]:
    """Resident bytes now and at their highest; where the system tells only the highest, that twice."""
    if _STATUS.exists():
        fields = dict(line.split(":", 1) for line in _STATUS.read_text(encoding="utf-8").splitlines() if ":" in line)
        return {"memory": _kilobytes(fields["VmRSS"]), "memory_peak": _kilobytes(fields["VmHWM"])}
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {"memory": highest, "memory_peak": highest}


def _kilobytes(text: str) -> int:
    """`  104320 kB` in bytes."""
    return int(text.split()[0]) * 1024


if __name__ == "__main__":
    main()
