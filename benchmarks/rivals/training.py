"""Train with a rival's recipe: `python -m benchmarks.rivals.training RECIPE ROWS.csv BASE EPOCHS EVALUATIONS SEED`."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

from benchmarks import rows
from benchmarks.measure import Stopwatch, answer_with, cores, evaluation_steps

MAX_TOKENS = 128
PLAIN_BATCH = 16
RATE = 5e-5  # Trainer's default, and what the plain recipe is usually shown with


@dataclass(frozen=True)
class Job:
    """What every recipe is given."""

    model: Any
    tokenizer: Any
    train: list[dict[str, Any]]
    valid: list[dict[str, Any]]
    epochs: int
    evaluations: int
    seed: int


@dataclass(frozen=True)
class Outcome:
    """Seconds of training, and (seconds, accuracy on the validation rows) along the way."""

    seconds: float
    curve: list[tuple[float, float]]


def main(recipe: str, data: str, base: str, epochs: str, evaluations: str, seed: str) -> None:
    """Train and print rows per second and the curve."""
    torch.set_num_threads(cores())
    set_seed(int(seed))
    train, valid = (rows.read(Path(data), split) for split in ("train", "valid"))
    classes = sorted(set(train.labels))
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=len(classes))
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    taught, asked = (_encode(tokenizer, part, classes) for part in (train, valid))
    outcome = RECIPES[recipe](Job(model, tokenizer, taught, asked, int(epochs), int(evaluations), int(seed)))
    answer_with(
        {
            "rows_per_second": len(train) * int(epochs) / outcome.seconds,
            "seconds": outcome.seconds,
            "curve": outcome.curve,
            "precision": "fp32",
            "torch": torch.__version__,
        }
    )


def plain(job: Job) -> Outcome:
    """The recipe of most tutorials: AdamW, batches of 16, every row padded to 128 tokens."""
    padded = job.tokenizer.pad(
        [{"input_ids": row["input_ids"]} for row in job.train], padding="max_length", max_length=MAX_TOKENS
    )
    ids, mask = torch.tensor(padded["input_ids"]), torch.tensor(padded["attention_mask"])
    targets = torch.tensor([row["labels"] for row in job.train])
    optimizer = torch.optim.AdamW(job.model.parameters(), lr=RATE)
    batches = [
        batch
        for epoch in range(job.epochs)
        for batch in torch.randperm(len(ids), generator=torch.Generator().manual_seed(job.seed + epoch)).split(
            PLAIN_BATCH
        )
    ]
    scored = evaluation_steps(len(batches), job.epochs, job.evaluations)
    curve: list[tuple[float, float]] = []
    watch = Stopwatch()
    for step, batch in enumerate(batches, start=1):
        job.model.train()
        picked = (part[batch].to(job.model.device) for part in (ids, mask, targets))
        loss = job.model(**dict(zip(("input_ids", "attention_mask", "labels"), picked, strict=True))).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if step in scored:
            curve.append((watch.pause(), accuracy(job)))
            watch.go()
    return Outcome(watch.pause(), curve)


def trainer(job: Job) -> Outcome:
    """transformers' Trainer with its defaults: batches of 8, each padded to its longest row."""
    return _trainer(job, "random")


def trainer_grouped(job: Job) -> Outcome:
    """The same, with rows of like length put into one batch."""
    return _trainer(job, "group_by_length")


def _trainer(job: Job, sampling: str) -> Outcome:
    watch = _Watch(job)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            num_train_epochs=job.epochs,
            train_sampling_strategy=sampling,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            seed=job.seed,
        )
        collator = DataCollatorWithPadding(job.tokenizer)
        Trainer(job.model, arguments, train_dataset=job.train, data_collator=collator, callbacks=[watch]).train()
    return Outcome(watch.watch.spent, watch.curve)


class _Watch(TrainerCallback):
    """Scores the validation rows along the way, with the clock standing still."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.curve: list[tuple[float, float]] = []
        self.scored: set[int] = set()
        self.watch = Stopwatch()

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.scored = evaluation_steps(state.max_steps, self.job.epochs, self.job.evaluations)
        self.watch.go()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step in self.scored:
            self.curve.append((self.watch.pause(), accuracy(self.job)))
            self.job.model.train()
            self.watch.go()

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.watch.pause()


@torch.no_grad()
def accuracy(job: Job) -> float:
    """Share of the validation rows answered rightly."""
    job.model.eval()
    order = sorted(range(len(job.valid)), key=lambda row: len(job.valid[row]["input_ids"]))
    collator = DataCollatorWithPadding(job.tokenizer)
    right = []
    for start in range(0, len(order), 32):
        batch = collator([job.valid[row] for row in order[start : start + 32]]).to(job.model.device)
        right.append((job.model(**batch).logits.argmax(-1) == batch["labels"]).float().cpu().numpy())
    return float(np.concatenate(right).mean())


def _encode(tokenizer: Any, part: rows.Labelled, classes: list[str]) -> list[dict[str, Any]]:
    ids = tokenizer(part.texts, truncation=True, max_length=MAX_TOKENS)["input_ids"]
    return [{"input_ids": row, "labels": classes.index(label)} for row, label in zip(ids, part.labels, strict=True)]


RECIPES: dict[str, Callable[[Job], Outcome]] = {
    "plain": plain,
    "trainer": trainer,
    "trainer-grouped": trainer_grouped,
}

if __name__ == "__main__":
    main(*sys.argv[1:])
