"""What is kept of requests: an entry of the log for each answered row, with its input only where that is asked for."""

from __future__ import annotations

import base64
import logging
import random
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from trimtab.runtime import Model
from trimtab.serve.bodies import Asked
from trimtab.serve.served import Answers, Served
from trimtab.serve.settings import Settings
from trimtab.watch.log import Entry, Label, open_log
from trimtab.watch.recorder import Recorded, Recorder
from trimtab.watch.sketch import by_row, confidences

_log = logging.getLogger("trimtab.serve")


class Recording:
    """Entries to the log of a worker. Raises TrimtabError for a log that cannot be opened."""

    def __init__(self, settings: Settings) -> None:
        assert settings.log is not None
        self._recorder = Recorder(open_log(settings.log, create=True))
        self._inputs, self._share = settings.log_inputs, settings.log_share

    def answered(self, served: Served, asked: Asked, found: Answers, seconds: float) -> None:
        """The rows of a request were answered; the recorder's own thread looks at them."""
        if found.rows and random.random() < self._share:
            make = partial(self._entries, served, asked, found, seconds, time.time())
            self._recorder.record_later(make, len(found.rows))

    def _entries(self, served: Served, asked: Asked, found: Answers, seconds: float, moment: float) -> list[Entry]:
        answers = {name: [row[name] for row in found.rows] for name in found.rows[0]}
        sketches = self._sketches(served, asked, found, answers)
        sure = confidences(served.model.output, answers)
        parts = zip(asked.rows, found.rows, sure, sketches, found.ids, strict=True)
        return [
            Entry(
                bundle=served.hash,
                milliseconds=1000 * seconds,
                answer=served.model.output.logged(answer),
                confidence=confidence,
                sketch=sketch,
                input=_plain(served.model, row) if self._inputs else None,
                id=id,
                time=moment,
            )
            for row, answer, confidence, sketch, id in parts
        ]

    def _sketches(
        self, served: Served, asked: Asked, found: Answers, answers: Mapping[str, Sequence[Any]]
    ) -> list[dict[str, Any]]:
        values = {c.name: [row.get(c.name) for row in asked.rows] for c in served.model.inputs}
        try:
            sketches = served.sketcher.sketches(values, found.encoded, found.outputs, answers)
            return by_row(sketches, len(found.rows))
        except Exception:  # a fault of ours, which must cost no answer
            _log.exception("a row could not be sketched")
            return [{}] * len(found.rows)

    def failed(self, served: Served, status: int, seconds: float) -> None:
        """A request was not answered; why is told without quoting it."""
        if random.random() < self._share:
            entry = Entry(served.hash, 1000 * seconds, error=f"status {status}")
            self._recorder.record_later(lambda: [entry], 1)  # behind those before it

    def labelled(self, labels: Sequence[Label]) -> None:
        """What was right was said later."""
        self._recorder.record(labels)

    def counts(self) -> Recorded:
        """What became of the entries."""
        return self._recorder.counts()

    def close(self) -> None:
        """Write what waits."""
        self._recorder.close()


def _plain(model: Model, row: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a row that the bundle reads, the content of files in base64."""
    read = {column.name: row[column.name] for column in model.inputs if column.name in row}
    return {
        name: base64.b64encode(value).decode() if isinstance(value, bytes) else value for name, value in read.items()
    }
