"""5,000 digits by Trimtab: `python -m benchmarks.ours.digits NETWORK SEED [EPOCHS]`; NETWORK is a key of `NETWORKS`.

A whole launch on the rows that the rival takes: of every ten rows the first is a test row, the second a validation row.
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
CONVOLUTIONS = {"name": "cnn", "channels": 64, "stages": 2, "depth": 1}  # of 32 and of 64 channels
# What a spec says beside its data: nothing, or Keras's convolutions, epochs and batches, and pictures as they are.
NETWORKS: dict[str, dict[str, Any]] = {
    "default": {},
    "keras": {
        "inputs": {"image": {"type": "image", "encoder": CONVOLUTIONS, "augment": "none"}},
        "train": {"epochs": 15, "batch_tokens": 128, "dropout": 0.5, "ema_decay": 0.0, "label_smoothing": 0.0},
    },
}


def main(network: str, seed: str, epochs: str = "") -> None:
    """Launch, and print the accuracy and the rates."""
    torch.set_num_threads(cores())
    with tempfile.TemporaryDirectory() as folder:
        pictures = write(Path(folder))
        spec: dict[str, Any] = {"data": str(pictures), "output": "label", "compress": "none", "seed": int(seed)}
        spec |= NETWORKS[network]
        if epochs:
            spec["train"] = {**spec.get("train", {}), "epochs": int(epochs)}
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
