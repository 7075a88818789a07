"""In which order a search tries what: nothing is learnt or timed here, every network and measurement is made up.

A rung of the ladder is known by the share of its neurons: it takes that part of 20 MB and 10 ms, and is the better the
larger it is.
"""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from trimtab.bundle.manifest import Measured
from trimtab.compress import build, distil, layers, plan
from trimtab.compress.frontier import Point, choose
from trimtab.progress import Quiet
from trimtab.search import candidates, cascades, compression, feasible, worth
from trimtab.search.trials import Search
from trimtab.spec import Recipe, parse_gates

BITS = "int8_int4"
SIZE, LATENCY, RATE = 20.0, 10.0, 100.0
STUDENTS = {"static": (0.76, 2.0, 0.05), "conv": (0.80, 3.0, 0.2)}  # accuracy, MB, ms
SURE = {"drop": "<= 0.05", "size": "<= 8 MB"}


def share(recipe: Recipe) -> float:
    return (recipe.neurons or 1.0) * (0.05 if recipe.layers else 1.0)


def rungs(_: Any, narrow: bool, shallow: bool = False) -> list[Recipe]:
    return [Recipe(neurons=0.8**at) for at in range(1, 15)] if not shallow else []


def costs(recipe: Recipe, noise: float = 1.0) -> dict[str, float]:
    if recipe.student:
        _, size, late = STUDENTS[recipe.student]
    else:
        size, late = SIZE * share(recipe), LATENCY * share(recipe) * noise
    bits = 1.0 if recipe.quantize else 4.0
    return {"size": size * bits, "latency": late * bits, "throughput": RATE * LATENCY / (late * bits)}


def accuracy(recipe: Recipe) -> float:
    return STUDENTS[recipe.student][0] if recipe.student else 0.90 - 0.1 * (1 - share(recipe)) ** 3


class Predicted:
    """A predictor that is wrong by a factor until one cut was measured."""

    precision = BITS

    def __init__(self, off: float) -> None:
        self.off = off
        self.costs = costs(Recipe(quantize=BITS))

    def costs_of(self, shape: Recipe) -> dict[str, float]:
        return {name: value * self.off for name, value in costs(shape.model_copy(update={"quantize": BITS})).items()}

    def taught(self, shape: Recipe, measured: dict[str, float]) -> Predicted:
        return Predicted(1.0)


class Told:
    """A search whose networks are their recipes, and what it tried, in order."""

    def __init__(self, patch: pytest.MonkeyPatch, gates: dict[str, str], wish: Any, noise: float, early: float) -> None:
        self.names: list[str] = []
        self.noise, self.off = noise, 1.3
        spec = SimpleNamespace(compress=wish)
        request = SimpleNamespace(
            searched_gates=parse_gates(gates), spec=spec, output=SimpleNamespace(headline="accuracy")
        )
        self.search = Search(request, None, None, Path(), 10.0, Quiet(), "", time.perf_counter())
        self.search.points.append(self.point("uncompressed", Recipe(), "uncompressed"))
        material = SimpleNamespace(teacher=None)
        fakes: tuple[tuple[Any, str, Any], ...] = (
            (compression, "context", lambda *_: material),
            (worth, "context", lambda *_: material),
            (feasible, "context", lambda *_: material),
            (compression, "timed", lambda *_: material),
            (compression, "tried", self.tried),
            (cascades, "cascade", self.cascade),
            (compression, "_predictor", lambda *_: Predicted(self.off)),
            (feasible, "measured", self.measured),
            (build, "shape", lambda recipe, _: recipe),
            (distil, "distillable", lambda _: True),
            (plan, "ladder", rungs),
            (plan, "students", lambda _: [Recipe(student=name) for name in STUDENTS]),
            (compression, "_cut", lambda *_: True),
            (plan, "cut", lambda *_: []),
            (plan, "precisions", lambda *_: ["none", BITS]),
            (plan, "aimed", lambda *_: BITS),
            (candidates, "early", lambda _, point, __: early if point.name.startswith("conv") else early / 2),
            (Search, "candidate", lambda _, point: point),
        )
        for place, called, fake in fakes:
            patch.setattr(place, called, fake)

    def point(self, name: str, recipe: Recipe, kind: str = "candidate") -> Point:
        good = accuracy(recipe)
        measured = {key: Measured(value=value) for key, value in costs(recipe, self.noise).items()}
        return Point(
            name=name, kind=kind, quality=Measured(value=good, low=good - 0.01, high=good + 0.01), measured=measured,
            drop=0.9 - good, drop_interval=(0.89 - good, 0.91 - good), recipe=recipe.model_dump(exclude_defaults=True),
        )  # fmt: skip

    def measured(self, _: Search, shape: Recipe, precision: str) -> dict[str, Measured]:
        found = costs(shape.model_copy(update={"quantize": precision}), self.noise)
        return {name: Measured(value=value) for name, value in found.items()}

    def tried(self, search: Search, recipe: Recipe) -> Point:
        name = build.name(recipe)
        known = search.named(name)
        if known:
            return known
        self.names.append(name)
        search.points.append(self.point(name, recipe))
        return search.points[-1]

    def cascade(self, search: Search, small: Point, large: Point, allowed: float = 0.0) -> Point:
        name = f"cascade-{small.name}-{large.name}" + (f"-{allowed:g}" if allowed else "")
        self.names.append(name)
        late = small.measured["latency"].value + 0.5 * large.measured["latency"].value
        size = small.measured["size"].value + large.measured["size"].value
        measured = {"size": size, "latency": late, "throughput": RATE * LATENCY / late}
        found = {key: Measured(value=value) for key, value in measured.items()}
        search.points.append(large.model_copy(update={"name": name, "measured": found, "recipe": {}}))
        return search.points[-1]


