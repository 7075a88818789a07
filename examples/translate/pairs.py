"""Pairs of sentences as csv: `train.csv` and `test.csv` beside this file.

`python examples/translate/pairs.py FOLDER`: FOLDER is `data/task1/raw` of https://github.com/multi30k/dataset, with
`train.en.gz`, `train.de.gz`, `val.en.gz` and `val.de.gz`. The sentences called `val` are those that are tested on.
"""

from __future__ import annotations

import csv
import gzip
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def lines(path: Path) -> list[str]:
    """The lines of a packed file."""
    return gzip.decompress(path.read_bytes()).decode("utf-8").splitlines()


def write(folder: Path, part: str, target: Path) -> None:
    """One row for each pair."""
    with target.open("w", encoding="utf-8", newline="") as file:
        sink = csv.writer(file)
        sink.writerow(["en", "de"])
        sink.writerows(zip(*(lines(folder / f"{part}.{name}.gz") for name in ("en", "de")), strict=True))


if __name__ == "__main__":
    write(Path(sys.argv[1]), "train", HERE / "train.csv")
    write(Path(sys.argv[1]), "val", HERE / "test.csv")
