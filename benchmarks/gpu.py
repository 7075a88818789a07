"""The training loop on a GPU beside Trainer: `python -m benchmarks.gpu`; says so and ends well without a GPU.

A BERT-base shape with random weights learns rows of mixed length in bf16. The figure that travels is the share of the
chip's matrix rate that the useful arithmetic (real tokens, no padding) comes to; that rate is measured in the same run.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DataCollatorWithPadding,
    PreTrainedTokenizerFast,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from benchmarks.ours.training import NEVER
from trimtab import pretrained
from trimtab.columns import EncodedRows, Ragged
from trimtab.columns.label import LabelColumn
from trimtab.columns.text import TextColumn
from trimtab.nets.network import Architecture, Network, one_each
from trimtab.progress import Quiet
from trimtab.spec import parse
from trimtab.train.devices import device
from trimtab.train.loop import train
from trimtab.train.method import TrainingData
from trimtab.train.settings import choose

ROOT = Path(__file__).resolve().parent.parent
LENGTHS = {"median": 40.0, "spread": 0.7, "most": 256}  # log-normal: like reviews, many short rows and a few long ones
VALID_ROWS = 256
MATRIX = 8192  # rows and columns of the product that the chip's rate is measured with


def main() -> None:
    """Run both in turn and write bench-results/gpu.json and gpu.md."""
    asked = _arguments()
    if not torch.cuda.is_available():
        sys.stdout.write("bench-gpu: no CUDA device here, nothing was measured\n")
        return
    rate = matrix_rate()
    lengths = row_lengths(asked.rows, asked.seed)
    runs: dict[str, list[float]] = {"trimtab": [], "Trainer, bf16": [], "Trainer, bf16, batch 32": []}
    for _ in range(asked.repeats):
        runs["trimtab"].append(ours(lengths, asked.seed))
        runs["Trainer, bf16"].append(theirs(lengths, asked.seed, 8))
        runs["Trainer, bf16, batch 32"].append(theirs(lengths, asked.seed, 32))
    useful = training_flops(lengths) / len(lengths)
    seconds = {name: median(of) for name, of in runs.items()}
    result = {
        "device": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "rows": asked.rows,
        "matrix_tflops": rate / 1e12,
        "rows_per_second": {name: asked.rows / of for name, of in seconds.items()},
        "share_of_matrix_rate": {name: useful * asked.rows / of / rate for name, of in seconds.items()},
    }
    folder = ROOT / "bench-results"
    folder.mkdir(exist_ok=True)
    (folder / "gpu.json").write_text(json.dumps({**result, "runs": runs}, indent=1) + "\n", encoding="utf-8")
    text = "\n".join(markdown(result))
    (folder / "gpu.md").write_text(text, encoding="utf-8")
    sys.stdout.write(text)


def ours(lengths: np.ndarray, seed: int) -> float:
    """Seconds that Trimtab's loop takes for one epoch."""
    minilm = Path(str(pretrained.find("minilm", "text", ROOT, Path(tempfile.mkdtemp())).options["tokenizer"]))
    column = TextColumn("text", "text", int(LENGTHS["most"]), 0, minilm.read_text(encoding="utf-8"))
    label = LabelColumn.fit("label", "label", ["0", "1"] * 8, {})
    config = BertConfig().to_dict()
    entries = one_each([column], config)
    architecture = Architecture(width=768, encoders=entries, fusion="mean", dropout=0.1, head="label")
    torch.manual_seed(seed)
    network = Network(architecture, [column], label)
    base = pretrained.Base("bert-base shape", "text", "text", "", config, 768, {}, "")
    wanted = {"epochs": 1, "patience": NEVER, "method": "scratch", "precision": "bf16", "checkpoint_seconds": 1e6}
    spec = parse({"data": "-", "output": "label", "seed": seed, "train": wanted})
    taught, valid = encoded(column, lengths, seed), encoded(column, lengths[:VALID_ROWS], seed + 1)
    settings, _ = choose(spec, label, base, len(taught), taught.steps, np.array([1, 1]), device())
    data = TrainingData(taught, targets(len(taught), seed), valid, targets(VALID_ROWS, seed + 1), label)
    with tempfile.TemporaryDirectory() as folder:
        trained = train(network, data, settings, Path(folder), Quiet())
    return trained.seconds