def walked(
    patch: pytest.MonkeyPatch, gates: dict[str, str], wish: Any = None, noise: float = 1.0, early: float = 0.6
) -> tuple[list[str], str | None]:
    """The names of what is tried, in their order, and the one that is taken."""
    told = Told(patch, gates, wish, noise, early)
    compression._walk(told.search)
    return told.names, choose(told.search.points, told.search.gates, "accuracy")


def largest(recipes: list[float], most: float) -> str:
    return build.name(Recipe(neurons=max(one for one in recipes if one <= most)))


RUNGS = [0.8**at for at in range(1, 15)]


def test_the_largest_that_meets_the_gates_on_cost_is_learnt_first_and_ends_the_search(monkeypatch) -> None:
    names, taken = walked(monkeypatch, {**SURE, "latency": "<= 5 ms"})
    aim = largest(RUNGS, 0.4)  # 8 of 20 MB
    assert names == ["trimmed", f"trimmed+{BITS}", aim, f"{aim}+{BITS}"]
    assert taken == f"{aim}+{BITS}"


def test_what_a_measurement_in_a_hurry_may_be_wrong_by_does_not_change_the_choice_by_more_than_a_rung(
    monkeypatch,
) -> None:
    gates = {**SURE, "latency": "<= 3.3 ms"}
    taken = [walked(monkeypatch, gates, noise=noise)[1] for noise in (0.97, 1.0, 1.03)]
    shares = [float(str(name).partition("neurons-")[2].partition("+")[0]) for name in taken]
    assert max(shares) <= 1.26 * min(shares)


def test_students_are_tried_where_the_largest_does_not_surely_keep_the_quality(monkeypatch) -> None:
    names, _ = walked(monkeypatch, {"drop": "<= 0.001", "size": "<= 8 MB"})
    aim = largest(RUNGS, 0.4)
    assert names[2:4] == [aim, f"{aim}+{BITS}"]
    assert names[4:6] == ["static", f"static+{BITS}"]


def test_students_are_learnt_where_no_cut_meets_the_gates_on_cost(monkeypatch) -> None:
    names, taken = walked(monkeypatch, {"drop": "<= 0.15", "throughput": ">= 4000 rows/s"})
    assert not any(name.startswith("neurons") for name in names)
    assert taken == f"conv+{BITS}"


def test_a_gate_far_beyond_what_cuts_give_is_met_by_a_larger_cut_behind_a_student(monkeypatch) -> None:
    names, taken = walked(monkeypatch, {"drop": "<= 0.08", "size": "<= 12 MB", "throughput": ">= 800 rows/s"})
    alone = largest(RUNGS, 0.125 * 0.88)
    behind = next(name for name in names if name.startswith("neurons"))
    assert float(behind.partition("-")[2]) > 1.25 * float(alone.partition("-")[2])
    assert names.index(f"conv+{BITS}") < names.index(behind)
    assert str(taken).startswith(f"cascade-conv+{BITS}-{behind}")


def test_all_blocks_made_narrow_behind_a_student_come_before_half_of_the_blocks_alone(monkeypatch) -> None:
    halves = [Recipe(layers=3, neurons=0.8**at) for at in range(1, 15)]
    told = Told(monkeypatch, {"drop": "<= 0.09", "throughput": ">= 2600 rows/s"}, None, 1.0, 0.75)
    monkeypatch.setattr(plan, "ladder", lambda _, narrow, shallow=False: halves if shallow else rungs(_, narrow))
    compression._walk(told.search)
    cuts = [name.partition("+")[0] for name in told.names if "neurons" in name and not name.startswith("cascade")]
    # Alone 2,273 rows/s; the student, with 5,000, answers two rows of three.
    assert cuts[0] == build.name(Recipe(neurons=0.8**14))
    assert any(name.startswith(f"cascade-conv+{BITS}-{cuts[0]}") for name in told.names)
    assert cuts[-1] == build.name(Recipe(layers=3, neurons=0.8**2))


