"""MLflow: a run with figures, settings, card, plots, and the bundle as a model that `mlflow models serve` answers with.

By default in a database beside the runs' folders; with `uri` on a server.
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path

import yaml
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from pydantic import Field

from trimtab.runtime import mlflow_model
from trimtab.track import Outcome, Session, TrackedRun, Tracker

_SECONDS = 5.0  # between two messages: what is said meanwhile is said together
_AT_ONCE = 90  # settings in a message: MLflow takes 100
_LONGEST = 500  # letters of a setting, as older servers take them
_LETTERS = re.compile(r"[^\w\-. /]")  # what the name of a figure may not hold


class MlflowTracker(Tracker):
    """A run of an experiment."""

    uri: str | None = Field(
        None,
        description="The tracking server (`http://...`), or a database (`sqlite:///...`). Default: "
        "`tracking/mlflow.db` beside the runs' folders.",
    )
    experiment: str = Field("trimtab", min_length=1, description="The experiment that the run is of.")
    bundle: bool = Field(True, description="Whether the bundle is stored, as the model of the run.")

    def begun(self, run: TrackedRun) -> Session:
        """A run of its own, or the one of before it was stopped."""
        run.shared.mkdir(parents=True, exist_ok=True)
        client = MlflowClient(tracking_uri=self.uri or f"sqlite:///{run.shared.resolve() / 'mlflow.db'}")
        known = client.get_experiment_by_name(self.experiment)
        if known is None:
            # What a database has no room for lies beside it; a server knows its own place.
            place = None if self.uri else (run.shared.resolve() / "mlflow-artifacts").as_uri()
            experiment = client.create_experiment(self.experiment, artifact_location=place)
        else:
            experiment = known.experiment_id
        found = run.known_as
        if found is None:
            found = str(client.create_run(experiment, run_name=run.name).info.run_id)
            client.log_text(found, yaml.safe_dump(dict(run.spec), allow_unicode=True), "spec.yaml")
        else:
            client.update_run(found, status="RUNNING")
        return _Run(client, found, self.bundle)


class _Run(Session):
    def __init__(self, client: MlflowClient, known_as: str, bundle: bool) -> None:
        self.client, self.known_as, self.bundle = client, known_as, bundle
        self.waiting: list[Metric] = []
        self.told = float("-inf")
        self.last = 0

    def step(self, step: int, figures: Mapping[str, float]) -> None:
        """See `Session`; a server is not asked to listen more than every few seconds."""
        now, self.last = int(time.time() * 1000), step
        self.waiting += [Metric(_LETTERS.sub("_", name), value, now, step) for name, value in figures.items()]
        if time.perf_counter() - self.told > _SECONDS:
            self._send()

    def _send(self) -> None:
        waiting, self.waiting, self.told = self.waiting, [], time.perf_counter()
        for start in range(0, len(waiting), 500):
            self.client.log_batch(self.known_as, metrics=waiting[start : start + 500])

    def finish(self, outcome: Outcome) -> None:
        """See `Session`."""
        self.step(self.last, {f"measured/{name}": value for name, value in outcome.figures.items()})
        self._send()
        settings = [Param(_LETTERS.sub("_", key), value[:_LONGEST]) for key, value in outcome.settings.items()]
        for start in range(0, len(settings), _AT_ONCE):
            self.client.log_batch(self.known_as, params=settings[start : start + _AT_ONCE])
        tags = {"trimtab.hash": outcome.manifest.hash, "trimtab.released": str(outcome.manifest.released).lower()}
        self.client.log_batch(self.known_as, tags=[RunTag(key, value) for key, value in tags.items()])
        for name in ("card.html", "card.md"):
            self.client.log_artifact(self.known_as, str(outcome.folder / name))
        for plot in outcome.plots:
            self.client.log_artifact(self.known_as, str(plot), "plots")
        if self.bundle:
            with tempfile.TemporaryDirectory() as place:
                mlflow_model.write(outcome.folder, Path(place) / "model")
                self.client.log_artifacts(self.known_as, str(Path(place) / "model"), "model")

    def close(self, done: bool) -> None:
        """See `Session`."""
        self._send()
        with redirect_stdout(sys.stderr):  # it prints where the run is to be seen: results alone go to stdout
            self.client.set_terminated(self.known_as, "FINISHED" if done else "KILLED")
