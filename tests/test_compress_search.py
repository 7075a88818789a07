"""The stage `compress`: recipes, the search, what it says when a goal is out of reach, and `trimtab compress`."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tiny_bundle
from places import Place, place

import trimtab
from trimtab import files, runtime
from trimtab.__main__ import main
from trimtab.audit import cost as audit_cost
from trimtab.bundle import store
from trimtab.bundle.manifest import Measured
from trimtab.compress import cascade
from trimtab.compress.frontier import Point
from trimtab.errors import TrimtabError
from trimtab.runtime import _graphs
from trimtab.search import assembly, candidates, cascades
from trimtab.spec import parse_gates

POINTS = Path(__file__).parent / "fixtures" / "format-1" / "points.csv"
SPEC = {"output": "sentiment", "train": {"epochs": 1}}


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, reviews, tiny_base: Path) -> Place:
    """A search among everything, in which little is learnt, for a size that no network has."""
    made = place(
        tmp_path_factory.mktemp("searched"), reviews, **SPEC, base=str(tiny_base), compress={"minutes": 0.05},
        gates={"size": "<= 1 kB", "accuracy": ">= 0.99"},
    )  # fmt: skip
    assert made.launch() == 1
    return made


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory, reviews, tiny_base: Path) -> Path:
    """A bundle that no search was asked for; to be copied before anything of it changes."""
    made = place(tmp_path_factory.mktemp("released"), reviews, **SPEC, base=str(tiny_base))
    assert made.launch() == 0
    return bundle_of(made)


def bundle_of(made: Place) -> Path:
    return made.runs / "rows" / "bundle"


def point(name: str, quality: float, megabytes: float, rate: float, student: str | None = None) -> Point:
    values = {"size": (megabytes, "MB"), "throughput": (rate, "rows/s"), "latency": (1000 / rate, "ms")}
    measured = {key: Measured(value=value, unit=unit) for key, (value, unit) in values.items()}
    recipe = {"student": student} if student else {}
    return Point(name=name, quality=Measured(value=quality), measured=measured, recipe=recipe)


@pytest.mark.parametrize(
    ("megabytes", "rate", "together"), [(5.0, 6000.0, True), (7.0, 6000.0, False), (5.0, 3000.0, False)]
)
def test_a_cascade_is_made_of_what_keeps_its_size_and_may_keep_its_time(
    megabytes: float, rate: float, together: bool
) -> None:
    gates = parse_gates({"size": "<= 8 MB", "throughput": ">= 10000 rows/s", "drop": "<= 0.01"})
    search = SimpleNamespace(gates=gates, metric="accuracy")
    small, large = point("conv", 0.9, 2.0, 40_000, "conv"), point("cut", 0.94, megabytes, rate)
    assert cascades.fit_together(search, small, large) == together
    assert cascades.best_first(search, [small, large])[0] is large


@pytest.mark.parametrize(
    ("gates", "allowed"),
    [
        ({"size": "<= 8 MB"}, 0.0),
        ({"drop": "<= 0.03"}, 0.01),
        ({"accuracy": ">= 0.86"}, 0.02),
        ({"drop": "<= 0.03", "accuracy": ">= 0.89"}, 0.005),
        ({"accuracy": ">= 0.95"}, 0.0),
    ],
)
def test_a_cascade_may_lose_half_of_what_the_gates_on_quality_leave(gates: dict[str, str], allowed: float) -> None:
    large = Point(name="large", quality=Measured(value=0.9), drop=0.01)
    search = SimpleNamespace(gates=parse_gates(gates), metric="accuracy")
    assert cascades.to_lose(search, large) == pytest.approx(allowed)


# ---------------------------------------------------------------------------------------------------------- search


def test_a_goal_out_of_reach_exits_with_1_and_names_the_nearest_point(searched: Place) -> None:
    manifest = store.read_manifest(bundle_of(searched))
    assert not manifest.released
    said = manifest.why[-1]
    assert said.startswith("no candidate reaches 0.001 MB at 0.99")
    frontier = manifest.evidence["frontier"]
    assert frontier["nearest"] == said
    assert frontier["chosen"] in {point["name"] for point in frontier["points"]}
    assert frontier["stopped"]


def test_every_way_was_tried_or_left_out_for_a_reason(searched: Place) -> None:
    frontier = store.read_manifest(bundle_of(searched)).evidence["frontier"]
    names = {point["name"] for point in frontier["points"]}
    assert {"uncompressed", "trimmed"} <= names
    assert all(reason for _, reason in frontier["skipped"])
    assert [point["name"] for point in frontier["points"] if point["kind"] == "baseline"] == [
        "tf-idf + logistic regression"
    ]
    for point in frontier["points"]:
        if point["kind"] == "baseline":
            continue
        assert {"size", "latency", "throughput"} <= set(point["measured"])
        assert point["fits"] is False


@pytest.mark.slow
def test_the_same_search_again_takes_its_candidates_from_the_first(searched: Place, capsys) -> None:
    kept = {path: path.stat().st_mtime_ns for path in searched.runs.rglob("point.json")}
    assert kept
    assert searched.launch("--set", "gates.size=<= 2 kB") == 1
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


@pytest.mark.slow
def test_kept_candidates_are_measured_for_gates_that_are_asked_later(searched: Place) -> None:
    kept = {path: path.stat().st_mtime_ns for path in searched.runs.rglob("work/compress/*/bundle/model.onnx")}
    gates = "gates={size: '<= 2 kB', accuracy: '>= 0.1', macro_f1: '>= 0.1', memory: '< 10 GB'}"
    assert searched.launch("--set", gates, "--pick", "trimmed") == 1
    points = store.read_manifest(bundle_of(searched)).evidence["frontier"]["points"]
    missed = {point["name"]: point["missed"] for point in points if point["kind"] == "candidate"}
    assert "trimmed" in missed
    assert {name: len(gates) for name, gates in missed.items()} == dict.fromkeys(missed, 1)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


@pytest.mark.slow
def test_any_candidate_can_be_picked(searched: Place) -> None:
    assert searched.launch("--pick", "trimmed") == 1  # the gates still say no
    manifest = store.read_manifest(bundle_of(searched))
    assert manifest.evidence["frontier"]["chosen"] == "trimmed"
    assert trimtab.load(bundle_of(searched)).predict([{"review": "works well"}])[0]["sentiment"]


@pytest.mark.slow
def test_a_pick_that_is_no_candidate_is_refused_with_the_nearest_name(searched: Place, capsys) -> None:
    assert searched.launch("--pick", "trimed") == 2
    assert "trimmed" in capsys.readouterr().err


# --------------------------------------------------------------------------------------------------------- recipes


@pytest.mark.parametrize(
    "recipe",
    [
        pytest.param({"student": "static", "embedding": 64, "quantize": "int8"}, marks=pytest.mark.slow),
        {"layers": 1, "neurons": 0.5, "embedding": 16, "aware": True, "quantize": "int8"},
        pytest.param({"student": "conv", "layers": 1, "embedding": 32, "sparsity": 0.5}, marks=pytest.mark.slow),
    ],
)
def test_one_recipe_gives_a_smaller_bundle_that_answers(tmp_path: Path, reviews, tiny_base: Path, recipe) -> None:
    made = place(tmp_path, reviews, **SPEC, base=str(tiny_base), compress={**recipe, "minutes": 0.2})
    release = trimtab.launch(made.spec, runs=made.runs)
    points = {point["name"]: point for point in release.manifest.evidence["frontier"]["points"]}
    chosen = release.manifest.evidence["frontier"]["chosen"]
    assert chosen != "uncompressed"
    assert points[chosen]["measured"]["size"]["value"] < points["uncompressed"]["measured"]["size"]["value"]
    assert abs(release.manifest.measured["drop"].value) <= 1
    answers = trimtab.load(release.folder).predict([{"review": str(row["review"])} for row in reviews[:4]])
    assert np.isfinite(answers.outputs).all()
    assert release.released


@pytest.mark.slow
@pytest.mark.parametrize(("ms", "reason"), [(1e-6, "without any head and neuron"), (1e4, "as it is")])
def test_a_latency_that_pruning_cannot_reach_or_need_not_is_said(
    tmp_path: Path, reviews, tiny_base: Path, ms: float, reason: str
) -> None:
    made = place(tmp_path, reviews, **SPEC, base=str(tiny_base), compress={"to_latency": ms, "minutes": 0.1})
    frontier = trimtab.launch(made.spec, runs=made.runs).manifest.evidence["frontier"]
    (found,) = (said for name, said in frontier["skipped"] if name.startswith("to_latency"))
    assert reason in found
    assert "trimmed" in {found["name"] for found in frontier["points"]}


def test_a_recipe_that_does_not_apply_leaves_the_network_as_it_was(tmp_path: Path) -> None:
    rows = [{"height": str(150 + row % 40), "group": "tall" if row % 40 > 20 else "short"} for row in range(120)]
    made = place(tmp_path, rows, output="group", train={"epochs": 1}, compress={"student": "conv"})
    release = trimtab.launch(made.spec, runs=made.runs)
    frontier = release.manifest.evidence["frontier"]
    assert frontier["chosen"] == "uncompressed"
    assert ["conv", "no input is a text that is answered as a whole"] in [list(entry) for entry in frontier["skipped"]]


@pytest.mark.slow
def test_a_cascade_answers_early_where_the_small_network_is_sure(
    tmp_path: Path, reviews, tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # This teacher knows nothing, so that a student is never sure of itself: a threshold is set.
    monkeypatch.setattr(cascade, "threshold", lambda *_: cascade.Threshold(0.5, 0.7))
    recipe = {"student": "static", "cascade": True, "minutes": 0.2}
    made = place(tmp_path, reviews, **SPEC, base=str(tiny_base), compress=recipe)
    release = trimtab.launch(made.spec, runs=made.runs)
    frontier = release.manifest.evidence["frontier"]
    assert "cascade-static-uncompressed" not in dict(frontier["skipped"])
    assert release.manifest.serving.program.name == "cascade"
    assert release.manifest.serving.program.options["threshold"] == 0.5
    (point,) = (found for found in frontier["points"] if found["name"] == frontier["chosen"])
    assert "70% of the rows are answered by the small network" in point["made"][0]


def test_unlabelled_rows_must_have_the_inputs(tmp_path: Path, reviews, tiny_base: Path) -> None:
    (tmp_path / "more.csv").write_text("text\nnice\n", encoding="utf-8")
    wish = {"student": "static", "unlabelled": ["more.csv"]}
    made = place(tmp_path, reviews, **SPEC, base=str(tiny_base), compress=wish)
    with pytest.raises(TrimtabError, match="no column named 'review'"):
        trimtab.launch(made.spec, runs=made.runs)


# ---------------------------------------------------------------------------------------------------- the command


def test_compress_makes_a_bundle_beside_the_old_one(tmp_path: Path, released: Path, capsys) -> None:
    before = store.read_manifest(released)
    rows = str(released.parent.parent.parent)
    words = [str(released), "--size", "10GB", "--set", "compress.quantize=int8", "--folder", rows]
    assert main(["compress", *words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    after = store.read_manifest(Path(told["bundle"]))
    assert after.precision == "int8"
    assert after.measured["size"].value < before.measured["size"].value
    assert store.read_manifest(released) == before
    assert {gate["name"] for gate in told["gates"]} == {"size"}


def test_compress_refuses_a_copy_for_serving(tmp_path: Path, released: Path, capsys) -> None:
    bundle = shutil.copytree(released, tmp_path / "bundle")
    (bundle / store.WEIGHTS).unlink()
    assert main(["compress", str(bundle), "--size", "1MB", "--folder", str(released.parent.parent.parent)]) == 2
    assert "a copy for serving" in capsys.readouterr().err


@pytest.mark.slow
def test_a_quantized_candidate_is_hashed_once_and_rows_are_encoded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: Counter[Path] = Counter()
    hashed: Counter[Path] = Counter()
    encoded: Counter[int] = Counter()

    def counted(counts: Counter[Path], function: Callable[..., object]) -> Callable[..., object]:
        def call(path: Path, *others: object) -> object:
            counts[Path(path)] += 1
            return function(path, *others)

        return call

    def encode_rows(columns: object, values: Mapping[str, Sequence[object]]) -> object:
        encoded[len(values["x"])] += 1
        return encode(columns, values)

    encode = assembly.encode_rows
    monkeypatch.setattr(_graphs, "open_session", counted(opened, runtime.open_session))
    monkeypatch.setattr(files, "sha256", counted(hashed, files.sha256))
    monkeypatch.setattr(assembly, "encode_rows", encode_rows)
    spec = {
        "data": str(POINTS), "output": "side", "fusion": "mean", "name": "points", "train": {"epochs": 1},
        "compress": {"quantize": "int8"},
    }  # fmt: skip
    release = trimtab.launch(spec, runs=tmp_path)
    assert release.manifest.evidence["frontier"]["chosen"] == "trimmed+int8"
    bundle = tmp_path / "points" / "work" / "compress" / "trimmed+int8" / "bundle"
    own = {path.name: count for path, count in hashed.items() if path.is_relative_to(bundle)}
    assert opened[bundle / "model.onnx"] == 2  # when it is made, and when it is taken
    assert own["model.onnx"] == own["weights.safetensors"] == 1
    assert max(own.values()) == 1
    assert not encoded  # by the search: the columns are those of training


@pytest.mark.parametrize(("held", "cost", "sealed"), [(90.0, 8192, 1), (110.0, 512, 2)])
def test_batches_are_the_smallest_where_the_quickest_miss_a_gate_on_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: float, cost: int, sealed: int
) -> None:
    model = runtime.load(tiny_bundle.build(tmp_path))
    quick = model.replace("model", model.graphs["model"].in_batches(8192))
    made = assembly.Candidate(tmp_path, model.manifest, quick, 0.0, np.zeros((1, 3)))
    request = SimpleNamespace(gates=parse_gates({"memory": "<= 100 MB"}))
    written = []
    monkeypatch.setattr(candidates, "_tuned", lambda _, candidate: candidate)
    monkeypatch.setattr(assembly, "sealed", lambda _, candidate: written.append(candidate) or candidate)
    monkeypatch.setattr(audit_cost, "memory", lambda *_: {"memory": Measured(value=held, unit="MB")})
    found = candidates._sealed(SimpleNamespace(request=request, rows=[]), made)
    assert found.model.serving.graphs["model"].batch_cost == cost
    assert len(written) == sealed
