"""SASRec as recbole trains it: `python -m benchmarks.rivals.movies EVENTS.csv EPOCHS SECONDS SEED`.

Model, loss, optimizer, batches and the choice of the epoch (the best MRR@10 on the validation events) are recbole's
defaults; it stops after EPOCHS or when SECONDS of training are spent. One row is one event to be told from the up to
50 before it.
"""

from __future__ import annotations

import csv
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from benchmarks.measure import Stopwatch, answer_with, cores

# recbole 1.2.1 asks for names that NumPy 2 has dropped.
for name, kind in {"float_": np.float64, "complex_": np.complex128, "unicode_": np.str_}.items():
    setattr(np, name, kind)

from recbole.config import Config  # noqa: E402
from recbole.data import create_dataset, data_preparation  # noqa: E402
from recbole.utils import get_model, get_trainer, init_seed  # noqa: E402

TOP = 10
SETTINGS = {
    "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
    "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "group_by": "user", "mode": "full"},
    "train_neg_sample_args": None,  # the loss, cross-entropy over all items, draws none
    "use_gpu": False,
    "show_progress": False,
    "state": "ERROR",
}


def main(events: str, epochs: str, seconds: str, seed: str) -> None:
    """Train, and print the test figures of the best epoch, the rates and the curve."""
    torch.set_num_threads(cores())
    source = Path(events).resolve()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # recbole writes its logs where it is run
        atomic(source, Path(folder) / "movies")
        config = Config("SASRec", "movies", config_dict={**SETTINGS, "data_path": folder, "seed": int(seed)})
        init_seed(config["seed"], config["reproducibility"])
        loaders = data_preparation(config, create_dataset(config))
        model = get_model(config["model"])(config, loaders[0].dataset)
        trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, model)
        curve = learn(trainer, loaders, int(epochs), float(seconds))
    best = max(curve, key=lambda point: point["valid"]["mrr"])
    answer_with(
        {
            **best["test"],
            "epoch": best["epoch"],
            "epochs": len(curve),
            "seconds": curve[-1]["seconds"],
            "rows_per_second": len(loaders[0].dataset) * len(curve) / curve[-1]["seconds"],
            "predictions_per_second": predictions_per_second(model, loaders[2]),
            "torch": torch.__version__,
            "curve": curve,
        }
    )


def atomic(events: Path, folder: Path) -> None:
    """The events in recbole's own format; an event's time is its place among its user's, so that none are tied."""
    folder.mkdir()
    seen: Counter[str] = Counter()
    with events.open(encoding="utf-8", newline="") as file, (folder / f"{folder.name}.inter").open("w") as sink:
        sink.write("user_id:token\titem_id:token\ttimestamp:float\n")
        for row in csv.DictReader(file):
            sink.write(f"{row['user']}\t{row['item']}\t{seen[row['user']]}\n")
            seen[row["user"]] += 1


def learn(trainer: Any, loaders: Any, epochs: int, seconds: float) -> list[dict[str, Any]]:
    """Epoch by epoch: seconds of training so far, figures on the validation and on the test events."""
    train, valid, test = loaders
    before_valid = known(train)
    before_test = before_valid | known(valid)
    curve: list[dict[str, Any]] = []
    watch = Stopwatch()
    while len(curve) < epochs and watch.spent < seconds:
        watch.go()
        trainer._train_epoch(train, len(curve))
        found = {"epoch": len(curve) + 1, "seconds": watch.pause()}
        parts = {"valid": (valid, before_valid), "test": (test, before_test)}
        curve.append({**found, **{name: figures(trainer.model, *of) for name, of in parts.items()}})
    return curve


def known(loader: Any) -> torch.Tensor:
    """Who has met what in the events of a part, (users, items)."""
    dataset = loader.dataset
    met = torch.zeros(dataset.user_num, dataset.item_num, dtype=torch.bool)
    rows = dataset.inter_feat
    met[rows["user_id"], rows["item_id"]] = True
    met[rows["user_id"][:, None], rows["item_id_list"]] = True
    return met


@torch.no_grad()
def figures(model: Any, loader: Any, met: torch.Tensor) -> dict[str, float]:
    """NDCG, hit rate and MRR at 10 over all items, and again (`unseen_*`) over those that the user had not met."""
    model.eval()
    rows = loader.dataset.inter_feat
    scores = model.full_sort_predict(rows)
    scores[:, 0] = -torch.inf  # the padding
    wanted = scores.gather(1, rows["item_id"][:, None])
    higher = scores > wanted
    everything = at_top(higher.sum(1) + 1)
    unseen = at_top((higher & ~met[rows["user_id"]]).sum(1) + 1)
    return {**everything, **{f"unseen_{name}": value for name, value in unseen.items()}}


def at_top(ranks: torch.Tensor) -> dict[str, float]:
    """Figures of the ranks, counted from 1, of the one right item of each row."""
    inside = (ranks <= TOP).double()
    gains = {"ndcg": inside / torch.log2(ranks + 1.0), "hit": inside, "mrr": inside / ranks}
    return {name: float(gain.mean()) for name, gain in gains.items()}


@torch.no_grad()
def predictions_per_second(model: Any, loader: Any) -> float:
    """Users for whom every item is scored, per second: the median of five calls with all of them."""
    model.eval()
    taken = []
    for _ in range(5):
        begun = time.perf_counter()
        model.full_sort_predict(loader.dataset.inter_feat)
        taken.append(time.perf_counter() - begun)
    return len(loader.dataset) / median(taken)


if __name__ == "__main__":
    main(*sys.argv[1:])
