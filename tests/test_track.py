"""Trackers are told of a launch: figures over steps, the spec, the card, plots, the bundle; and never stop one."""

from __future__ import annotations

import importlib
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_bundle import ROWS, build

from trimtab import registry, runtime, track
from trimtab import spec as specs
from trimtab.bundle import store
from trimtab.bundle.manifest import Measured
from trimtab.errors import TrimtabError
from trimtab.progress import Quiet
from trimtab.runtime import mlflow_model
from trimtab.spec import Spec
from trimtab.track import Outcome

HISTORY = [
    {"epoch": 1.0, "step": 4.0, "loss": 0.5, "score": 0.75},
    {"epoch": 2.0, "step": 8.0, "loss": 0.25, "score": 1},
]


def asked(said: Any) -> Spec:
    return specs.parse({"data": "rows.csv", "output": "mood", "name": "tiny", "track": said, "train": {"epochs": 2}})


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """A bundle, its card and a plot, as a launch leaves them."""
    folder = build(tmp_path_factory.mktemp("tracked"))
    (folder / "card.html").write_text("<p>A card</p>", encoding="utf-8")
    (folder / "card.md").write_text("# A card\n", encoding="utf-8")
    made = store.read_manifest(folder)
    found = {"accuracy": Measured(value=0.75), "ndcg@5": Measured(value=0.5)}
    spec = {"data": ["rows.csv"], "output": "mood", "train": {"epochs": 2, "seed": None}}
    made = made.model_copy(update={"measured": found, "evidence": {"history": HISTORY}, "spec": spec, "released": True})
    plot = folder.parent / "confusion.png"
    Image.new("RGB", (4, 3), (255, 0, 0)).save(plot)
    return Outcome(folder, store.write_manifest(folder, made), (plot,))


def tell(spec: Spec, home: Path, outcome: Outcome | None, key: str = "k", progress: Any = None) -> track.Tracked:
    """A launch as trackers see it; without an outcome it is stopped."""
    with track.tracked(spec, home, key, progress or Quiet()) as own:
        own.tick(1, 8, {"loss": 9.0})  # of no training
        own.stage("train", "rows")
        own.tick(2, 8, {"epoch": "1/2", "loss": 0.9, "rows/s": 100.0})
        own.tick(6, 8, {"epoch": "2/2", "loss": 0.4, "rows/s": 110.0, "accuracy": 0.75})
        own.tick(7, 8, {"epoch": "2/2", "loss": 0.3, "rows/s": 110.0, "accuracy": 0.75})
        if outcome is None:
            raise KeyboardInterrupt
        own.stage("audit")
        own.tick(1, 20, {"check": "quality"})
        own.finish(outcome)
    return own


def test_tensorboard_reads_what_it_was_told(tmp_path: Path, outcome: Outcome) -> None:
    tell(asked("tensorboard"), tmp_path / "runs" / "tiny", outcome)
    [folder] = (tmp_path / "runs" / "tracking" / "tensorboard").iterdir()
    read = EventAccumulator(str(folder))
    read.Reload()
    tags = read.Tags()
    assert [(event.step, round(event.value, 3)) for event in read.Scalars("train/loss")] == [
        (2, 0.9),
        (6, 0.4),
        (7, 0.3),
    ]
    assert [(event.step, event.value) for event in read.Scalars("train/epoch")] == [(2, 0.5), (6, 1.5), (7, 1.75)]
    assert [(event.step, event.value) for event in read.Scalars("valid/score")] == [(6, 0.75)]
    assert [(event.step, event.value) for event in read.Scalars("evaluation/score")] == [(4, 0.75), (8, 1.0)]
    assert [(event.step, event.value) for event in read.Scalars("measured/accuracy")] == [(8, 0.75)]
    assert {"spec/text_summary", "settings/text_summary", "card/text_summary"} <= set(tags["tensors"])
    said = {tag: read.Tensors(tag)[0].tensor_proto.string_val[0].decode() for tag in tags["tensors"]}
    assert "# A card" in said["card/text_summary"]
    assert "train.epochs: 2" in said["settings/text_summary"]
    assert str(outcome.folder) in said["bundle/text_summary"]
    assert tags["images"] == ["plots/confusion"]
    assert (read.Images("plots/confusion")[0].width, read.Images("plots/confusion")[0].height) == (4, 3)


def test_a_launch_that_goes_on_is_the_same_run_and_takes_back_later_steps(tmp_path: Path, outcome: Outcome) -> None:
    home, spec = tmp_path / "runs" / "tiny", asked([{"name": "tensorboard", "folder": str(tmp_path / "events")}])
    with pytest.raises(KeyboardInterrupt):
        tell(spec, home, None)
    tell(spec, home, outcome)
    [folder] = (tmp_path / "events").iterdir()
    read = EventAccumulator(str(folder))
    read.Reload()
    assert [event.step for event in read.Scalars("train/loss")] == [2, 6, 7]
    assert json.loads((home / "work" / "tracking.json").read_text())["done"] is True
    assert not (tmp_path / "runs" / "tracking").exists()


