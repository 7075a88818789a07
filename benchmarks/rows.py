"""The rows of a benchmark: the same train, valid and test rows for everybody, as one csv."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TEXT_COLUMNS = ("text", "review", "sentence")
LABEL_COLUMNS = ("label", "sentiment", "class")
SHARES = {"train": 0.7, "valid": 0.15, "test": 0.15}


@dataclass(frozen=True)
class Labelled:
    """Texts and their labels, row by row."""

    texts: list[str]
    labels: list[str]

    def __len__(self) -> int:
        return len(self.texts)


def write(source: Path, target: Path, train_rows: int, seed: int) -> dict[str, int]:
    """Pick rows at random, `train_rows` of them for training, and write text, label, split; rows per split."""
    pairs = sorted(set(_pairs(source)))
    random.Random(seed).shuffle(pairs)
    most = min(len(pairs), round(train_rows / SHARES["train"]))
    ends = {"train": round(most * SHARES["train"]), "valid": round(most * (1 - SHARES["test"])), "test": most}
    splits = [next(name for name, end in ends.items() if position < end) for position in range(most)]
    with target.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["text", "label", "split"])
        table.writerows((*pair, split) for pair, split in zip(pairs, splits, strict=False))
    return {name: splits.count(name) for name in ends}


def read(path: Path, split: str) -> Labelled:
    """The rows of one split of a file that `write` wrote."""
    with path.open(encoding="utf-8", newline="") as file:
        picked = [row for row in csv.DictReader(file) if row["split"] == split]
    return Labelled([row["text"] for row in picked], [row["label"] for row in picked])


def few(path: Path, each: int, seed: int) -> Labelled:
    """So many training rows of each class, drawn at random."""
    found = read(path, "train")
    draw = random.Random(seed)
    picked: list[tuple[str, str]] = []
    for label in sorted(set(found.labels)):
        own = [text for text, its in zip(found.texts, found.labels, strict=True) if its == label]
        picked += [(text, label) for text in draw.sample(own, min(each, len(own)))]
    return Labelled([text for text, _ in picked], [label for _, label in picked])


def _pairs(source: Path) -> Iterator[tuple[str, str]]:
    with source.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            text, label = _cell(row, TEXT_COLUMNS), _cell(row, LABEL_COLUMNS)
            if text.strip() and label.strip():
                yield text, label


def _cell(row: Mapping[str, str], names: Sequence[str]) -> str:
    return next((row[name] for name in names if name in row), "")
