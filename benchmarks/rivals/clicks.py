"""deepctr-torch's DeepFM: `python -m benchmarks.rivals.clicks CLICKS.csv EPOCHS SEED [WIDTH OPTIMIZER]`.

Layers, penalties, batches, width and optimizer are those of its README; every column is a category. The epoch is
chosen by the AUC on the validation rows.
"""

from __future__ import annotations

import contextlib
import csv
import sys
import time
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any

import numpy as np
import torch
from sklearn.metrics import log_loss, roc_auc_score

from benchmarks.measure import Stopwatch, answer_with, cores

sys.modules["requests"] = ModuleType("requests")  # deepctr_torch would ask PyPI for its newest version on import
with contextlib.redirect_stdout(sys.stderr):
    from deepctr_torch.inputs import SparseFeat, get_feature_names
    from deepctr_torch.models import DeepFM

FEATURES = ("user", "item", "gender", "age", "occupation", "hour", "weekday")
BATCH = 256

Parts = dict[str, tuple[dict[str, np.ndarray], np.ndarray]]


def main(clicks: str, epochs: str, seed: str, width: str = "4", optimizer: str = "adagrad") -> None:
    """Train, and print the test figures of the best epoch, the rates and the curve."""
    torch.set_num_threads(cores())
    parts, sizes = read(Path(clicks))
    columns = [SparseFeat(name, vocabulary_size=size, embedding_dim=int(width)) for name, size in sizes.items()]
    assert get_feature_names(columns) == list(FEATURES)
    with contextlib.redirect_stdout(sys.stderr):
        network = DeepFM(columns, columns, task="binary", seed=int(seed))
        network.compile(optimizer, "binary_crossentropy", metrics=[])
        curve = learn(network, parts, int(epochs))
    best = max(curve, key=lambda point: point["valid_auc"])
    rows = len(parts["train"][1])
    answer_with(
        {
            **best,
            "epochs": len(curve),
            "train_seconds": curve[-1]["seconds"],
            "rows_per_second": rows * len(curve) / curve[-1]["seconds"],
            "predictions_per_second": predictions_per_second(network, parts["test"][0]),
            "torch": torch.__version__,
            "curve": curve,
        }
    )


def read(path: Path) -> tuple[Parts, dict[str, int]]:
    """The columns as numbers from 0 on and the answers, by split; the number of categories of each column."""
    with path.open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    coded = {name: np.unique([row[name] for row in table], return_inverse=True)[1] for name in FEATURES}
    answers = np.array([int(row["label"]) for row in table])
    splits = np.array([row["split"] for row in table])
    picked = {name: splits == name for name in ("train", "valid", "test")}
    parts = {name: ({key: ids[rows] for key, ids in coded.items()}, answers[rows]) for name, rows in picked.items()}
    return parts, {name: int(ids.max()) + 1 for name, ids in coded.items()}


def learn(network: Any, parts: Parts, epochs: int) -> list[dict[str, float]]:
    """Epoch by epoch: seconds of training so far, AUC on the validation and on the test rows."""
    curve: list[dict[str, float]] = []
    watch = Stopwatch()
    for epoch in range(epochs):
        watch.go()
        network.fit(*parts["train"], batch_size=BATCH, epochs=1, verbose=0)
        found = {"epoch": epoch + 1, "seconds": watch.pause()}
        scores = {name: network.predict(parts[name][0], BATCH)[:, 0] for name in ("valid", "test")}
        found |= {"valid_auc": roc_auc_score(parts["valid"][1], scores["valid"])}
        found |= {"auc": roc_auc_score(parts["test"][1], scores["test"])}
        curve.append({**found, "log_loss": log_loss(parts["test"][1], scores["test"])})
    return curve


def predictions_per_second(network: Any, rows: dict[str, np.ndarray]) -> float:
    """Rows per second of `predict`, the median of five calls with all rows."""
    taken = []
    for _ in range(5):
        begun = time.perf_counter()
        network.predict(rows, BATCH)
        taken.append(time.perf_counter() - begun)
    return len(rows["user"]) / median(taken)


if __name__ == "__main__":
    main(*sys.argv[1:])
