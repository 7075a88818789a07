"""`python serving_fastapi.py BUNDLE PORT`: the handler that one writes first, on FastAPI and ONNX Runtime."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel, create_model
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


def main(bundle: str, port: str) -> None:
    """Serve; FastAPI runs the handler in its threads, a request in each."""
    classifier = Classifier(Path(bundle))
    row: type[BaseModel] = create_model("Row", **{classifier.text: (str, ...)})  # type: ignore[call-overload]
    app = FastAPI()

    def predict(asked: row) -> dict[str, Any]:  # type: ignore[valid-type]
        return classifier.answer([getattr(asked, classifier.text)])[0]

    predict.__annotations__["asked"] = row
    app.post("/predict")(predict)
    uvicorn.run(app, host="127.0.0.1", port=int(port), access_log=False, log_level="warning")


if __name__ == "__main__":
    main(*sys.argv[1:])
