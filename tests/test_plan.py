"""What a launch will take is told before anything is spent, kept, and held against what was used."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_bundle import ROWS, build
from typer.testing import CliRunner

from trimtab import runtime
from trimtab import spec as specs
from trimtab.__main__ import app
from trimtab.bundle import store
from trimtab.bundle.manifest import Measured, Stage
from trimtab.cli import plan as shown
from trimtab.errors import TrimtabError
from trimtab.pipeline import launch, plan, planning
from trimtab.pipeline.release import Release
from trimtab.pipeline.training import build as built
from trimtab.pipeline.training import data_of
from trimtab.plan import accelerators, auditing, load, memory, steps
from trimtab.plan.auditing import Rehearsal
from trimtab.plan.estimate import STAGES, Account, Estimate, Wishes
from trimtab.progress import Quiet
from trimtab.request import Request, check

RUNNER = CliRunner()


def write_rows(folder: Path, count: int = 240) -> Path:
    """A table that a small network learns: two numbers, of which one tells the class."""
    random = np.random.default_rng(3)
    lines = [f"{a:.3f},{b:.3f},{'yes' if a > 0 else 'no'}" for a, b in random.normal(size=(count, 2))]
    (folder / "rows.csv").write_text("\n".join(["height,weight,answer", *lines]) + "\n")
    target = folder / "table.yaml"
    target.write_text(
        "data: rows.csv\noutput: answer\ntrain: {epochs: 3}\ncost: {machine_per_hour: 36}\ntrack: tensorboard\n"
    )
    return target


@pytest.fixture(scope="module")
def spec_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A spec beside its data."""
    return write_rows(tmp_path_factory.mktemp("planned"))


@pytest.fixture(scope="module")
def estimate(spec_file: Path) -> Estimate:
    """What its launch will take."""
    return plan(spec_file, (), spec_file.parent / "runs", Quiet(), Wishes(accelerator="l4", accelerator_price=1.0))


@pytest.fixture(scope="module")
def released(spec_file: Path, estimate: Estimate) -> Release:
    """Its launch, after it was planned."""
    return launch(spec_file, (), spec_file.parent / "runs")


