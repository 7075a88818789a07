"""A bundle's translations and their speed: `python -m benchmarks.ours.translation BUNDLE ASKED.json`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import trimtab
from benchmarks.measure import answer_with, latency, steady_rows_per_second

_TIMED = 200  # sentences that are translated one by one


def main(bundle: str, asked_path: str) -> None:
    """Translate, print the ids of each answer, sentences/s and the latency of one."""
    asked = json.loads(Path(asked_path).read_text(encoding="utf-8"))
    model, column = trimtab.load(bundle), asked["column"]

    def answer(texts: Sequence[str]) -> trimtab.Predictions:
        return model.predict([{column: text} for text in texts])

    outputs = answer(asked["texts"]).outputs  # which warms up, too
    ids = [outputs.parts["ids"][row].reshape(-1).tolist() for row in range(len(asked["texts"]))]
    answer_with(
        {
            "answers": ids,
            "rows_per_second": steady_rows_per_second(answer, asked["texts"], seconds=10),
            "latency": latency(lambda text: answer([text]), asked["texts"][:_TIMED]),
        }
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
