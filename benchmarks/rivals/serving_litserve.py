"""`python serving_litserve.py BUNDLE PORT`: the same network on LitServe, with its dynamic batching."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import litserve
from serving_model import Classifier


class Api(litserve.LitAPI):
    """Batches of 16 at most, gathered for 5 ms."""

    bundle: str

    def setup(self, device: str) -> None:
        """In the process that computes."""
        self.classifier = Classifier(Path(self.bundle))

    def decode_request(self, request):  # type: ignore[no-untyped-def]  # it reads a type here as a form or a query
        """The text of a request."""
        return str(next(iter(request.values())))

    def predict(self, batch: list[str]) -> list[dict[str, Any]]:
        """The answers of a batch."""
        return self.classifier.answer(list(batch))

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        """As it is."""
        return output


if __name__ == "__main__":
    api = Api(max_batch_size=16, batch_timeout=0.005)
    api.bundle = sys.argv[1]
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(
        host="127.0.0.1", port=int(sys.argv[2]), generate_client_file=False, log_level="warning", access_log=False
    )
