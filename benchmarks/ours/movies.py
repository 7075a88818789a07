"""The next movie of each user: `python -m benchmarks.ours.movies EVENTS.csv EPOCHS SEED`.

A whole launch with the defaults but for the epochs and the seed. Figures are over all users: one whose last movie no
training event was about is not in the launch's own test rows, and counts as a miss here. `unseen_*`, as the rival calls
it: movies that the user has rated before are left out.
"""

from __future__ import annotations

import csv
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

import torch

import trimtab
from benchmarks.measure import answer_with, cores

RUNS, ROWS = 5, 1000  # of calls, and of users in each


def main(events: str, epochs: str, seed: str) -> None:
    """Launch, and print the test figures, those of the floor, the rates and the curve."""
    torch.set_num_threads(cores())
    with tempfile.TemporaryDirectory() as folder:
        spec = {
            "data": str(Path(events).resolve()),
            "output": {"item": {"type": "ranking", "user": "user", "time": "time"}},
            "train": {"epochs": int(epochs)},
            "compress": "none",
            "seed": int(seed),
        }
        release = trimtab.launch(spec, runs=folder)
        figures = _figures(release.manifest, users_of(Path(events)))
        answer_with({**figures, "predictions_per_second": _predictions_per_second(release)})


def _figures(manifest: trimtab.Manifest, users: int) -> dict[str, Any]:
    rows, balance = manifest.data["rows"], manifest.data["balance"]
    share = rows["test"] / users
    training = next(stage for stage in manifest.stages if stage.name == "train")
    history = manifest.evidence["history"]
    best = max(history, key=lambda entry: entry["score"])
    return {
        **{f"unseen_{name}": manifest.measured[f"{name}@10"].value * share for name in ("ndcg", "hit", "mrr")},
        "floor": {name: found["ndcg@10"]["value"] * share for name, found in manifest.evidence["baselines"].items()},
        "users": users,
        "epoch": best["epoch"],
        "epochs": history[-1]["epoch"],
        "seconds": training.seconds,
        "rows_per_second": training.detail["rows_per_second"] * balance["train"]["answers"] / rows["train"],
        "torch": torch.__version__,
        "curve": [(entry["seconds"], entry["score"]) for entry in history],
    }


def users_of(events: Path) -> int:
    """Users of whom a movie is asked: those with three events or more."""
    with events.open(encoding="utf-8", newline="") as file:
        return sum(count > 2 for count in Counter(row["user"] for row in csv.DictReader(file)).values())


def _predictions_per_second(release: trimtab.Release) -> float:
    """Users for whom every movie is scored, per second: the median of some calls with many of them."""
    model = trimtab.load(release.folder)
    items = list(model.output.classes)
    histories = [items[first : first + 50] for first in range(ROWS)]
    taken = []
    for _ in range(RUNS):
        begun = time.perf_counter()
        model.outputs({"history": histories})
        taken.append(time.perf_counter() - begun)
    return len(histories) / median(taken)


if __name__ == "__main__":
    main(*sys.argv[1:])
