"""Pictures of three digits side by side, and what stands in them in words: `captions.csv` and the folder `pictures`.

`python examples/captions/compose.py DIGITS [COUNT]`: DIGITS is the folder that `trimtab sample digits` writes, COUNT
how many pictures to learn from. Digits of the pictures that are tested on stand in no other picture.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
from PIL import Image

WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
HERE = Path(__file__).resolve().parent


def pools(digits: Path) -> dict[str, list[tuple[Path, str]]]:
    """Each digit with its word, in three parts: one in ten to test, one in ten to choose the checkpoint by."""
    found = [(file, WORDS[int(file.parent.name)]) for file in sorted(digits.glob("*/*.png"))]
    parts: dict[str, list[tuple[Path, str]]] = {"train": [], "valid": [], "test": []}
    for place, one in enumerate(found):
        parts["test" if place % 10 == 0 else "valid" if place % 10 == 5 else "train"].append(one)
    return parts


def compose(digits: Path, count: int, target: Path) -> None:
    """Write `count` pictures to learn from, and a twelfth of that for each of the other parts."""
    draw = np.random.default_rng(0)
    (target / "pictures").mkdir(parents=True, exist_ok=True)
    with (target / "captions.csv").open("w", encoding="utf-8", newline="") as file:
        sink = csv.writer(file)
        sink.writerow(["picture", "caption", "split"])
        for part, pool in pools(digits).items():
            for number in range(count if part == "train" else max(1, count // 12)):
                chosen = [pool[place] for place in draw.integers(0, len(pool), 3)]
                pixels = np.concatenate([np.asarray(Image.open(one).convert("L")) for one, _ in chosen], axis=1)
                name = f"pictures/{part}-{number}.png"
                Image.fromarray(pixels).save(target / name)
                sink.writerow([name, " ".join(word for _, word in chosen), part])


if __name__ == "__main__":
    compose(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 12_000, HERE)
