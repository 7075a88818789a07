"""Pairs of pictures to learn from: each digit, and the same one with Gaussian noise. Writes `noisy/` and `pairs.csv`.

python examples/denoise/noise.py examples/denoise/digits
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
from PIL import Image

LEVELS = 60  # standard deviation of the noise, of 255


def write(digits: Path, folder: Path) -> None:
    """The noisy pictures and the table, into a folder; the noise is the same every time."""
    draw = np.random.default_rng(0)
    (folder / "noisy").mkdir(exist_ok=True)
    with (folder / "pairs.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["noisy", "clean"])
        for clean in sorted(digits.glob("*/*.png")):
            pixels = np.asarray(Image.open(clean).convert("L"), np.float64)
            noisy = np.clip(np.rint(pixels + draw.normal(0, LEVELS, pixels.shape)), 0, 255).astype(np.uint8)
            name = f"noisy/{clean.parent.name}-{clean.stem}.png"
            Image.fromarray(noisy).save(folder / name)
            table.writerow([name, clean.relative_to(folder).as_posix()])


if __name__ == "__main__":
    write(Path(sys.argv[1]), Path(sys.argv[1]).parent)
