"""What `trimtab watch` says of the server's own log, as gauges for `/metrics` and the page at `/`.

The log is read on from where it was read last, in a thread, when somebody looks, at most every ten seconds: who looks
gets what was known before. Several workers write one log, and whoever reads it knows all of it.
"""

from __future__ import annotations

import asyncio
import logging
import math
from typing import TYPE_CHECKING

from trimtab import registry
from trimtab.errors import TrimtabError
from trimtab.runtime import Model
from trimtab.serve.metrics import Metrics
from trimtab.watch.log import LogError, open_log

if TYPE_CHECKING:
    from trimtab.watch.watching import Watcher

_PAUSE = 10.0  # seconds between two looks
GAUGES: dict[str, tuple[str, tuple[str, ...]]] = {  # what each means, and its labels
    "trimtab_watched_rows": ("Answered rows of the log that were looked at", ()),
    "trimtab_watched_errors": ("Requests of the log without an answer", ()),
    "trimtab_unhealthy": ("Findings on errors, latency and answers that are all alike", ()),
    "trimtab_drift_evidence": ("How near a column is to an alarm about drift; from 1 on it is one", ("column",)),
    "trimtab_accuracy": ("Share of right answers among the last ones that were labelled", ()),
    "trimtab_estimated_accuracy": ("The same without labels, by how sure the answers are", ()),
}
_log = logging.getLogger("trimtab.serve")


class Drift:
    """Follows the log of one bundle after another. Used in one event loop alone."""

    def __init__(self, url: str, metrics: Metrics) -> None:
        self._url = url
        self._gauges = {name: metrics.gauge(name, meaning, labels) for name, (meaning, labels) in GAUGES.items()}
        self._watcher: Watcher | None = None
        self._looked = -math.inf
        self._look: asyncio.Future[None] | None = None

    def soon(self, model: Model) -> None:
        """Look at what the log holds of this bundle, unless somebody did within the last seconds."""
        loop = asyncio.get_running_loop()
        if (self._look is None or self._look.done()) and loop.time() >= self._looked + _PAUSE:
            self._looked = loop.time()
            self._look = loop.run_in_executor(None, self._follow, model)

    def _follow(self, model: Model) -> None:
        try:
            if self._watcher is None or self._watcher.subject.hash != model.serving.hash:
                # Loaded when somebody looks: a server starts a fifth of a second sooner without.
                subject = registry.attribute("trimtab.watch.subject", "Subject").of(model)
                self._watcher = registry.attribute("trimtab.watch.watching", "Watcher")(subject)
            watcher = self._watcher
            with open_log(self._url) as log:
                watcher.follow(log)
            for gauge in watcher.gauges():
                held = self._gauges[gauge.name]
                (held.labels(**gauge.labels) if gauge.labels else held).set(gauge.value)
        except (LogError, TrimtabError) as error:
            _log.warning("drift: %s", error)
        except Exception:  # a fault of ours, which must cost no answer
            _log.exception("drift: the log could not be looked at")
