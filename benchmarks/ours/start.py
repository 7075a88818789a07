"""From process start to a first answer, with a bundle: `... BUNDLE TEXT`."""

from __future__ import annotations

import sys

import trimtab
from benchmarks.measure import answer_with, resident_megabytes

if __name__ == "__main__":
    answers = trimtab.load(sys.argv[1]).predict([{"text": sys.argv[2]}])
    answer_with({"answer": answers[0]["label"], "resident_megabytes": resident_megabytes()})
