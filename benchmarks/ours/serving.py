"""What a bundle's answers are and what they cost: `python -m benchmarks.ours.serving BUNDLE ROWS.csv`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import trimtab
from benchmarks import rows
from benchmarks.measure import answer_with, served
from trimtab.bundle import store


def main(bundle: str, data: str) -> None:
    """Answer the test rows; print the size of what serving needs, rows per second, one-row latency and the answers."""
    model = trimtab.load(bundle)

    def classify(texts: Sequence[str]) -> list[str]:
        return [row["label"] for row in model.predict([{"text": text} for text in texts])]

    texts = rows.read(Path(data), "test").texts
    answer_with({"megabytes": store.serving_bytes(Path(bundle)) / 1e6, **served(classify, texts)})


if __name__ == "__main__":
    main(*sys.argv[1:])