def test_a_plan_counts_rows_steps_weights_and_times_every_stage(estimate: Estimate) -> None:
    assert sum(estimate.rows.values()) == 240
    assert estimate.steps == 3 * -(-estimate.rows["train"] // 32)
    assert estimate.learning == estimate.parameters
    assert estimate.flops > 6 * estimate.parameters * estimate.rows["train"] / 10
    assert tuple(estimate.seconds) == STAGES
    assert all(estimate.seconds[name] > 0 for name in ("data", "train", "evaluations", "export", "audit"))
    assert estimate.seconds["compress"] == estimate.seconds["search"] == 0
    assert estimate.at_least <= estimate.total


def test_it_counts_memory_by_what_it_is_of(estimate: Estimate) -> None:
    found = estimate.memory
    assert found.optimizer == 2 * found.gradients  # AdamW keeps two moments of each weight
    assert found.weights >= 4 * estimate.parameters
    assert found.training < found.highest == found.peak < found.limit


def test_money_and_energy_follow_from_the_time(estimate: Estimate) -> None:
    assert estimate.money is not None
    assert estimate.money.amount == pytest.approx(36 * estimate.total / 3600)
    assert estimate.watt_hours == pytest.approx(estimate.total * estimate.cores * 10 / 3600)
    assert estimate.accelerated is not None
    assert estimate.accelerated.fits
    assert estimate.accelerated.money is not None
    assert estimate.accelerated.money.amount == pytest.approx(estimate.accelerated.seconds / 3600)


@pytest.mark.slow  # more trials, or a plan of its own
def test_nothing_but_the_estimate_is_left_behind(estimate: Estimate, tmp_path: Path) -> None:
    spec = write_rows(tmp_path)
    result = RUNNER.invoke(app, ["launch", str(spec), "--runs", str(tmp_path / "runs"), "--dry-run", "--json", "-q"])
    assert result.exit_code == 0, result.stderr
    said = json.loads(result.stdout)
    assert (said["steps"], said["parameters"]) == (estimate.steps, estimate.parameters)
    assert said["total"] == pytest.approx(sum(said["seconds"].values()))
    assert not (tmp_path / "runs" / "table" / "bundle").exists()
    assert list((tmp_path / "runs" / "table" / "work").glob("plan-*")) == []


def test_the_card_says_what_was_estimated_and_what_was_used(released: Release, estimate: Estimate) -> None:
    found = released.manifest.evidence["launch"]
    assert found["estimated"]["steps"] == found["used"]["steps"] == estimate.steps
    assert found["estimated"]["total"] == pytest.approx(estimate.total, abs=0.01)
    assert found["used"]["memory"] > 50e6
    assert found["used"]["money"] == pytest.approx(36 * found["used"]["total"] / 3600, rel=0.01)
    assert sum(found["used"]["seconds"].values()) == pytest.approx(found["used"]["total"], abs=0.1)
    card = (released.folder / "card.md").read_text(encoding="utf-8")
    assert "Estimated and used" in card
    assert re.search(r"the whole launch \| [\d.,]+ s \| [\d.,]+ s", card)


def test_the_launch_told_the_trackers_of_its_spec(released: Release) -> None:
    [folder] = (released.folder.parent.parent / "tracking" / "tensorboard").iterdir()
    read = EventAccumulator(str(folder))
    read.Reload()
    assert read.Scalars("measured/accuracy")[0].value == pytest.approx(released.manifest.measured["accuracy"].value)
    assert len(read.Scalars("evaluation/score")) == len(released.manifest.evidence["history"])
    assert "plots/confusion" in read.Tags()["images"]


def test_an_estimate_is_of_one_request_alone(spec_file: Path, released: Release) -> None:
    home = spec_file.parent / "runs" / "table"
    spec = specs.read(spec_file)
    request = check(spec, spec_file.parent, home, Quiet())
    assert planning.kept(home, request) is not None
    other = check(specs.read(spec_file, ["train.epochs=4"]), spec_file.parent, home, Quiet())
    assert planning.kept(home, other) is None


def test_what_people_read_of_a_plan(estimate: Estimate, capsys: pytest.CaptureFixture[str]) -> None:
    shown.show(estimate)
    said = capsys.readouterr().out
    for words in ("rows", "steps", "activations", "highest", "an estimate", "NVIDIA L4 data sheet", "USD"):
        assert words in said


def test_a_launch_without_a_plan_says_what_it_took() -> None:
    account = Account(started=0.0, processor=0.0)
    found = account.evidence([Stage(name="data", seconds=1.0), Stage(name="few", seconds=2.0)])["launch"]
    assert "estimated" not in found
    assert found["used"]["seconds"]["data"] == 1.0
    assert found["used"]["seconds"]["evaluations"] > 2.0


# ---------------------------------------------------------------------------------------------------------- memory


@pytest.fixture(scope="module")
def reading(tiny_base: Path, reviews_csv: Path, tmp_path_factory: pytest.TempPathFactory) -> Request:
    """A request for all weights of a small BERT."""
    folder = tmp_path_factory.mktemp("reading")
    lines = reviews_csv.read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "reviews.csv").write_text("".join(lines[:200]), encoding="utf-8")
    asked = {"data": "reviews.csv", "output": "sentiment", "base": str(tiny_base), "train": {"method": "full"}}
    return check(specs.parse(asked), folder, folder, Quiet())


def test_the_shape_of_a_network_tells_its_memory_without_any(reading: Request) -> None:
    shape = memory.shaped(reading, reading.settings)
    assert shape is not None
    assert {parameter.device.type for parameter in shape.parameters()} == {"meta"}
    found, real = memory.counted(shape, reading.settings), memory.counted(built(reading), reading.settings)
    assert found.weights == real.weights
    assert found.optimizer == 2 * 4 * found.learning
    assert found.gradients < 4 * found.learning  # those of the word table hold few rows


def test_activations_grow_with_the_batch_and_nothing_is_changed(reading: Request) -> None:
    network, data = built(reading), data_of(reading)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    drawn = torch.get_rng_state()
    longest = int(data.steps.max())
    one = memory.activations(network, data, _batches(reading, longest), "plain")
    four = memory.activations(network, data, _batches(reading, 4 * longest), "plain")
    assert four == pytest.approx(4 * one, rel=1e-6)
    assert one > longest * 4 * 32  # a state of each token at least
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), drawn)
    assert all(parameter.grad is None for parameter in network.parameters())


def _batches(request: Request, tokens: int) -> object:
    return request.settings.__class__(**{**vars(request.settings), "batch_tokens": tokens})


