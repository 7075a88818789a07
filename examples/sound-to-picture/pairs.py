"""Spoken digits, each beside some written ones of the same digit: `pairs.csv`.

`python examples/sound-to-picture/pairs.py RECORDINGS DIGITS`: RECORDINGS is the folder of recordings of the Free Spoken
Digit Dataset, DIGITS the folder that `trimtab sample digits` writes. Takes 10 and 11 of each speaker are tested on, take
9 chooses the checkpoint, takes 5 to 8 are learnt from; a picture stands in one of these parts alone.
"""

from __future__ import annotations

import csv
import os
import sys
from pathlib import Path

import numpy as np

PARTS = {5: "train", 6: "train", 7: "train", 8: "train", 9: "valid", 10: "test", 11: "test"}  # by the take
EACH = {"train": 16, "valid": 4, "test": 1}  # pictures beside a recording
HERE = Path(__file__).resolve().parent


def pictures(digits: Path) -> dict[tuple[str, str], list[Path]]:
    """The pictures of each part and digit: of ten the first to test, the sixth to choose by, the others to learn."""
    found: dict[tuple[str, str], list[Path]] = {}
    for folder in sorted(digits.iterdir()):
        for place, file in enumerate(sorted(folder.glob("*.png"))):
            part = "test" if place % 10 == 0 else "valid" if place % 10 == 5 else "train"
            found.setdefault((part, folder.name), []).append(file)
    return found


def pair(recordings: Path, digits: Path, target: Path) -> None:
    """Write `pairs.csv`: a row for each recording and each picture beside it."""
    draw, known = np.random.default_rng(0), pictures(digits)
    with (target / "pairs.csv").open("w", encoding="utf-8", newline="") as file:
        sink = csv.writer(file)
        sink.writerow(["sound", "picture", "digit", "split"])
        for sound in sorted(recordings.glob("*.wav")):
            digit, _, take = sound.stem.split("_")
            part = PARTS.get(int(take))
            if part is None:
                continue
            pool = known[part, digit]
            for place in draw.choice(len(pool), min(EACH[part], len(pool)), replace=False):
                sink.writerow([os.path.relpath(sound, target), os.path.relpath(pool[place], target), digit, part])


if __name__ == "__main__":
    pair(Path(sys.argv[1]), Path(sys.argv[2]), HERE)
