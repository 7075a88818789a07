"""What both sides measure with; standard library only, because it runs in every environment."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def resident_megabytes() -> float:
    """Resident memory of this process (10^6 bytes); Linux only, 0 elsewhere."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    return sum(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmRSS"))


def rows_per_second(answer: Callable[[Sequence[str]], Any], texts: Sequence[str]) -> float:
    """Rows per second of one call with all rows."""
    begun = time.perf_counter()
    answer(texts)
    return len(texts) / (time.perf_counter() - begun)


def latency(answer: Callable[[Any], Any], texts: Sequence[Any]) -> dict[str, float]:
    """Median and 95th percentile of one-row calls, in milliseconds."""
    taken = []
    for text in texts:
        begun = time.perf_counter()
        answer(text)
        taken.append((time.perf_counter() - begun) * 1e3)
    taken.sort()
    return {"p50": taken[len(taken) // 2], "p95": taken[int(len(taken) * 0.95)]}


class Stopwatch:
    """Seconds of training alone: it stands still while the validation rows are scored."""

    def __init__(self) -> None:
        self.spent, self.since = 0.0, time.perf_counter()

    def pause(self) -> float:
        """Stop; the seconds so far."""
        self.spent += time.perf_counter() - self.since
        return self.spent

    def go(self) -> None:
        """Go on."""
        self.since = time.perf_counter()


def evaluation_steps(steps: int, epochs: int, per_epoch: int) -> set[int]:
    """The steps (counted from 1) after which the validation rows are scored."""
    evaluations = epochs * per_epoch
    return {round(steps * (part + 1) / evaluations) for part in range(evaluations)} - {0}


def answer_with(result: Mapping[str, Any]) -> None:
    """Print the process's one JSON object."""
    sys.stdout.write(json.dumps(result) + "\n")
    sys.stdout.flush()
