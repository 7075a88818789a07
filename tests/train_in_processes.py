"""Trains a tiny network, alone or as one of the processes of torchrun: `train_in_processes.py FOLDER [JSON]`.

Each process writes its weights, and what it answers to the validation rows, to `FOLDER/<rank>.npz`; of weights in parts
the first process has them whole. JSON: settings that are not the usual ones; with `stop`, optimizer steps after which
the process is killed.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trimtab.columns import encode_rows, fit
from trimtab.nets.network import Architecture, EncoderEntry, Network
from trimtab.progress import Quiet
from trimtab.spec import parse
from trimtab.train import devices, loop
from trimtab.train.method import TrainingData
from trimtab.train.optimizer import make, use_sparse_gradients
from trimtab.train.settings import choose

ROWS, VALID = 150, 50  # no batch of them is even


def main(folder: Path, asked: dict[str, Any]) -> None:
    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    words = np.array(["warm", "funny", "dull", "long", "fine", "film", "plot", "a", "the"])
    texts = [" ".join(random.choice(words, int(random.integers(1, 12)))) for _ in range(ROWS)]
    numbers = [f"{value:.4g}" for value in random.normal(size=ROWS)]
    answers = ["good" if "warm" in text or float(x) > 1 else "bad" for text, x in zip(texts, numbers, strict=True)]
    inputs = [fit("text", "t", "t", texts, {"vocabulary": 200}), fit("number", "x", "x", numbers, {})]
    output = fit("label", "y", "y", answers, {})
    shape = {
        "width": 16, "head_width": 8, "layers": [{"heads": 2, "neurons": 32}], "positions": 32, "dropout": 0.0
    }  # fmt: skip
    entries = (EncoderEntry(name="compact", reads=("t",), config=shape), EncoderEntry(name="number", reads=("x",)))
    torch.manual_seed(0)
    made = Architecture(width=16, encoders=entries, fusion="mean", dropout=0.0, head="label")
    network = Network(made, inputs, output)
    values, cut = {"t": texts, "x": numbers}, ROWS - VALID
    parts = (slice(cut), slice(cut, None))
    train, valid = (encode_rows(inputs, {name: each[part] for name, each in values.items()}) for part in parts)
    targets = output.targets(answers)
    data = TrainingData(train, targets[:cut], valid, targets[cut:], output)
    spec = parse({"data": "x", "output": "y", "train": {"epochs": 3, "evaluations": 2, "ema_decay": 0.9}})
    chosen = choose(spec, output, None, cut, train.steps, np.bincount(targets[:cut]), torch.device("cpu"))[0]
    chosen = replace(chosen, batch_rows=15, batch_tokens=150, accumulate=2, checkpoint_seconds=0.0, optimizer="adamw")
    if not asked.get("shard"):
        use_sparse_gradients(network)
        assert make(network, chosen).sparse is not None
    if stop := asked.pop("stop", None):
        kill_after(stop)
    chosen = replace(chosen, **asked)
    devices.join()
    trained = loop.train(network, data, chosen, folder / "work", Quiet(), together=True)
    (folder / f"{os.environ.get('RANK', '0')}.json").write_text(json.dumps(trained.together))
    if any(one.is_meta for one in network.parameters()):
        return
    outputs = loop.predict(network, valid, 512, torch.device("cpu"))
    weights = {name: value.numpy() for name, value in network.state_dict().items()}
    losses = np.array([entry["loss"] for entry in trained.history])
    np.savez(folder / f"{os.environ.get('RANK', '0')}.npz", outputs=outputs, losses=losses, **weights)


def kill_after(steps: int) -> None:
    """The last process is killed behind so many steps."""
    done, whole = itertools.count(1), loop.step

    def step(*arguments: Any) -> Any:
        if next(done) > steps and int(os.environ.get("RANK", "0")) + 1 == int(os.environ.get("WORLD_SIZE", "1")):
            os.kill(os.getpid(), signal.SIGKILL)
        return whole(*arguments)

    loop.step = step


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]) if len(sys.argv) > 2 else {})
