"""A transformers pipeline's answers and speed: `... BATCH MODEL ROWS.csv MAX_TOKENS`."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from transformers import AutoTokenizer, pipeline

from benchmarks import rows
from benchmarks.measure import answer_with, cores, latency, rows_per_second
from benchmarks.rivals.model import MeanPooledClassifier


def main(batch: str, folder: str, data: str, max_tokens: str) -> None:
    """Answer the test rows; print rows per second, one-row latency and the answers."""
    torch.set_num_threads(cores())
    texts = rows.read(Path(data), "test").texts
    classify = pipeline(
        "text-classification",
        model=MeanPooledClassifier.from_pretrained(folder),
        tokenizer=AutoTokenizer.from_pretrained(folder),
    )
    options = {"truncation": True, "max_length": int(max_tokens)}
    classify(texts[:8], batch_size=int(batch), **options)
    answers: list[str] = []
    rate = rows_per_second(
        lambda given: answers.extend(row["label"] for row in classify(list(given), batch_size=int(batch), **options)),
        texts,
    )
    answer_with(
        {
            "rows_per_second": rate,
            "latency": latency(lambda text: classify(text, **options), texts[:200]),
            "answers": answers,
        }
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
