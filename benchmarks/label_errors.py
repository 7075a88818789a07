"""How many wrong labels the audit's list finds: 5% of the labels are flipped, and the first tenth of the list is read.

python -m benchmarks.label_errors rows.csv label [rows] [--inputs text=text,...]: without the network's own vectors, as
for texts too long for it to read again; of a bundle that learnt flipped labels, its `label_errors.csv` says the rest.
"""

from __future__ import annotations

import argparse
import csv
import random
import tempfile
import time
from pathlib import Path

import numpy as np

from trimtab import request, spec
from trimtab.audit import cross_fitted, label_errors
from trimtab.data.table import joined
from trimtab.progress import Quiet

SHARE, ROWS, SEED = 0.05, 5_000, 7


def flip(source: Path, target: Path, label: str, count: int) -> None:
    """Write some rows with a part of their labels flipped; `flipped` says which."""
    with source.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    draw = random.Random(SEED)
    rows = draw.sample(rows, min(count, len(rows)))
    classes = sorted({row[label] for row in rows})
    for row, flipped in ((row, draw.random() < SHARE) for row in rows):
        row["flipped"] = str(int(flipped))
        row[label] = draw.choice([name for name in classes if name != row[label]]) if flipped else row[label]
    with target.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def main() -> None:
    """Flip, judge, and print what the list finds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("label")
    parser.add_argument("rows", type=int, nargs="?", default=ROWS)
    parser.add_argument("--inputs", default="text=text")
    asked = parser.parse_args()
    inputs = dict(pair.split("=") for pair in asked.inputs.split(","))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        flip(asked.file, folder / "rows.csv", asked.label, asked.rows)
        values = {"data": "rows.csv", "output": asked.label, "inputs": inputs, "keep": "flipped"}
        found = request.check(spec.parse(values), folder, folder / "run", Quiet())
    splits, output = found.prepared.splits, found.output
    table = joined([splits.train, splits.valid, splits.test])
    labels, flipped = output.targets(table.values[output.name]), np.array([v == "1" for v in table.values["flipped"]])
    started = time.perf_counter()
    for name, chances in cross_fitted.models(found.inputs, table, labels, len(output.classes), SEED).items():
        doubts = label_errors.doubts(labels, chances)
        first = flipped[doubts.order[: len(table) // 10]]
        print(
            f"{name}: {first.sum() / flipped.sum():.1%} of {flipped.sum()} flipped labels in the first tenth of "
            f"{len(table)} rows; looks wrong {doubts.wrong.mean():.1%}, "
            f"of these flipped {flipped[doubts.wrong].mean():.1%}"
        )
    print(f"{time.perf_counter() - started:.1f} s")


if __name__ == "__main__":
    main()
