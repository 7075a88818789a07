"""Trackers that a launch tells of itself: one file for each, the folder is the registry.

A file has `NameTracker`, whose fields are what a spec may say of it, and a session. Nothing leaves the machine unless
the spec says where to. What a tracker cannot be told never stops a launch: that it could not be is noted, once.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from trimtab import files, part_options, registry
from trimtab.bundle.manifest import Manifest
from trimtab.errors import TrimtabError, problem, shortened
from trimtab.progress import Progress
from trimtab.spec import Part, Spec

FOLDER = "tracking"  # beside the folders of runs: what trackers keep on this machine
_NOTES = "tracking.json"  # of a run's work: what trackers call it, for a launch that goes on


@dataclass(frozen=True)
class TrackedRun:
    """A launch that begins, or goes on."""

    name: str
    spec: Mapping[str, Any]  # as it was asked for
    shared: Path  # the folder for what trackers of all runs keep here
    known_as: str | None  # what the tracker called it before it was stopped


@dataclass(frozen=True)
class Outcome:
    """What a launch made."""

    folder: Path  # the bundle
    manifest: Manifest
    plots: tuple[Path, ...]  # drawn as SVG and as PNG

    @property
    def figures(self) -> dict[str, float]:
        """Everything that was measured, by its name."""
        return {name: one.value for name, one in self.manifest.measured.items()}

    @property
    def settings(self) -> dict[str, str]:
        """The spec with every default and choice written out, a line for each key: `train.epochs`, 3."""
        return dict(flat(self.manifest.spec))


class Session(ABC):
    """A tracker at work on one run."""

    known_as: str  # by which a launch that goes on finds the run again

    @abstractmethod
    def step(self, step: int, figures: Mapping[str, float]) -> None:
        """Figures of the training after so many steps: `train/loss`, `train/epoch`, `valid/score` ..."""

    @abstractmethod
    def finish(self, outcome: Outcome) -> None:
        """The launch is done: figures, spec, card, plots, the bundle itself."""

    @abstractmethod
    def close(self, done: bool) -> None:
        """Nothing more is told; where the launch is not done, it may go on later."""


class Tracker(part_options.Options, ABC):
    """What a spec says of a tracker: its fields."""

    @abstractmethod
    def begun(self, run: TrackedRun) -> Session:
        """A session, with the spec told. Raises TrimtabError, or what its library raises, where it cannot be."""


def chosen(spec: Spec) -> dict[str, Tracker]:
    """The trackers of a spec by their names. Raises TrimtabError for one, or an option, that there is none of."""
    found: dict[str, Tracker] = {}
    for said in spec.track:
        part = Part(name=said) if isinstance(said, str) else said
        kind: type[Tracker] = registry.load(__name__, part.name, f"{registry.camel(part.name)}Tracker", "track")
        if part.name in found:
            raise problem("track", f"{part.name!r} is named twice", do="leave one out")
        found[part.name] = part_options.check(kind, f"track ({part.name})", part.options)
    return found


@contextmanager
def tracked(spec: Spec, home: Path, key: str, progress: Progress) -> Iterator[Tracked]:
    """Inside, what is told to the progress is told to the trackers of the spec, too.

    `key` changes with what is launched: one that was stopped goes on under the names that it had. Raises TrimtabError
    where a tracker cannot be begun.
    """
    trackers, notes = chosen(spec), home / "work" / _NOTES
    kept = files.read_json(notes) or {}
    names = kept.get("known_as", {}) if kept.get("key") == key and not kept.get("done") else {}
    own = Tracked(progress)
    for name, tracker in trackers.items():
        run = TrackedRun(spec.run_name, spec.model_dump(mode="json"), home.resolve().parent / FOLDER, names.get(name))
        own.sessions[name] = _begun(name, tracker, run)
    told: dict[str, Any] = {"key": key, "known_as": {name: one.known_as for name, one in own.sessions.items()}}
    if trackers:
        notes.parent.mkdir(parents=True, exist_ok=True)
        files.write(notes, json.dumps(told))
    try:
        yield own
    finally:
        if own.done and trackers:
            files.write(notes, json.dumps({**told, "done": True}))
        own.close()


def _begun(name: str, tracker: Tracker, run: TrackedRun) -> Session:
    try:
        return tracker.begun(run)
    except TrimtabError:
        raise
    except Exception as error:  # each library has its own
        found = f"cannot be begun ({type(error).__name__}: {shortened(' '.join(str(error).split()), 200)})"
        raise problem(f"track ({name})", found, do="see that it can be reached, or leave it out") from error


@dataclass
class Tracked:
    """A progress that tells trackers of the training."""

    progress: Progress
    sessions: dict[str, Session] = field(default_factory=dict)
    done: bool = False
    _stage: str = ""
    _score: tuple[str, float] | None = None

    def stage(self, name: str, detail: str = "") -> None:
        """See `Progress`."""
        self._stage = name
        self.progress.stage(name, detail)

    def tick(self, done: int, total: int, figures: Mapping[str, float | str]) -> None:
        """See `Progress`; the training's steps are told to the trackers."""
        self.progress.tick(done, total, figures)
        if self._stage == "train" and self.sessions:
            self._tell(partial(_step, step=done, figures=self._named(done, total, figures)))

    def note(self, text: str) -> None:
        """See `Progress`."""
        self.progress.note(text)

    def finish(self, outcome: Outcome) -> None:
        """The launch is done."""
        for entry in outcome.manifest.evidence.get("history", ()):
            figures = {f"evaluation/{name}": float(entry[name]) for name in ("loss", "score")}
            self._tell(partial(_step, step=int(entry["step"]), figures=figures))
        self._tell(lambda session: session.finish(outcome))
        self.done = True

    def close(self) -> None:
        """Let all sessions go."""
        self._tell(lambda session: session.close(self.done))
        self.sessions.clear()

    def _tell(self, say: Callable[[Session], None]) -> None:
        """To every tracker; one that fails is told nothing more."""
        for name, session in list(self.sessions.items()):
            try:
                say(session)
            except Exception as error:  # each library has its own; the launch goes on
                said = shortened(" ".join(str(error).split()), 200)
                self.note(f"{name} is told nothing more: {type(error).__name__}: {said}")
                del self.sessions[name]

    def _named(self, done: int, total: int, figures: Mapping[str, float | str]) -> dict[str, float]:
        """`loss` -> `train/loss`; what is no figure of the loop is the score of the validation rows."""
        epoch, _, epochs = str(figures.get("epoch", "")).partition("/")
        found = {"train/epoch": done / max(1, total) * float(epochs)} if epochs else {}
        for name, value in figures.items():
            if name in ("loss", "rows/s"):
                found[f"train/{name.replace('/s', '_per_second')}"] = float(value)
            elif name != "epoch" and self._score != (epoch, float(value)):
                self._score = epoch, float(value)  # after an evaluation it stays as it is until the next one
                found["valid/score"] = float(value)
        return found


def _step(session: Session, step: int, figures: Mapping[str, float]) -> None:
    session.step(step, figures)


def flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """`{"train": {"epochs": 3}}` -> `train.epochs`, `3`; what is left open is left out."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{above}{key}.")
        elif value not in (None, [], ()):
            yield f"{above}{key}", value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
