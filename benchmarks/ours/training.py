"""Train with Trimtab's loop: `python -m benchmarks.ours.training PRECISION ROWS.csv BASE EPOCHS EVALUATIONS SEED`."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from benchmarks import rows
from benchmarks.measure import answer_with, cores
from benchmarks.ours import bare
from trimtab import columns, pretrained
from trimtab.nets.network import Architecture, Network, one_each
from trimtab.nets.pretrained import PretrainedEncoder
from trimtab.progress import Quiet
from trimtab.spec import parse
from trimtab.train.devices import device
from trimtab.train.execution import Execution
from trimtab.train.loop import train
from trimtab.train.method import TrainingData
from trimtab.train.settings import choose

NEVER = 1_000_000  # evaluations without a better score: every epoch is run to its end, as by the rivals


def main(precision: str, data: str, base_name: str, epochs: str, evaluations: str, seed: str) -> None:
    """Train and print rows per second and the curve."""
    torch.set_num_threads(cores())
    torch.manual_seed(int(seed))
    with tempfile.TemporaryDirectory() as folder:
        result = _train(precision, Path(data), base_name, int(epochs), int(evaluations), int(seed), Path(folder))
    answer_with(result)


def _train(
    precision: str, data: Path, base_name: str, epochs: int, evaluations: int, seed: int, folder: Path
) -> dict[str, object]:
    teach, choosing = (rows.read(data, split) for split in ("train", "valid"))
    base = pretrained.find(base_name, "text", folder, folder / "base")
    text = columns.fit("text", "text", "text", teach.texts, base.options)
    label = columns.fit("label", "label", "label", teach.labels, {})
    encoded = [columns.encode_rows([text], {"text": part.texts}) for part in (teach, choosing)]
    targets = [label.targets(part.labels) for part in (teach, choosing)]
    wanted = {"epochs": epochs, "evaluations": evaluations, "patience": NEVER, "precision": precision}
    spec = parse({"data": str(data), "output": "label", "seed": seed, "train": wanted})
    settings, _ = choose(spec, label, base, len(teach), encoded[0].steps, np.bincount(targets[0]), device())
    architecture = Architecture(
        width=base.width,
        encoders=one_each([text], base.config),
        fusion="mean",
        dropout=settings.dropout,
        head="label",
    )
    network = Network(architecture, [text], label)
    encoder = network.encoders["in_text"]
    assert isinstance(encoder, PretrainedEncoder)
    pretrained.load_weights(base, encoder.model)
    taught = TrainingData(encoded[0], targets[0], encoded[1], targets[1], label)
    trained = train(network, taught, settings, folder / "checkpoints", Quiet())
    told = json.loads((folder / "checkpoints" / "execution.json").read_text(encoding="utf-8"))
    execution = Execution(**told["execution"])
    return {
        **bare.rates(network, taught, settings, execution),
        "rows_per_second": trained.rows_per_second,
        "seconds": trained.seconds,
        "curve": [(entry["seconds"], entry["score"]) for entry in trained.history],
        "precision": str(execution),
        "why": {key: reason for key, (_, reason) in told["choices"].items()},
        "torch": torch.__version__,
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
