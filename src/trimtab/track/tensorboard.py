"""TensorBoard: event files in a folder; `tensorboard --logdir runs` shows them. The bundle is named by its path."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import yaml
from PIL import Image
from pydantic import Field
from torch.utils.tensorboard import SummaryWriter

from trimtab.track import Outcome, Session, TrackedRun, Tracker


class TensorboardTracker(Tracker):
    """Event files, a folder for each launch."""

    folder: str | None = Field(
        None, description="Where the event files go. Default: `tracking/tensorboard` beside the runs' folders."
    )

    def begun(self, run: TrackedRun) -> Session:
        """Nothing is written before there is something to say."""
        above = Path(self.folder).expanduser() if self.folder else run.shared / "tensorboard"
        made = f"{run.name}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
        return _Events(above / (run.known_as or made), run)


class _Events(Session):
    def __init__(self, folder: Path, run: TrackedRun) -> None:
        self.known_as, self.folder, self.run = folder.name, folder, run
        self.writer: SummaryWriter | None = None
        self.last = 0

    def _open(self, step: int) -> SummaryWriter:
        """A launch that goes on takes back what was told of later steps."""
        if self.writer is None:
            self.writer = SummaryWriter(str(self.folder), purge_step=step)
            self.writer.add_text("spec", _fenced(yaml.safe_dump(dict(self.run.spec), allow_unicode=True)), step)
        return self.writer

    def step(self, step: int, figures: Mapping[str, float]) -> None:
        """See `Session`."""
        writer, self.last = self._open(step), step
        for name, value in figures.items():
            writer.add_scalar(name, value, step)

    def finish(self, outcome: Outcome) -> None:
        """Figures as scalars at the last step; card, settings and the bundle's path as texts; plots as pictures."""
        writer = self._open(self.last)
        for name, value in outcome.figures.items():
            writer.add_scalar(f"measured/{name}", value, self.last)
        card = (outcome.folder / "card.md").read_text(encoding="utf-8")
        writer.add_text("card", card, self.last)
        writer.add_text("settings", _fenced("\n".join(": ".join(line) for line in outcome.settings.items())), self.last)
        writer.add_text("bundle", f"`{outcome.folder.resolve()}`, hash {outcome.manifest.hash}", self.last)
        for plot in outcome.plots:
            if plot.suffix == ".png":
                with Image.open(plot) as picture:
                    pixels = np.asarray(picture.convert("RGB"))
                writer.add_image(f"plots/{plot.stem}", pixels, self.last, dataformats="HWC")

    def close(self, done: bool) -> None:
        """See `Session`."""
        if self.writer:
            self.writer.close()


def _fenced(text: str) -> str:
    return f"```\n{text}\n```"
