"""Weights & Biases: offline by default, in a folder that `wandb sync` sends when you like; `mode: online` sends."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from typing import Any, Literal

import wandb
from pydantic import Field

from trimtab.track import Outcome, Session, TrackedRun, Tracker, flat

_LETTERS = re.compile(r"[^\w\-.]")  # what the name of an artefact may not hold


class WandbTracker(Tracker):
    """A run of a project."""

    mode: Literal["offline", "online"] = Field("offline", description="`online` sends everything to `host` at once.")
    project: str = Field("trimtab", min_length=1, description="The project that the run is of.")
    entity: str | None = Field(None, description="The user or team of the project. Default: the account's own.")
    host: str | None = Field(None, description="The address of a server of one's own.")
    bundle: bool = Field(True, description="Whether the bundle is stored, as an artefact of type `model`.")

    def begun(self, run: TrackedRun) -> Session:
        """A run of its own, or the one of before it was stopped."""
        run.shared.mkdir(parents=True, exist_ok=True)
        known_as = run.known_as or uuid.uuid4().hex[:8]
        settings: dict[str, Any] = {
            "console": "off", "silent": True, "disable_git": True, "disable_code": True, "save_code": False,
            "disable_job_creation": True, "x_disable_meta": True, "x_disable_stats": True,
        }  # fmt: skip
        if self.host:
            settings["base_url"] = self.host
        opened = wandb.init(
            project=self.project, entity=self.entity, name=run.name, id=known_as, resume="allow", mode=self.mode,
            dir=str(run.shared), config=dict(flat(run.spec)), settings=wandb.Settings(**settings),
        )  # fmt: skip
        return _Run(opened, known_as, self.bundle)


class _Run(Session):
    def __init__(self, run: Any, known_as: str, bundle: bool) -> None:
        self.run, self.known_as, self.bundle = run, known_as, bundle
        run.define_metric("step")
        run.define_metric("*", step_metric="step")

    def step(self, step: int, figures: Mapping[str, float]) -> None:
        """See `Session`."""
        self.run.log({"step": step, **figures})

    def finish(self, outcome: Outcome) -> None:
        """See `Session`."""
        self.run.summary.update({f"measured/{name}": value for name, value in outcome.figures.items()})
        self.run.config.update(outcome.settings, allow_val_change=True)
        self.run.summary.update({"released": outcome.manifest.released, "hash": outcome.manifest.hash})
        plots = {plot.stem: wandb.Image(str(plot)) for plot in outcome.plots if plot.suffix == ".png"}
        card = wandb.Html((outcome.folder / "card.html").read_text(encoding="utf-8"), inject=False)
        self.run.log({"card": card, **{f"plots/{name}": picture for name, picture in plots.items()}})
        if self.bundle:
            artifact = wandb.Artifact(_LETTERS.sub("-", outcome.manifest.name), type="model")
            artifact.add_dir(str(outcome.folder))
            self.run.log_artifact(artifact)

    def close(self, done: bool) -> None:
        """See `Session`."""
        self.run.finish(exit_code=0 if done else 1)
