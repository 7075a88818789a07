"""Clicks by Trimtab: `python -m benchmarks.ours.clicks CLICKS.csv FUSION SEED`, with deepfm or wide_deep as the fusion.

The whole of `trimtab launch` with its own choices, on the rows and columns that `benchmarks.rivals.clicks` takes; every
column is a category, as there. The figures are those of the released files on the test rows.
"""

from __future__ import annotations

import csv
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import torch

import trimtab
from benchmarks.measure import answer_with, cores

FEATURES = ("user", "item", "gender", "age", "occupation", "hour", "weekday")


def main(clicks: str, fusion: str, seed: str) -> None:
    """Train, and print the test figures and the rates; `seconds` are those of training alone."""
    torch.set_num_threads(cores())
    spec = {
        "data": str(Path(clicks).resolve()),
        "inputs": dict.fromkeys(FEATURES, "category"),
        "output": {"label": "label"},
        "split": "split",
        "fusion": fusion,
        "gates": {"auc": ">= 0.5"},  # so that the AUC on the validation rows chooses the epoch, as by the rival
        "seed": int(seed),
    }
    with tempfile.TemporaryDirectory() as folder:
        release = trimtab.launch(spec, runs=folder)
        rate = predictions_per_second(trimtab.load(release.folder), Path(clicks))
    manifest = release.manifest
    (training,) = (stage for stage in manifest.stages if stage.name == "train")
    answer_with(
        {
            "auc": manifest.measured["auc"].value,
            "log_loss": manifest.measured["log_loss"].value,
            "seconds": training.seconds,
            "rows_per_second": training.detail["rows_per_second"],
            "predictions_per_second": rate,
            "epochs": manifest.spec["train"]["epochs"],
            "torch": torch.__version__,
        }
    )


def predictions_per_second(model: trimtab.Model, clicks: Path) -> float:
    """Rows per second from raw cells to answers, the median of five calls with all test rows."""
    with clicks.open(encoding="utf-8", newline="") as file:
        rows = [{name: row[name] for name in FEATURES} for row in csv.DictReader(file) if row["split"] == "test"]
    taken = []
    for _ in range(5):
        begun = time.perf_counter()
        model.predict(rows)
        taken.append(time.perf_counter() - begun)
    return len(rows) / median(taken)


if __name__ == "__main__":
    main(*sys.argv[1:])
