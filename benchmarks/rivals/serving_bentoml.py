"""`bentoml serve serving_bentoml:Answering`: the same network on BentoML, with its dynamic batching; BUNDLE is set."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import bentoml
from serving_model import Classifier


@bentoml.service(traffic={"timeout": 30})
class Answering:
    """One text a request."""

    def __init__(self) -> None:
        self.classifier = Classifier(Path(os.environ["BUNDLE"]))

    @bentoml.api(batchable=True, max_batch_size=16, max_latency_ms=1000, route="/predict")
    def predict(self, text: list[str]) -> list[dict[str, Any]]:
        """The answers of a batch."""
        return self.classifier.answer(text)
