"""A bundle's answers and speed: `python -m benchmarks.ours.prediction BUNDLE ROWS.csv`."""

from __future__ import annotations

import sys
from pathlib import Path

import trimtab
from benchmarks import rows
from benchmarks.measure import answer_with, latency, rows_per_second


def main(bundle: str, data: str) -> None:
    """Answer the test rows; print rows per second, one-row latency and the answers."""
    texts = rows.read(Path(data), "test").texts
    model = trimtab.load(bundle)
    model.predict([{"text": text} for text in texts[:8]])
    answers: list[str] = []
    rate = rows_per_second(
        lambda given: answers.extend(row["label"] for row in model.predict([{"text": text} for text in given])), texts
    )
    answer_with(
        {
            "rows_per_second": rate,
            "latency": latency(lambda text: model.predict([{"text": text}]), texts[:200]),
            "answers": answers,
        }
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
