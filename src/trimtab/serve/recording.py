"""What is kept of requests: an entry of the log for each answered row, with its input only where that is asked for."""

from __future__ import annotations

import base64
import random
from collections.abc import Mapping, Sequence
from typing import Any

from trimtab.serve.bodies import Asked
from trimtab.serve.served import Answers, Served
from trimtab.serve.settings import Settings
from trimtab.watch.log import Entry, Label, open_log
from trimtab.watch.recorder import Recorder

_SURE = ("confidence", "probability")  # what answers call how sure they are


class Recording:
    """Entries to the log of a worker. Raises TrimtabError for a log that cannot be opened."""

    def __init__(self, settings: Settings) -> None:
        assert settings.log is not None
        self._recorder = Recorder(open_log(settings.log, create=True))
        self._inputs, self._share = settings.log_inputs, settings.log_share

    def answered(self, served: Served, asked: Asked, found: Answers, seconds: float) -> None:
        """The rows of a request were answered."""
        if random.random() >= self._share:
            return
        name = next((word for word in _SURE if found.rows and isinstance(found.rows[0].get(word), float)), None)
        self._recorder.record(
            Entry(
                bundle=served.hash,
                milliseconds=1000 * seconds,
                answer=answer,
                confidence=None if name is None else answer[name],
                input=_plain(row, served.columns) if self._inputs else None,
                id=id,
            )
            for row, answer, id in zip(asked.rows, found.rows, found.ids, strict=True)
        )

    def failed(self, served: Served, status: int, seconds: float) -> None:
        """A request was not answered; why is told without quoting it."""
        if random.random() < self._share:
            self._recorder.record([Entry(served.hash, 1000 * seconds, error=f"status {status}")])

    def labelled(self, labels: Sequence[Label]) -> None:
        """What was right was said later."""
        self._recorder.record(labels)

    def counts(self) -> dict[str, float]:
        """What became of the entries."""
        counts = self._recorder.counts()
        return {"written": counts.written, "waiting": counts.waiting, "lost": counts.lost}

    def close(self) -> None:
        """Write what waits."""
        self._recorder.close()


def _plain(row: Mapping[str, Any], columns: frozenset[str]) -> dict[str, Any]:
    """The values of a row that the bundle reads, the content of files in base64."""
    read = {name: value for name, value in row.items() if name in columns}
    return {
        name: base64.b64encode(value).decode() if isinstance(value, bytes) else value for name, value in read.items()
    }