def theirs(lengths: np.ndarray, seed: int, batch: int) -> float:
    """Seconds that transformers' Trainer takes for one epoch, its defaults but for bf16 (and the batch, where told)."""
    torch.manual_seed(seed)
    model = BertForSequenceClassification(BertConfig())
    answers = targets(len(lengths), seed)
    rows = [{"input_ids": ids, "labels": int(y)} for ids, y in zip(token_ids(lengths, seed), answers, strict=True)]
    minilm = pretrained.find("minilm", "text", ROOT, Path(tempfile.mkdtemp())).options["tokenizer"]
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=minilm, pad_token="[PAD]")
    watch = _Watch()
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            num_train_epochs=1,
            per_device_train_batch_size=batch,
            bf16=True,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            seed=seed,
        )
        collator = DataCollatorWithPadding(tokenizer)
        Trainer(model, arguments, train_dataset=rows, data_collator=collator, callbacks=[watch]).train()
    return watch.seconds


class _Watch(TrainerCallback):
    """From the first step's start to the last one's end."""

    def __init__(self) -> None:
        self.begun = self.seconds = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.begun = time.perf_counter()

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        torch.cuda.synchronize()
        self.seconds = time.perf_counter() - self.begun


def matrix_rate() -> float:
    """Operations per second of a large bf16 matrix product on this chip: the best of 20."""
    left, right = (torch.randn(MATRIX, MATRIX, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    taken = []
    for _ in range(25):
        torch.cuda.synchronize()
        begun = time.perf_counter()
        left @ right
        torch.cuda.synchronize()
        taken.append(time.perf_counter() - begun)
    return 2 * float(MATRIX) ** 3 / min(taken[5:])


def training_flops(lengths: np.ndarray) -> float:
    """Operations of forward and backward over real tokens (Narayanan et al. 2021, arXiv:2104.04473, without logits)."""
    config = BertConfig()
    layers, width = config.num_hidden_layers, config.hidden_size
    steps = lengths.astype(float)
    return float((72 * layers * width**2 * steps * (1 + steps / (6 * width))).sum())


def row_lengths(rows: int, seed: int) -> np.ndarray:
    """Tokens of each row, (rows,)."""
    drawn = np.random.default_rng(seed).lognormal(np.log(LENGTHS["median"]), LENGTHS["spread"], rows)
    return np.clip(drawn, 4, LENGTHS["most"]).astype(np.int64)


def token_ids(lengths: np.ndarray, seed: int) -> Iterator[list[int]]:
    """Random token ids, row by row."""
    random = np.random.default_rng(seed)
    return (random.integers(1000, 30000, length).tolist() for length in lengths)


def encoded(column: TextColumn, lengths: np.ndarray, seed: int) -> EncodedRows:
    """The same rows as Trimtab's columns would give them."""
    ids = np.concatenate([np.array(row) for row in token_ids(lengths, seed)])
    ragged = Ragged(ids, np.concatenate([[0], np.cumsum(lengths)]))
    return EncodedRows((column,), (ragged,), lengths)


def targets(rows: int, seed: int) -> np.ndarray:
    """Random classes, (rows,)."""
    return np.random.default_rng(seed).integers(0, 2, rows)


def markdown(result: dict[str, Any]) -> Iterator[str]:
    """The table that docs/benchmarks.md may quote."""
    yield from ("### Training on a GPU", "")
    yield (
        f"{result['device']}; BERT-base shape, random weights, {result['rows']} rows of mixed length, bf16; measured "
        f"matrix rate {result['matrix_tflops']:.0f} TFLOP/s."
    )
    yield from ("", "| | rows/s | times trimtab is faster | share of the matrix rate |", "|---|---|---|---|")
    for name, rate in result["rows_per_second"].items():
        ratio = result["rows_per_second"]["trimtab"] / rate
        yield f"| {name} | {rate:.0f} | {ratio:.1f} | {result['share_of_matrix_rate'][name]:.1%} |"
    yield ""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=7)
    return parser.parse_args()


if __name__ == "__main__":
    main()