def test_weights_that_cannot_be_trained_are_refused_before_they_are_loaded(
    reading: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "limit", lambda: 10_000)
    monkeypatch.setattr(memory, "process", lambda loaded=0: 0)
    with pytest.raises(TrimtabError, match=r"memory: training would take .* \(weights .*optimizer .*has 0 MB"):
        memory.refuse_weights(reading)


def test_what_would_fit_is_named(reading: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    network, data = built(reading), data_of(reading)
    own = memory.counted(network, reading.settings)
    kept = memory.activations(network, data, reading.settings, "plain")
    monkeypatch.setattr(memory, "process", lambda loaded=0: 0)
    monkeypatch.setattr(memory, "limit", lambda: own.weights + own.beside + kept // 2)
    with pytest.raises(TrimtabError) as refused:
        memory.refuse(reading, network, data)
    said = str(refused.value)
    assert re.search(
        r"what would fit: train\.method: frozen \(\d+ MB\); train\.gradient_checkpointing: true \(\d+ MB\); ", said
    )
    assert re.search(r"; train\.batch_tokens: \d+ with train\.accumulate: \d+", said)
    monkeypatch.setattr(memory, "limit", lambda: 10**12)
    memory.refuse(reading, network, data)


def test_smaller_batches_are_named_with_what_keeps_their_steps_as_they_are(
    reading: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = reading.settings
    needed = memory.estimated(reading, memory.counted(built(reading), settings), 10**9, 0)
    monkeypatch.setattr(memory, "limit", lambda: 6 * 10**8)
    small = needed.model_copy(update={"limit": 6 * 10**8})
    said = dict(memory.proposals(reading, small))
    [batch] = [what for what in said if what.startswith("train.batch_tokens")]
    tokens, times = map(int, re.findall(r"\d+", batch))
    assert tokens * times >= settings.batch_tokens > tokens
    assert said[batch] <= 6 * 10**8


def test_a_plan_of_what_cannot_fit_ends_with_2(spec_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "limit", lambda: 1000)
    result = RUNNER.invoke(app, ["plan", str(spec_file), "--runs", str(spec_file.parent / "small"), "-q"])
    assert isinstance(result.exception, TrimtabError)
    assert "memory: training would take" in str(result.exception)


# ----------------------------------------------------------------------------------------------------------- steps


def test_few_of_many_costs_tell_their_sum() -> None:
    sizes, looked = np.random.default_rng(1).integers(1, 500, 3000), []

    def cost(number: int) -> float:
        looked.append(number)
        return 0.1 + 0.01 * float(sizes[number])

    found = steps.sampled(sizes, cost, seconds=60, most=12)
    assert len(looked) == 12
    assert sizes[looked[0]] == sizes.max()  # what takes the most memory comes first
    assert found == pytest.approx(float((0.1 + 0.01 * sizes).sum()), rel=0.05)
    assert steps.sampled(np.array([], int), cost, 1) == 0


def test_of_few_things_each_is_looked_at_once() -> None:
    looked: list[int] = []
    found = steps.sampled(np.array([5, 1, 3]), lambda number: float(not looked.append(number)), 60)
    assert sorted(looked) == [0, 1, 2]
    assert found == 3.0


# ---------------------------------------------------------------------------------------------------------- checks


def test_a_sketch_computes_a_row_of_each_batch_and_counts_what_is_asked(tmp_path: Path) -> None:
    rehearsal = Rehearsal(runtime.load(build(tmp_path), threads=1))
    names = [column.name for column in rehearsal.model.inputs]
    values = {name: [row[name] for row in ROWS] for name in names}
    made: list[np.ndarray] = []
    looked = rehearsal.look(lambda: made.append(np.asarray(rehearsal.model.outputs(values))))
    assert made[0].shape == np.asarray(rehearsal.real.outputs(values)).shape
    assert looked.asked.total() >= 1
    timings = rehearsal.timings()
    assert set(timings) == set(looked.asked)
    assert auditing.seconds(looked, timings) > looked.seconds
    assert auditing.seconds(looked, timings, most=1e-9) == 1e-9


def test_what_two_shares_took_is_carried_on_to_all_rows() -> None:
    assert auditing.carried_on([(1.0, 7.0)]) == 7.0
    assert auditing.carried_on([(0.1, 2.0), (0.2, 3.0)]) == pytest.approx(11.0)
    assert auditing.carried_on([(0.1, 2.0), (0.2, 2.0)]) == pytest.approx(2.0)
    assert auditing.carried_on([(0.1, 2.0), (0.2, 1.9)]) == pytest.approx(1.9)  # no row takes less than nothing


def test_a_check_goes_on_for_as_long_as_it_says_unless_a_gate_asks() -> None:
    assert auditing.most_seconds("explanation", []) == 10.0
    assert auditing.most_seconds("explanation", ["explanation.faithfulness"]) == float("inf")
    assert auditing.most_seconds("quality", []) == float("inf")


# ---------------------------------------------------------------------------------------------------- accelerators


def test_an_accelerator_is_known_by_its_name_and_estimated_by_public_figures() -> None:
    with pytest.raises(TrimtabError, match=r"(?s)no figures of 'h10'.*did you mean 'h100'"):
        accelerators.found("h10")
    small, large = accelerators.found("T4"), accelerators.found("H100")
    slow, quick = (accelerators.estimated(one, 1e16, 1e4, 0, 20_000_000_000, None) for one in (small, large))
    assert slow.seconds / quick.seconds == pytest.approx(989 / 65)
    assert (slow.fits, quick.fits) == (False, True)
    assert len(accelerators.ACCELERATORS) >= 8
    assert all("data sheet" in one.source or "paper" in one.source for one in accelerators.ACCELERATORS.values())


def test_small_steps_take_as_long_as_their_kernels_take_to_start() -> None:
    found = accelerators.estimated(accelerators.found("h100"), 1e9, 1e6, 0, 0, (2.0, "EUR"))
    assert found.seconds == pytest.approx(8.0)
    assert found.money is not None
    assert found.money.amount == pytest.approx(2.0 * 8 / 3600)


# ------------------------------------------------------------------------------------------------------------ load


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with costs as an audit measures them."""
    folder = build(tmp_path_factory.mktemp("load"))
    found = {
        "throughput": Measured(value=100.0, unit="rows/s"),
        "latency": Measured(value=20.0, unit="ms"),
        "memory": Measured(value=200.0, unit="MB"),
    }
    machine = {"cpu": "a processor", "cores": 2}
    manifest = store.read_manifest(folder).model_copy(update={"measured": found, "machine": machine})
    store.write_manifest(folder, manifest)
    return folder


@pytest.mark.parametrize(
    ("said", "rate"), [("500/s", 500), ("30 rows/min", 0.5), ("3600/h", 1), ("8,640,000/day", 100), ("7", 7)]
)
def test_a_load_is_rows_in_some_time(said: str, rate: float) -> None:
    assert load.rate(said) == pytest.approx(rate)


@pytest.mark.parametrize("said", ["much", "0/s", "-3/s", "5/week", ""])
def test_what_is_no_load_is_refused(said: str) -> None:
    with pytest.raises(TrimtabError, match="--load"):
        load.rate(said)


def test_a_load_takes_whole_machines(measured: Path) -> None:
    result = RUNNER.invoke(
        app, ["plan", str(measured), "--load", "500/s", "--price", "0.1", "--utilisation", "0.5", "--json"]
    )
    assert result.exit_code == 0, result.stderr
    said = json.loads(result.stdout)
    assert (said["together"]["replicas"], said["one_by_one"]["replicas"]) == (10, 20)  # 50 and 25 rows/s of each
    assert said["together"]["per_hour"] == pytest.approx(1.0)
    assert said["together"]["per_million"] == pytest.approx(1.0 / (500 * 3600) * 1e6)
    assert said["together"]["watt_hours_per_million"] == pytest.approx(10 * 2 * 1e6 / 100 / 3600)
    assert said["memory"] == 200.0
    people = RUNNER.invoke(app, ["plan", str(measured), "--load", "500/s"])
    assert people.exit_code == 0, people.stderr
    assert "a processor" in people.stdout


def test_bundles_and_specs_are_told_apart(measured: Path, spec_file: Path, tmp_path: Path) -> None:
    def failed(*arguments: str) -> str:
        result = RUNNER.invoke(app, ["plan", *arguments])
        assert isinstance(result.exception, TrimtabError)
        return str(result.exception)

    assert "add --load 500/s" in failed(str(measured))
    assert "name the folder of a bundle" in failed(str(spec_file), "--load", "5/s")
    assert "has no throughput" in failed(str(build(tmp_path)), "--load", "5/s")
    assert "did you mean 'h100'" in failed(str(spec_file), "--accelerator", "h10o")