def test_a_launch_of_another_spec_is_another_run(tmp_path: Path, outcome: Outcome) -> None:
    home, names = tmp_path / "runs" / "tiny", []
    for key, done in (("a", None), ("b", outcome), ("b", outcome)):
        try:
            tell(asked(own_tracker(tmp_path, names)), home, done, key)
        except KeyboardInterrupt:
            continue
    assert names == [None, None, None]  # stopped, but of another key; and finished before
    with pytest.raises(KeyboardInterrupt):
        tell(asked(own_tracker(tmp_path, names)), home, None, "c")
    tell(asked(own_tracker(tmp_path, names)), home, outcome, "c")
    assert names[3:] == [None, "known"]


# -------------------------------------------------------------------------------------------------- one's own tracker


class _Own(track.Session):
    """Keeps what it is told."""

    known_as = "known"

    def __init__(self, fails: bool) -> None:
        self.fails, self.told = fails, []

    def step(self, step: int, figures: Mapping[str, float]) -> None:
        self.told.append((step, dict(figures)))
        if self.fails:
            raise ConnectionError("the server is gone")

    def finish(self, outcome: Outcome) -> None:
        self.told.append(("finish", outcome.figures))

    def close(self, done: bool) -> None:
        self.told.append(("close", done))


NAMES: list[str | None] = []
SESSIONS: list[_Own] = []


class MemoTracker(track.Tracker):
    """A tracker of one's own."""

    fails: bool = False
    unreachable: bool = False

    def begun(self, run: track.TrackedRun) -> track.Session:
        if self.unreachable:
            raise ConnectionRefusedError("nobody listens at http://tracker")
        NAMES.append(run.known_as)
        SESSIONS.append(_Own(self.fails))
        return SESSIONS[-1]


@pytest.fixture(autouse=True)
def own_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`track: memo` finds the tracker above, in a folder of one's own."""
    (tmp_path / "parts" / "track").mkdir(parents=True)
    (tmp_path / "parts" / "track" / "memo.py").write_text("from test_track import MemoTracker\n")
    monkeypatch.setenv(registry.OWN_PARTS, str(tmp_path / "parts"))
    path = list(track.__path__)
    yield
    track.__path__[:] = path
    sys.modules.pop("trimtab.track.memo", None)


def own_tracker(tmp_path: Path, names: list[str | None], **options: Any) -> list[dict[str, Any]]:
    """The spec of it; `names` learns what it was known as."""
    global NAMES
    NAMES = names
    return [{"name": "memo", **options}]


