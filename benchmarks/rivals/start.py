"""From process start to a first answer, with a transformers pipeline: `... MODEL TEXT`."""

from __future__ import annotations

import sys

from transformers import AutoTokenizer, pipeline

from benchmarks.measure import answer_with, resident_megabytes
from benchmarks.rivals.model import MeanPooledClassifier

if __name__ == "__main__":
    classify = pipeline(
        "text-classification",
        model=MeanPooledClassifier.from_pretrained(sys.argv[1]),
        tokenizer=AutoTokenizer.from_pretrained(sys.argv[1]),
    )
    answer_with({"answer": classify(sys.argv[2])[0]["label"], "resident_megabytes": resident_megabytes()})
