"""How much memory and time many rows, pictures or classes take: `python -m benchmarks.scale --rows 1000000`.

Rows are made up: a text, two numbers, a category and a label; pictures are of 64x64 pixels in two class folders.
Each stage's figure is the highest resident memory while it ran (Linux: VmHWM, set back before each stage).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import numpy as np

from trimtab import spec as specs
from trimtab.audit import quality
from trimtab.audit.baselines import baselines
from trimtab.columns.label import LabelColumn
from trimtab.data.prepare import prepare
from trimtab.pipeline.training import train
from trimtab.progress import Quiet
from trimtab.request import check

STAGES = ("prepare", "check", "train", "baselines")
BLOCK = 100_000  # rows written at a time
PIXELS = 64
WORDS = 5_000  # different words of the texts

Result = TypeVar("Result")


def write_rows(path: Path, count: int, classes: int) -> None:
    """A csv file of rows that can be learnt from: one word of a text and one number tell the label."""
    random = np.random.default_rng(7)
    words = np.array([f"w{number}" for number in range(WORDS)])
    with path.open("w", encoding="utf-8") as file:
        file.write("text,first,second,kind,label\n")
        for start in range(0, count, BLOCK):
            size = min(BLOCK, count - start)
            label = random.integers(0, classes, size)
            texts = words[random.integers(0, WORDS, (size, 8))]
            first = random.normal(label % 7, 1.0)
            second = random.normal(0, 100, size)
            kind = random.integers(0, 200, size)
            file.writelines(
                f"c{own} {' '.join(text)},{one:.4f},{other:.3f},k{group},class{own}\n"
                for text, one, other, group, own in zip(texts, first, second, kind, label, strict=True)
            )


def write_pictures(folder: Path, count: int) -> None:
    """PNG files of noise, brighter in one of two class folders."""
    from PIL import Image  # noqa: PLC0415 (the rows need no Pillow)

    random = np.random.default_rng(7)
    for name, low in (("dark", 0), ("light", 128)):
        (folder / name).mkdir(parents=True)
        for number in range(count // 2):
            pixels = random.integers(low, low + 128, (PIXELS // 8, PIXELS // 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).resize((PIXELS, PIXELS)).save(folder / name / f"{number}.png")


def measure_quality(rows: int, classes: int) -> None:
    """All figures of quality, with their intervals, of made-up answers that are often right."""
    random = np.random.default_rng(7)
    column = LabelColumn("label", "label", tuple(f"class{number:04d}" for number in range(classes)))
    targets = random.integers(0, classes, rows)
    logits = random.normal(size=(rows, classes)).astype(np.float32)
    logits[np.arange(rows), targets] += 2
    quality.measure(column, targets, logits, seed=7)


def _status(name: str) -> float:
    """A figure of this process in gigabytes (10^9 bytes); 0 where there is no /proc."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    return sum(int(line.split()[1]) * 1024 / 1e9 for line in lines if line.startswith(name))


class _DiskPeak:
    """The most that a folder of temporary files held while it was watched, in gigabytes."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.peak, self._over = folder, 0.0, threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while not self._over.wait(0.5):
            held = 0
            for file in self.folder.rglob("*"):
                try:
                    held += file.stat().st_blocks * 512
                except OSError:  # gone meanwhile
                    continue
            self.peak = max(self.peak, held / 1e9)


def measured(name: str, work: Callable[[], Result]) -> Result:
    """Do the work and print its time, its highest resident memory, and what is resident after it."""
    reset = Path("/proc/self/clear_refs")
    if reset.exists():
        reset.write_text("5")
    begun, worked = time.perf_counter(), time.process_time()
    found = work()
    figures = {
        "stage": name,
        "seconds": round(time.perf_counter() - begun, 1),
        "cpu_seconds": round(time.process_time() - worked, 1),
        "peak_gb": round(_status("VmHWM"), 2),
        "after_gb": round(_status("VmRSS"), 2),
    }
    sys.stdout.write(json.dumps(figures) + "\n")
    sys.stdout.flush()
    return found


def main() -> None:
    """Make the data, then measure stage after stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--pictures", type=int, default=0, help="pictures in place of rows")
    parser.add_argument("--classes", type=int, default=2)
    parser.add_argument("--quality", action="store_true", help="measure answers to the rows, and nothing else")
    parser.add_argument("--until", choices=STAGES, default="train")
    parser.add_argument("--data", type=Path, help="where the data are made, or were made before")
    chosen = parser.parse_args()
    if chosen.quality:
        measured("quality", lambda: measure_quality(chosen.rows, chosen.classes))
        return
    with TemporaryDirectory(prefix="trimtab-scale-") as scratch:
        place = chosen.data or Path(scratch)
        place.mkdir(parents=True, exist_ok=True)
        temporary = Path(scratch) / "tmp"
        temporary.mkdir()
        os.environ["TMPDIR"] = str(temporary)
        disk = _DiskPeak(temporary)
        spec = _pictures(place, chosen.pictures) if chosen.pictures else _rows(place, chosen.rows, chosen.classes)
        asked = specs.parse(spec)
        if chosen.until == "prepare":
            measured("prepare", lambda: prepare(asked, place, Quiet()))
        else:
            request = measured("check", lambda: check(asked, place, Path(scratch) / "home", Quiet()))
            if chosen.until in ("train", "baselines"):
                measured("train", lambda: train(request, Path(scratch) / "train", Quiet()))
            if chosen.until == "baselines":
                splits = request.prepared.splits
                measured("baselines", lambda: baselines(request.inputs, splits.train, splits.test, request.output, 7))
        sys.stdout.write(json.dumps({"stage": "disk", "peak_gb": round(disk.peak, 2)}) + "\n")


def _rows(place: Path, count: int, classes: int) -> dict[str, Any]:
    file = place / f"rows-{count}-{classes}.csv"
    if not file.is_file():
        write_rows(file, count, classes)
    return {
        "data": file.name,
        "inputs": {
            "text": {"type": "text", "encoder": "static", "max_tokens": 32},
            "first": "number",
            "second": "number",
            "kind": "category",
        },
        "output": {"label": "label"},
        "clean": {"duplicates": "drop"},
        "train": {"epochs": 1},
    }


def _pictures(place: Path, count: int) -> dict[str, Any]:
    folder = place / f"pictures-{count}"
    if not folder.is_dir():
        write_pictures(folder, count)
    return {
        "data": folder.name,
        "inputs": {"image": {"type": "image", "encoder": "cnn"}},
        "output": {"label": "label"},
        "train": {"epochs": 1},
    }


if __name__ == "__main__":
    main()
