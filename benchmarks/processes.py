"""What several processes gain: rows in a second, or memory; `python -m benchmarks.processes speed` or `... memory`.

`speed`: 1,000 of the sample's reviews and the base minilm, one thread in each process. `memory`: a BERT of 100 million
random weights, whole in one process and in parts (`train.shard`) in two and four; the highest resident memory of each
process from the moment at which training begins (Linux: VmHWM), and beside it what is its own (RssAnon, looked at every
20 ms).
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from trimtab import spec as specs
from trimtab.columns import encode_rows, fit
from trimtab.data import samples
from trimtab.nets.network import Architecture, EncoderEntry, Network
from trimtab.pipeline.training import train
from trimtab.progress import Quiet
from trimtab.request import check
from trimtab.spec import parse
from trimtab.train import devices, loop, sharing
from trimtab.train.method import TrainingData
from trimtab.train.settings import choose

SHAPE = {
    "model_type": "bert", "vocab_size": 20_000, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
    "intermediate_size": 3072, "max_position_embeddings": 64,
    "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
}  # fmt: skip
REVIEWS = 1_000
ROWS, VALID, WORDS = 24, 8, 24


def speed(folder: Path, asked: dict[str, object]) -> dict[str, object]:
    """Rows in a second of the stage `train`, by this process and those that it trains with."""
    if devices.join():
        sharing.follow()
        return {}
    samples.write("reviews", folder / "all.csv")
    with (folder / "all.csv").open(newline="", encoding="utf-8") as file:
        some = list(islice(csv.reader(file), REVIEWS + 1))
    with (folder / "reviews.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(some)
    given = {"epochs": 1, "threads": 1, "precision": "fp32", "attention": "fused", **asked}
    spec = specs.parse({"data": "reviews.csv", "output": "sentiment", "base": "minilm", "train": given})
    request = check(spec, folder, folder / "home", Quiet())
    _, trained, _ = train(request, folder / "train", Quiet())
    sharing.dismiss(0)
    ended = {"loss": round(trained.history[-1]["loss"], 6), "score": round(trained.best, 4)}
    return {"rows_per_second": round(trained.rows_per_second, 2), **ended, **trained.together}


def memory(folder: Path, asked: dict[str, object]) -> dict[str, object]:
    """The highest memory of this process while it trains, with the losses of the evaluations."""
    random = np.random.default_rng(0)
    vocabulary = np.array([f"w{number}" for number in range(500)])
    texts = [" ".join(random.choice(vocabulary, WORDS)) for _ in range(ROWS)]
    inputs = [fit("text", "t", "t", texts, {"vocabulary": 600})]
    answers = ["ab"[number % 2] for number in range(ROWS)]
    texts = [f"{text} {answer}" for text, answer in zip(texts, answers, strict=True)]
    output = fit("label", "y", "y", answers, {"classes": ["a", "b"]})
    entries = (EncoderEntry(name="text", reads=("t",), config=SHAPE),)
    made = Architecture(width=768, encoders=entries, fusion="mean", dropout=0.0, head="label")
    torch.manual_seed(0)
    network = Network(made, inputs, output)
    rows, targets = encode_rows(inputs, {"t": texts}), output.targets(answers)
    learn, hold = np.arange(ROWS - VALID), np.arange(ROWS - VALID, ROWS)
    data = TrainingData(rows.take(learn), targets[learn], rows.take(hold), targets[hold], output)
    spec = parse({"data": "x", "output": "y", "train": {"epochs": 2, "precision": "fp32", "threads": 1, **asked}})
    chosen, _ = choose(spec, output, None, len(learn), data.train.steps, None, torch.device("cpu"))
    chosen = replace(
        chosen, batch_rows=8, batch_tokens=10_000, learning_rate=1e-4, head_rate=1e-4, checkpoint_seconds=1e9
    )
    devices.join()
    Path("/proc/self/clear_refs").write_text("5")
    own = _Own()
    trained = loop.train(network, data, chosen, folder / "work", Quiet(), together=True)
    return {
        "parameters": sum(one.numel() for one in network.parameters()),
        "losses": [round(entry["loss"], 6) for entry in trained.history],
        "peak_mb": round(_status("VmHWM")),
        "own_peak_mb": round(own.stop()),
        **trained.together,
    }


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(name))


class _Own:
    """The most memory that is this process's own and no file's, in megabytes."""

    def __init__(self) -> None:
        self.peak, self._over = 0.0, threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            self.peak = max(self.peak, _status("RssAnon"))

    def stop(self) -> float:
        self._over.set()
        return self.peak


def measured(work: str, processes: int, asked: dict[str, object]) -> list[dict[str, object]]:
    """What each of so many processes has found."""
    with TemporaryDirectory(prefix="trimtab-processes-") as scratch:
        start = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        command = [sys.executable, *(start if processes > 1 else []), "-m", "benchmarks.processes", work]
        command += ["--work", scratch, "--set", json.dumps(asked)]
        subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True)
        found = sorted(Path(scratch).glob("*.json"))
        return [json.loads(path.read_text()) for path in found]


def main() -> None:
    """Measure each number of processes by itself, and print what each has found as JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("speed", "memory"))
    parser.add_argument("--processes", type=int, nargs="+", help="default: 1 2, of memory 1 2 4")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--set", type=json.loads, default={}, help="settings of `train`, as JSON")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.work:
        rank = os.environ.get("RANK", "0")
        found = {"speed": speed, "memory": memory}[chosen.what](chosen.work, chosen.set)
        (chosen.work / f"{rank}.json").write_text(json.dumps(found))
        return
    counts = chosen.processes or ([1, 2] if chosen.what == "speed" else [1, 2, 4])
    for _ in range(chosen.repeats):
        for count in counts:
            asked = {"shard": True, **chosen.set} if chosen.what == "memory" else chosen.set
            for rank, found in enumerate(measured(chosen.what, count, asked)):
                if found:
                    sys.stdout.write(json.dumps({"processes": count, "process": rank, **found}) + "\n")
                    sys.stdout.flush()


if __name__ == "__main__":
    main()
