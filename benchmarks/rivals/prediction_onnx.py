"""An ONNX network's answers and speed, with tokenizers and ONNX Runtime alone: `... FOLDER ROWS.csv MAX_TOKENS`.

FOLDER has model.onnx, tokenizer.json and label.json.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from benchmarks import rows
from benchmarks.measure import ASKED_AT_ONCE, answer_with, cores, in_batches, megabytes, served


def main(folder: str, data: str, max_tokens: str) -> None:
    """Answer the test rows; print the size, rows per second, one-row latency and the answers."""
    answer = in_batches(Classifier(Path(folder), int(max_tokens)), ASKED_AT_ONCE)  # one of all rows would be slower
    texts = rows.read(Path(data), "test").texts
    answer_with({"megabytes": megabytes(Path(folder)), **served(answer, texts)})


class Classifier:
    """Texts -> classes; one batch, padded to its longest row."""

    def __init__(self, folder: Path, max_tokens: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = cores()
        self.session = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
        self.tokenizer = tokenizer(folder / "tokenizer.json", max_tokens)
        self.classes = classes(folder / "label.json")

    def __call__(self, texts: Sequence[str]) -> list[str]:
        (logits,) = self.session.run(None, tensors(self.tokenizer, texts))
        return [self.classes[best] for best in logits.argmax(1)]


def tokenizer(path: Path, max_tokens: int) -> Tokenizer:
    """It cuts and pads."""
    found = Tokenizer.from_file(str(path))
    found.enable_truncation(max_tokens)
    found.enable_padding()
    return found


def tensors(made: Tokenizer, texts: Sequence[str]) -> dict[str, np.ndarray]:
    """text_ids and text_mask, (rows, steps)."""
    encoded = made.encode_batch_fast(list(texts))
    return {
        "text_ids": np.array([row.ids for row in encoded], np.int64),
        "text_mask": np.array([row.attention_mask for row in encoded], np.int64),
    }


def classes(path: Path) -> list[str]:
    """In the order of the logits."""
    found: list[str] = json.loads(path.read_text(encoding="utf-8"))["classes"]
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
