"""What is kept of rows: of every type of column, also of values that are strange, and never a text itself."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from trimtab import columns, runtime
from trimtab.bundle import store
from trimtab.columns import InputColumn, OutputColumn, encode_rows, no_outputs
from trimtab.rows import Row
from trimtab.watch import answering, baseline
from trimtab.watch.log import Entry, Kept
from trimtab.watch.sketch import Sketcher, by_row, confidences, kinds, stacked
from trimtab.watch.subject import Subject
from trimtab.watch.watching import Watcher

OLD = Path(__file__).resolve().parent / "fixtures" / "format-1"
STRANGE = [None, "", "\x00", "\ud800", float("nan"), float("inf"), -1e308, 10**400, True, [], {}, b"\xff", "x" * 10_000]


def picture(shade: int) -> bytes:
    found = io.BytesIO()
    Image.new("RGB", (12, 12), (shade, 40, 200 - shade)).save(found, "PNG")
    return found.getvalue()


INPUTS: dict[str, tuple[str, list[Any]]] = {
    "number": ("number", [1, "2.5", "", 4, 5, 1e9, 7, 3] * 5),
    "category": ("category", ["red", "blue", "red", "", "green"] * 8),
    "text": ("text", ["a warm soup", "cold staff and long waits", "soup", "good"] * 10),
    "history": ("history", [["a", "b"], ["c"], [], ["a", "c", "b"]] * 10),
    "image": ("image", [picture(shade) for shade in range(0, 200, 5)]),
}


def fitted(kind: str) -> InputColumn:
    found: InputColumn = columns.fit(INPUTS[kind][0], kind, kind, INPUTS[kind][1], {})
    return found


def answers() -> dict[str, OutputColumn]:
    named = {
        "label": ["yes", "no"] * 20,
        "ordinal": [1, 2, 3, 4] * 10,
        "number": [1.5, 2, 3, 8] * 10,
        "labels": ["a|b", "b", "a|c", ""] * 10,
        "ranking": ["film a", "film b", "film c", "film d"] * 10,
    }
    return {kind: columns.fit(kind, "answer", "answer", values, {}) for kind, values in named.items()}


@pytest.mark.parametrize("kind", sorted(INPUTS))
def test_every_kind_of_input_leaves_a_sketch_that_json_holds_and_gives_back(kind: str) -> None:
    column = fitted(kind)
    values = {kind: INPUTS[kind][1]}
    found = sketched((column,), answers()["label"], values, np.zeros((40, 2), np.float32))
    rows = [json.loads(json.dumps(one, allow_nan=False)) for one in by_row(found, 40)]
    again = stacked(rows, kinds(rows))
    assert again.keys() == found.keys()
    for name, array in found.items():
        assert np.array_equal(again[name], array, equal_nan=array.dtype.kind == "f")
    known = baseline.fitted(found, 40)
    assert known.counts.sum() == 40 * len(known.features)


@pytest.mark.parametrize("kind", sorted(set(INPUTS) - {"image"}))
def test_values_that_are_strange_are_sketched_too(kind: str) -> None:
    column = fitted(kind)
    usual = baseline.fitted(sketched((column,), answers()["label"], {kind: INPUTS[kind][1]}, zeros(40, 2)), 40)
    odd = sketched((column,), answers()["label"], {kind: STRANGE}, zeros(len(STRANGE), 2))
    assert usual.bins_of(odd, len(STRANGE)).shape == (len(STRANGE), len(usual.features))
    assert len(json.dumps(by_row(odd, len(STRANGE)), allow_nan=False)) < 10_000


@pytest.mark.parametrize("kind", sorted(answers()))
def test_every_kind_of_answer_leaves_a_sketch(kind: str) -> None:
    output = answers()[kind]
    random = np.random.default_rng(1)
    (tensor,) = output.tensors
    outputs = random.normal(size=(30, tensor.width)).astype(np.float32)
    found = sketched((fitted("number"),), output, {"number": INPUTS["number"][1][:30]}, outputs)
    told = {name.removeprefix("outputs.") for name in found if name.startswith("outputs.")}
    assert told & {"answer", "size"}
    sure = confidences(output, output.decode(outputs))
    assert len(sure) == 30
    assert all(one is None for one in sure) is (kind in ("number", "labels"))
    assert confidences(output, output.decode(no_outputs(output.tensors))) == []


def test_a_catalogue_of_thousands_has_a_bin_for_its_commonest_items_alone() -> None:
    items = np.random.default_rng(2).zipf(1.3, 4000) % 3000
    known = baseline.fitted({"outputs.item": items.astype(np.int64)}, 4000)
    (feature,) = known.features
    assert feature.bins == 21
    assert known.counts.sum() == 4000


def test_a_sketch_holds_no_text() -> None:
    secret = "my account number is 4711"
    found = sketched((fitted("text"),), answers()["label"], {"text": [secret]}, zeros(1, 2))
    assert "4711" not in json.dumps(by_row(found, 1))
    assert "account" not in json.dumps(by_row(found, 1))


def test_a_bundle_of_format_1_is_watched_against_the_beginning_of_its_log() -> None:
    model = runtime.load(OLD / "bundle")
    assert baseline.read(OLD / "bundle" / store.REFERENCE) is None
    rows = [Row({"x": str(number / 50), "y": "" if number % 7 else "0.3", "colour": "red"}, 1) for number in range(600)]
    watcher = Watcher(Subject.of(model))
    found = answering.entries(model, Sketcher.of(model), rows, Path())
    watcher.add(Kept(place, entry, None, False) for place, entry in enumerate(found, 1))
    report = watcher.report()
    assert report.untold[0].startswith("the bundle says nothing of rows that it did not learn from")
    assert any(one.column == "x" for one in report.movements)


def test_a_broken_sketch_of_another_program_is_no_reason_to_stop() -> None:
    model = runtime.load(OLD / "bundle")
    rows = [Row({"x": "0.5", "y": "1", "colour": "red"}, 1)] * 600
    found = answering.entries(model, Sketcher.of(model), rows, Path())
    watcher = Watcher(Subject.of(model))
    odd = [Entry(model.serving.hash, sketch={"x.value": "a text", "colour.value": 1.5, "more": {}})]
    watcher.add(Kept(place, entry, None, False) for place, entry in enumerate([*found, *odd], 1))
    assert watcher.report().rows == 601


def test_counts_that_a_row_lacks_are_missing() -> None:
    known = baseline.fitted({"text.tokens": np.array([[1, 0, 2], [0, 1, 0], [3, 0, 0]] * 10)}, 30)
    rows: list[dict[str, Any]] = [{}, {"text.tokens": [1]}, {"text.tokens": None}]
    for part in (rows, rows[:1]):
        bins = known.bins_of(stacked(part, {"text.tokens": "share"}), len(part))
        assert bins.shape == (len(part), 3)


def zeros(rows: int, width: int) -> np.ndarray:
    return np.zeros((rows, width), np.float32)


def sketched(
    inputs: tuple[InputColumn, ...], output: OutputColumn, values: dict[str, list[Any]], outputs: np.ndarray
) -> dict[str, np.ndarray]:
    encoded = encode_rows(inputs, values)
    found = Sketcher(inputs, output, {}).sketches(values, encoded, outputs, output.decode(outputs))
    assert not any(math.isinf(array.max()) for array in found.values() if array.size)
    return found
