"""`python serving_fastapi.py BUNDLE PORT`: the handler that one writes first, on FastAPI and ONNX Runtime."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel, create_model
from serving_model import Classifier


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
