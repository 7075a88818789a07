"""Few labels by SetFit: `python -m benchmarks.rivals.few ROWS.csv EACH MODEL STEPS SEED`, as its README trains it.

STEPS is how many batches of 16 pairs it learns from; 0: as many as it takes by default. Needs no Trimtab.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from datasets import Dataset
from setfit import SetFitModel, Trainer, TrainingArguments

from benchmarks import rows
from benchmarks.measure import answer_with


def main(data: str, each: str, model: str, steps: str, seed: str) -> None:
    """Train, and print the accuracy on the test rows and the seconds."""
    few, test = rows.few(Path(data), int(each), int(seed)), rows.read(Path(data), "test")
    names = sorted(set(few.labels))
    begun = time.perf_counter()
    network = SetFitModel.from_pretrained(model)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            num_iterations=20,  # as in the paper
            max_steps=int(steps) or -1,
            seed=int(seed),
            report_to="none",
            save_strategy="no",
        )
        taught = Dataset.from_dict({"text": few.texts, "label": [names.index(label) for label in few.labels]})
        Trainer(model=network, args=arguments, train_dataset=taught).train()
    seconds = time.perf_counter() - begun
    answers = [names[int(answer)] for answer in network.predict(test.texts)]
    right = sum(map(str.__eq__, answers, test.labels))
    answer_with({"accuracy": right / len(test), "seconds": seconds})


if __name__ == "__main__":
    main(*sys.argv[1:])
