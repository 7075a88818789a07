"""A model2vec pipeline's answers and speed, without torch: `... FOLDER ROWS.csv`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from model2vec.inference import StaticModelPipeline

from benchmarks import rows
from benchmarks.measure import answer_with, megabytes, served


def main(folder: str, data: str) -> None:
    """Answer the test rows; print the size, rows per second, one-row latency and the answers."""
    pipeline = StaticModelPipeline.from_pretrained(folder)

    def classify(texts: Sequence[str]) -> list[str]:
        return [str(label) for label in pipeline.predict(list(texts))]

    texts = rows.read(Path(data), "test").texts
    answer_with({"megabytes": megabytes(Path(folder)), **served(classify, texts)})


if __name__ == "__main__":
    main(*sys.argv[1:])