class Notes(Quiet):
    """Keeps remarks."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def note(self, text: str) -> None:
        self.told.append(text)


def test_a_tracker_of_ones_own_is_told_everything_in_order(tmp_path: Path, outcome: Outcome) -> None:
    tell(asked(own_tracker(tmp_path, [])), tmp_path / "runs" / "tiny", outcome)
    told = SESSIONS[-1].told
    assert [one[0] for one in told] == [2, 6, 7, 4, 8, "finish", "close"]
    assert told[0][1] == {"train/epoch": 0.5, "train/loss": 0.9, "train/rows_per_second": 100.0}
    assert told[-2:] == [("finish", {"accuracy": 0.75, "ndcg@5": 0.5}), ("close", True)]


def test_a_tracker_that_fails_stops_no_launch_and_is_told_nothing_more(tmp_path: Path, outcome: Outcome) -> None:
    notes = Notes()
    tell(asked(own_tracker(tmp_path, [], fails=True)), tmp_path / "runs" / "tiny", outcome, progress=notes)
    assert notes.told == ["memo is told nothing more: ConnectionError: the server is gone"]
    assert [one[0] for one in SESSIONS[-1].told] == [2]


def test_what_cannot_be_begun_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrimtabError, match=r"(?s)track \(memo\): cannot be begun .*nobody listens.*leave it out"):
        tell(asked(own_tracker(tmp_path, [], unreachable=True)), tmp_path / "runs" / "tiny", None)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("tensorbord", "no track named 'tensorbord'.*did you mean 'tensorboard'"),
        ([{"name": "tensorboard", "foldr": "x"}], "no option named 'foldr'.*did you mean 'folder'"),
        (["tensorboard", {"name": "tensorboard"}], "named twice"),
    ],
    ids=["name", "option", "twice"],
)
def test_trackers_that_there_are_not_are_refused(said: Any, why: str) -> None:
    with pytest.raises(TrimtabError, match=f"(?s)track.*{why}"):
        track.chosen(asked(said))


def test_without_trackers_nothing_is_written(tmp_path: Path, outcome: Outcome) -> None:
    tell(asked([]), tmp_path / "runs" / "tiny", outcome)
    assert not (tmp_path / "runs").exists()


# ------------------------------------------------------------------------------------------------ a model of MLflow


class Frame:
    """What MLflow gives a model: it can be asked for its records, as a data frame of pandas can."""

    def to_dict(self, orient: str) -> list[dict[str, Any]]:
        assert orient == "records"
        return [{**ROWS[0], "stars": float("nan")}, ROWS[1]]


def test_a_bundle_is_a_model_that_the_folder_itself_says_how_to_load(tmp_path: Path, outcome: Outcome) -> None:
    folder = mlflow_model.write(outcome.folder, tmp_path / "model")
    said = yaml.safe_load((folder / "MLmodel").read_text(encoding="utf-8"))
    flavour = said["flavors"]["python_function"]
    assert said["flavors"]["trimtab"]["hash"] == outcome.manifest.hash
    assert (folder / flavour["env"]["virtualenv"]).is_file()
    model = importlib.import_module(flavour["loader_module"])._load_pyfunc(str(folder / flavour["data"]))
    own = runtime.load(outcome.folder)
    names = [column.name for column in own.inputs]
    rows = [{name: row[name] for name in names} for row in ROWS[:2]]
    assert model.predict(rows) == own.predict(rows).rows()
    assert model.predict({name: [row[name] for row in rows] for name in names}) == own.predict(rows).rows()
    assert model.predict(Frame()) == own.predict([{**rows[0], "stars": None}, rows[1]]).rows()
    assert model.predict([{name: np.array(value) for name, value in row.items()} for row in rows]) == model.predict(
        rows
    )
    assert model.predict(rows, {"top": 2}) == own.predict(rows, top=2).rows() != model.predict(rows)
    assert json.loads(json.dumps(model.predict(rows))) == model.predict(rows)
    with pytest.raises(TrimtabError, match="exists"):
        mlflow_model.write(outcome.folder, folder)


@pytest.mark.slow  # its database takes seconds to be made
def test_mlflow_keeps_figures_settings_files_and_the_model(tmp_path: Path, outcome: Outcome) -> None:
    home, spec = tmp_path / "runs" / "tiny", asked("mlflow")
    with pytest.raises(KeyboardInterrupt):
        tell(spec, home, None)
    tell(spec, home, outcome)
    client = importlib.import_module("mlflow").MlflowClient(f"sqlite:///{tmp_path}/runs/tracking/mlflow.db")
    [run] = client.search_runs([client.get_experiment_by_name("trimtab").experiment_id])
    assert (run.info.run_name, run.info.status) == ("tiny", "FINISHED")
    assert run.data.metrics["measured/accuracy"] == 0.75
    assert run.data.metrics["measured/ndcg_5"] == 0.5
    assert run.data.params["train.epochs"] == "2"
    assert run.data.tags["trimtab.hash"] == outcome.manifest.hash
    assert [(one.step, one.value) for one in client.get_metric_history(run.info.run_id, "evaluation/score")] == [
        (4, 0.75),
        (8, 1.0),
    ]
    kept = Path(client.download_artifacts(run.info.run_id, "", str(tmp_path)))
    assert {path.name for path in kept.iterdir()} >= {"card.html", "card.md", "spec.yaml", "plots", "model"}
    model = mlflow_model._load_pyfunc(str(kept / "model" / "bundle"))
    assert len(model.predict([ROWS[0]])) == 1
    with sqlite3.connect(tmp_path / "runs" / "tracking" / "mlflow.db") as database:
        [(count,)] = database.execute("select count(*) from runs").fetchall()
    assert count == 1


@pytest.mark.slow  # it starts a process of its own
def test_wandb_stays_offline(tmp_path: Path, outcome: Outcome) -> None:
    code = (
        "import sys; sys.path[:0] = ['tests', '.']\n"
        "from pathlib import Path\n"
        "from test_track import Outcome, asked, store, tell\n"
        "folder, place = map(Path, sys.argv[1:])\n"
        "made = Outcome(folder, store.read_manifest(folder), ())\n"
        "tell(asked('wandb'), place / 'runs' / 'tiny', made)\n"
    )
    root = Path(__file__).resolve().parent.parent
    # A proxy that nobody answers at: whatever wants to leave fails at once, and the launch does not notice.
    blocked = dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"), "http://127.0.0.1:9")
    environment = {**os.environ, **blocked, "WANDB_API_KEY": ""}
    done = subprocess.run(
        [sys.executable, "-c", code, str(outcome.folder), str(tmp_path)],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "nothing more" not in done.stderr
    [run] = (tmp_path / "runs" / "tracking" / "wandb").glob("offline-run-*")
    [log] = run.glob("*.wandb")
    held = log.read_bytes()
    for words in (b"train/loss", b"measured/accuracy", b"train.epochs", b"model.onnx"):
        assert words in held