def test_a_student_that_is_hardly_ever_sure_stands_before_nothing(monkeypatch) -> None:
    gates = {"drop": "<= 0.08", "size": "<= 12 MB", "throughput": ">= 800 rows/s"}
    names, _ = walked(monkeypatch, gates, early=0.1)
    alone = f"{largest(RUNGS, 0.125 * 0.88)}+{BITS}"
    assert alone in names
    assert not any("cascade" in name for name in names[: names.index(alone)])


def test_without_gates_on_cost_the_cheap_ones_come_first(monkeypatch) -> None:
    names, _ = walked(monkeypatch, {"drop": "<= 0.02"})
    assert names[2:6] == ["static", f"static+{BITS}", "conv", f"conv+{BITS}"]


def test_what_meets_every_gate_with_nothing_learnt_is_enough_where_nobody_asked_for_a_search(monkeypatch) -> None:
    names, taken = walked(monkeypatch, {"drop": "<= 0.02", "size": "<= 30 MB"}, wish="auto")
    assert names == ["trimmed", f"trimmed+{BITS}"]
    assert taken == f"trimmed+{BITS}"


# -------------------------------------------------------------------------------------------- what costs nothing


def asked(gates: dict[str, str]) -> Any:
    return SimpleNamespace(spec=SimpleNamespace(compress="auto"), searched_gates=parse_gates(gates))


def test_without_gates_on_cost_nothing_is_measured_where_nobody_asked_for_a_search(monkeypatch) -> None:
    monkeypatch.setattr(candidates, "bench", lambda *_: pytest.fail("the validation rows were prepared"))
    monkeypatch.setattr(candidates, "costs", lambda *_: pytest.fail("something was measured"))
    whole = SimpleNamespace()
    found = compression.compress(asked({"accuracy": ">= 0.8"}), None, whole, Path(), Quiet())
    assert found == compression.Compressed(whole, None, None)


def test_only_the_costs_that_gates_ask_for_are_measured_and_no_time_where_the_size_says_no(monkeypatch) -> None:
    names: list[str] = []

    def measured(_: Any, __: Any, wanted: list[str]) -> Any:
        names.extend(wanted)
        return SimpleNamespace(measured={name: Measured(value=9.0) for name in {*wanted, "size"}})

    monkeypatch.setattr(candidates, "bench", lambda *_: None)
    monkeypatch.setattr(candidates, "costs", measured)
    whole = SimpleNamespace()
    gates = {"size": "<= 10 MB", "latency": "<= 10 ms", "accuracy": ">= 0.8"}
    assert compression.compress(asked(gates), None, whole, Path(), Quiet()).candidate is whole
    assert set(names) == {"size", "latency"}
    names.clear()
    small = parse_gates({"size": "<= 5 MB", "latency": "<= 10 ms"})
    assert not compression.affordable_as_it_is(None, whole, small)
    assert names == ["size"]


def test_a_cut_that_is_too_large_in_fp32_is_judged_by_the_precision_that_is_timed(monkeypatch) -> None:
    told = Told(monkeypatch, {"size": "<= 8 MB", "latency": "<= 2 ms"}, None, 1.0, 0.6)
    measured = {
        "none": {"size": Measured(value=20.0)},
        BITS: {"size": Measured(value=5.0), "latency": Measured(value=1.5)},
    }
    monkeypatch.setattr(
        feasible, "measured", lambda _, __, precision: measured[precision]
    )  # as it is: no time of those
    monkeypatch.setattr(layers, "depth", lambda _: 6)
    (cut,) = worth.affordable(told.search, [Recipe(neurons=0.5)])
    assert (cut.latency, cut.fits, cut.alone) == (1.5, True, True)


def test_half_of_the_blocks_go_where_no_network_of_all_of_them_meets_the_gates(monkeypatch) -> None:
    told = Told(monkeypatch, {"drop": "<= 0.2", "latency": "<= 0.3 ms"}, None, 1.0, 0.6)
    monkeypatch.setattr(
        plan, "ladder", lambda _, narrow, shallow=False: [Recipe(layers=3 if shallow else None, neurons=0.5)]
    )
    compression._aim(told.search)
    assert told.names[-2:] == ["layers-3-neurons-0.5", f"layers-3-neurons-0.5+{BITS}"]
