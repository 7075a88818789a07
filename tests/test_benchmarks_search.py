"""The bars of the search: gates as ratios to the uncompressed network, and searches held against each other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmarks import search

from trimtab.spec import parse_gates

WHOLE = {"accuracy": 0.9, "latency": 6.8, "throughput": 500.0}


@pytest.mark.parametrize(
    ("bar", "asked"),
    [
        ("sst2", {"size": "<= 8 MB", "latency": "<= 1.36 ms", "drop": "<= 0.0090"}),
        ("trec6", {"size": "<= 8 MB", "throughput": ">= 1e+04 rows/s", "drop": "<= 0.0135"}),
    ],
)
def test_gates_are_ratios_to_the_uncompressed_network(bar: str, asked: dict[str, str]) -> None:
    found = search._gates(search.BARS[bar], WHOLE)
    assert found == asked
    assert len(parse_gates(found)) == 3


@pytest.mark.parametrize(("accuracies", "same"), [([0.89, 0.893, 0.891], True), ([0.89, 0.896], False)])
def test_searches_are_alike_where_their_networks_differ_by_half_a_point(
    tmp_path: Path, accuracies: list[float], same: bool
) -> None:
    for turn, accuracy in enumerate(accuracies):
        told = {"busy": turn == 1, "chosen": "one", "kept": 0.99, "minutes": 10, "measured": {"accuracy": accuracy}}
        (tmp_path / f"turn-{turn}.json").write_text(json.dumps(told), encoding="utf-8")
    found = search._compared(tmp_path)
    assert found["same"] is same
    assert found["accuracies"] == accuracies
