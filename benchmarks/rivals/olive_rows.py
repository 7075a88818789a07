"""The `user_script` of Olive's workflow: the rows that it measures a network on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from olive.data.registry import Registry

from benchmarks import rows
from benchmarks.rivals.prediction_onnx import classes, tensors, tokenizer

Row = tuple[dict[str, np.ndarray], int]


@Registry.register_dataset()
def bench_rows(data: str, split: str, folder: str, max_tokens: int) -> list[Row]:
    """Token ids and their mask, (steps,), and the number of the class; `folder` has the tokenizer and the classes."""
    part = rows.read(Path(data), split)
    made = tokenizer(Path(folder) / "tokenizer.json", max_tokens)
    known = classes(Path(folder) / "label.json")
    single = ({name: values[0] for name, values in tensors(made, [text]).items()} for text in part.texts)
    return [(row, known.index(label)) for row, label in zip(single, part.labels, strict=True)]
