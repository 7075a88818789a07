"""The network of a bundle as those have it who serve it by hand: tokenizers, ONNX Runtime, a softmax."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from tokenizers import Tokenizer


class Classifier:
    """One text -> its class, by the files of a bundle that reads one text and answers one label."""

    def __init__(self, bundle: Path) -> None:
        serving = json.loads((bundle / "serving.json").read_text())
        self.text, self.key = serving["inputs"][0]["name"], serving["inputs"][0]["key"]
        column = json.loads((bundle / "columns" / f"{self.key}.json").read_text())
        label = json.loads((bundle / "columns" / f"{serving['output']['key']}.json").read_text())
        self.name, self.classes, self.temperature = label["name"], label["classes"], label["temperature"]
        self.tokenizer = Tokenizer.from_file(str(bundle / "columns" / f"{self.key}.tokenizer.json"))
        self.tokenizer.enable_truncation(column["max_tokens"])
        self.tokenizer.enable_padding(pad_id=column["pad_id"])
        self.session = onnxruntime.InferenceSession(str(bundle / "model.onnx"))

    def answer(self, texts: list[str]) -> list[dict[str, Any]]:
        """The class of each text, and its probability."""
        encoded = self.tokenizer.encode_batch(texts)
        ids = np.array([one.ids for one in encoded], np.int64)
        mask = np.array([one.attention_mask for one in encoded], np.int64)
        (logits,) = self.session.run(["outputs"], {f"{self.key}_ids": ids, f"{self.key}_mask": mask})
        odds = np.exp((logits - logits.max(axis=1, keepdims=True)) / self.temperature)
        shares = odds / odds.sum(axis=1, keepdims=True)
        best = shares.argmax(axis=1)
        return [{self.name: self.classes[i], "confidence": float(row[i])} for i, row in zip(best, shares, strict=True)]
