"""Trains a tiny network, alone or as one of the processes of torchrun: `train_in_processes.py FOLDER`.

Each process writes its weights, and what it answers to the validation rows, to `FOLDER/<rank>.npz`.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

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


def main(folder: Path) -> None:
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
    use_sparse_gradients(network)
    assert make(network, chosen).sparse is not None
    devices.join()
    trained = loop.train(network, data, chosen, folder / "work", Quiet(), together=True)
    outputs = loop.predict(network, valid, 512, torch.device("cpu"))
    weights = {name: value.numpy() for name, value in network.state_dict().items()}
    losses = np.array([entry["loss"] for entry in trained.history])
    np.savez(folder / f"{os.environ.get('RANK', '0')}.npz", outputs=outputs, losses=losses, **weights)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
