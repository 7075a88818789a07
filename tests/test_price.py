"""The price of a million answers follows from what was measured, and the machines for a load from that."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_bundle import ROWS, build, make_manifest

from trimtab import runtime
from trimtab import spec as specs
from trimtab.audit import cost as costs
from trimtab.audit import gates, price
from trimtab.audit.price import Pricing
from trimtab.bundle.manifest import Measured
from trimtab.checks import Context
from trimtab.checks import cost as check
from trimtab.data.table import Origin, Table
from trimtab.errors import TrimtabError

ASKED = Pricing(machine_per_hour=0.36, currency="EUR", load=50, utilisation=0.5, watts_per_core=10)


def test_the_price_is_that_of_the_hours_of_a_machine() -> None:
    found = price.priced(ASKED, throughput=20, cores=2)
    # A million answers at 10 of 20 rows/s take 100,000 s, of which each costs 0.0001; computing takes 50,000 s.
    assert (found["price"].value, found["price"].unit) == (pytest.approx(10.0), "per million")
    assert found["energy"].value == pytest.approx(20 * 50_000 / 3600)


@pytest.mark.parametrize(("load", "machines"), [(50, 5), (50.1, 6), (10, 1), (0.01, 1)])
def test_machines_for_a_load_are_whole_ones(load: float, machines: int) -> None:
    asked = Pricing(0.36, "EUR", load, 0.5, 10)
    assert asked.replicas(20) == machines
    told = price.evidence(asked, 20, 2)
    assert told["per_hour"] == pytest.approx(0.36 * machines)
    assert told["price_at_load"] == pytest.approx(0.36 * machines / (load * 3600) * 1e6)
    assert "replicas" not in price.evidence(Pricing(0.36, "EUR", None, 0.5, 10), 20, 2)


def test_the_check_measures_and_words_it_where_a_machine_has_a_price(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = runtime.load(build(tmp_path), threads=1)
    table = Table({name: [row[name] for row in ROWS] for name in ROWS[0]}, [Origin("rows.csv", 1)] * len(ROWS))
    measured = {"throughput": Measured(value=20.0, unit="rows/s")}
    monkeypatch.setattr(costs, "cost", lambda model, rows, seed: measured)
    plain = Context(model, model.inputs, None, table, (), 7)
    assert check.check(plain).measured == measured
    found = check.check(Context(model, model.inputs, None, table, (), 7, pricing=ASKED))
    assert found.measured["price"].value == pytest.approx(10.0)
    [result] = gates.judge([specs.parse_gate("price", "<= 9.5")], found.measured)
    assert (result.met, result.reason) == (False, "missed by 0.5 per million")
    bare = make_manifest(model.inputs, model.output, [])
    told = bare.model_copy(update={"evidence": found.evidence, "measured": dict(found.measured)})
    said = str(list(check.sections(told)))
    assert "0.36 EUR an hour" in said
    assert "Machines for 50 rows/s: 5, at 1.8 EUR an hour" in said
    assert "Energy is an estimate, not measured" in said


def test_the_spec_says_what_a_machine_costs() -> None:
    minimal = {"data": "rows.csv", "output": "y"}
    found = specs.parse({**minimal, "cost": {"machine_per_hour": 0.1, "load": "50 rows/s"}}).cost
    assert found is not None
    assert Pricing(**found.model_dump()) == Pricing(0.1, "USD", 50.0, 0.7, 10.0)
    for wrong in ({}, {"machine_per_hour": 0}, {"machine_per_hour": 1, "load": "much"}, {"per_hour": 1}):
        with pytest.raises(TrimtabError, match="cost"):
            specs.parse({**minimal, "cost": wrong})


def test_a_price_is_no_gate_where_no_machine_has_one() -> None:
    asked = [specs.parse_gate("price", "<= 2")]
    with pytest.raises(TrimtabError, match=r"(?s)the spec has no `cost`.*cost: .machine_per_hour: 0.10"):
        gates.check_names(asked, "label", ["a", "b"])
    gates.check_names(asked, "label", ["a", "b"], given=["cost"])
    with pytest.raises(TrimtabError, match="energy"):
        specs.parse_gate("energy", "<= 2")


@pytest.mark.parametrize("gate", ["<= 10", "< 10", "<= 0.5"])
@pytest.mark.parametrize("throughput", [19.0, 19.999, 20.001, 25.0, 400.001, 399.0])
def test_a_search_aims_at_the_throughput_that_a_price_takes(gate: str, throughput: float) -> None:
    asked = specs.parse_gates({"price": gate})[0]
    aimed = ASKED.as_throughput(asked)
    assert (aimed.name, aimed.unit) == ("throughput", "rows/s")
    assert aimed.met(throughput) == asked.met(ASKED.price(throughput))


def test_no_throughput_answers_for_nothing() -> None:
    assert not ASKED.as_throughput(specs.parse_gates({"price": "<= 0"})[0]).met(1e12)
