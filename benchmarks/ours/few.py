"""Few labels: `python -m benchmarks.ours.few ROWS.csv EACH SEED`, a whole launch on EACH rows of every class."""

from __future__ import annotations

import csv
import sys
import tempfile
import time
from pathlib import Path

import torch

import trimtab
from benchmarks import rows
from benchmarks.measure import answer_with, cores


def main(data: str, each: str, seed: str) -> None:
    """Launch, and print the accuracy on the test rows, what was chosen, and the seconds."""
    torch.set_num_threads(cores())
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        _write(home / "few.csv", rows.few(Path(data), int(each), int(seed)))
        _write(home / "test.csv", rows.read(Path(data), "test"))
        spec = {
            "data": str(home / "few.csv"),
            "test": str(home / "test.csv"),
            "inputs": {"text": "text"},
            "output": {"label": "label"},
            "compress": "none",
            "seed": int(seed),
        }
        begun = time.perf_counter()
        manifest = trimtab.launch(spec, runs=home / "runs").manifest
        seconds = time.perf_counter() - begun
    (method,) = (entry.value for entry in manifest.automatic if entry.key == "train.method")
    answer_with({"accuracy": manifest.measured["accuracy"].value, "seconds": seconds, "method": str(method)})


def _write(path: Path, found: rows.Labelled) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *zip(found.texts, found.labels, strict=True)])


if __name__ == "__main__":
    main(*sys.argv[1:])
