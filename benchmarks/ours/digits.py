"""5,000 digits by Trimtab: `python -m benchmarks.ours.digits SEED [EPOCHS]`.

A whole launch with the defaults, on the rows that the rival takes: of every ten rows the first is a test row, the
second a validation row.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import torch

import trimtab
from benchmarks.measure import answer_with, cores, latency
from trimtab.data import samples

PARTS = {0: "test", 1: "valid"}  # by the row's number modulo 10; all others train
ASKED_AT_ONCE = 32


def main(seed: str, epochs: str = "") -> None:
    """Launch, and print the accuracy and the rates."""
    torch.set_num_threads(cores())
    with tempfile.TemporaryDirectory() as folder:
        pictures = write(Path(folder))
        spec: dict[str, Any] = {"data": str(pictures), "output": "label", "compress": "none", "seed": int(seed)}
        if epochs:
            spec["train"] = {"epochs": int(epochs)}
        release = trimtab.launch(spec, runs=Path(folder) / "runs")
        asked = [{"image": path.read_bytes()} for path in sorted(pictures.glob("test/*/*.png"))]
        answer_with({**figures(release.manifest), **rates(trimtab.load(release.folder), asked)})


def write(folder: Path) -> Path:
    """The digits as a folder for each split with a folder for each class."""
    samples.write("digits", folder / "all")
    for path in sorted((folder / "all").rglob("*.png")):
        target = folder / "digits" / PARTS.get(int(path.stem) % 10, "train") / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    return folder / "digits"


def figures(manifest: trimtab.Manifest) -> dict[str, Any]:
    """The accuracy of the released files on the test rows, and what training took."""
    (training,) = (stage for stage in manifest.stages if stage.name == "train")
    return {
        "accuracy": manifest.measured["accuracy"].value,
        "seconds": training.seconds,
        "epochs": len(manifest.evidence["history"]),
        "rows_per_second": training.detail["rows_per_second"],
        "torch": torch.__version__,
    }


def rates(model: trimtab.Model, rows: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Rows per second, ASKED_AT_ONCE at a time, and the time of one row: from the bytes of a file to the answer."""
    taken = []
    for _ in range(5):
        begun = time.perf_counter()
        for start in range(0, len(rows), ASKED_AT_ONCE):
            model.predict(rows[start : start + ASKED_AT_ONCE])
        taken.append(time.perf_counter() - begun)
    return {
        "predictions_per_second": len(rows) / median(taken),
        "latency": latency(lambda row: model.predict([row]), rows[:50]),
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
