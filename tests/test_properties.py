"""What holds for every input, not only for those that someone thought of: properties, tried on inputs that are drawn.

The draws are the same in every run (`derandomize`), so that a test that passes here passes everywhere.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_bundle import ROWS, write_tokenizer

from trimtab import columns, spec
from trimtab.columns import Ragged
from trimtab.data import split, splits
from trimtab.data.splits import NONE, PARTS, Unsplit
from trimtab.errors import TrimtabError
from trimtab.metrics import every, named
from trimtab.spec import UNITS, Split

few = settings(max_examples=60, derandomize=True, deadline=None, database=None)

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**400), 10**400)
    | st.floats()
    | st.text()
    | st.binary(max_size=40)
    | st.dates()
    | st.datetimes()
)
cells = st.recursive(
    scalars, lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(), below, max_size=3), max_leaves=6
)


# ------------------------------------------------------------------------------------------------------- splits


def numbers(keys: list[bytes]) -> np.ndarray:
    return np.array([int.from_bytes(key[:8], "big") for key in keys], np.uint64)


def cut(given: list[Any], keys: list[bytes], classes: list[str], valid: float, test: float) -> list[str]:
    """The part of each row by its name, cut as a spec with these shares says."""
    marks = np.array([NONE if part is None else PARTS.index(part) for part in given], np.int8)
    shares = Split(valid=valid, test=test)
    rows = Unsplit(numbers(keys), np.array(classes), True, {})
    return [PARTS[part] for part in split.cut(marks, rows, splits.strategy(shares), shares).parts]


SHARE = st.floats(0.02, 0.44)
MARKS = st.sampled_from([None, None, None, "train", "valid", "test"])


@few
@given(st.lists(st.tuples(st.binary(max_size=2), st.sampled_from("abc"), MARKS), min_size=1, max_size=60), SHARE, SHARE)
def test_every_row_gets_one_split_and_equal_rows_the_same(rows: list[Any], valid: float, test: float) -> None:
    keys = [hashlib.sha256(key).digest() for key, _, _ in rows]
    parts = cut([None] * len(rows), keys, [kind for _, kind, _ in rows], valid, test)
    assert len(parts) == len(rows)
    assert set(parts) <= {"train", "valid", "test"}
    assert len(set(zip(keys, parts, strict=True))) == len(set(keys))


@few
@given(st.lists(st.tuples(st.binary(max_size=3), st.sampled_from("abc"), MARKS), min_size=1, max_size=60), SHARE, SHARE)
def test_what_is_marked_stays_where_a_test_part_is_given(rows: list[Any], valid: float, test: float) -> None:
    given_parts = ["test", "train", *(mark for _, _, mark in rows)]
    keys = [hashlib.sha256(key).digest() for key in (b"first", b"second", *(key for key, _, _ in rows))]
    kinds = ["a", "a", *(kind for _, kind, _ in rows)]
    parts = cut(given_parts, keys, kinds, valid, test)
    assert [part == "test" for part in parts] == [mark == "test" for mark in given_parts]
    leaked = split.leaked(np.array([PARTS.index(part) for part in parts]), numbers(keys))
    left = set(np.flatnonzero(~leaked).tolist())
    where = {part: {keys[row] for row in left if parts[row] == part} for part in ("train", "valid", "test")}
    assert not where["train"] & where["valid"]
    assert not (where["train"] | where["valid"]) & where["test"]


@few
@given(st.integers(100, 2000), st.integers(1, 4), SHARE, SHARE, st.integers(0, 2**32))
def test_shares_are_near_what_was_asked_for(count: int, kinds: int, valid: float, test: float, seed: int) -> None:
    keys = [hashlib.sha256(f"{seed}:{row}".encode()).digest() for row in range(count)]
    classes = [str(row % kinds) for row in range(count)]
    parts = cut([None] * count, keys, classes, valid, test)
    for part, share in (("valid", valid), ("test", test)):
        spread = math.sqrt(count * share * (1 - share))
        assert abs(parts.count(part) - count * share) <= 5 * spread + kinds


# ------------------------------------------------------------------------------------------------------ columns


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """A fitted column of every type of input that needs no extra."""
    texts = [row["review"] for row in ROWS]
    tokenizer = write_tokenizer(tmp_path_factory.mktemp("tokenizer") / "tokenizer.json", texts)
    numbers = ["1,5", "2,5", "", "1000,0", "3", "4"]
    scales = ("auto", "standard", "log", "quantile", "none")
    lists = [["a", "b"], ["b"], ["a", "c", "b"], []]
    return [
        columns.fit("text", "t", "t", texts, {"tokenizer": str(tokenizer)}),
        columns.fit("text", "w", "w", [text.split() for text in texts], {"words": True}),
        *(columns.fit("number", "n", f"n_{scale}", numbers, {"scale": scale, "bins": 4}) for scale in scales),
        columns.fit("category", "c", "c", ["a", "b", "a", None, "b", "rare"], {}),
        columns.fit("category", "m", "m", ["a", "b", "a", None, "b"], {"missing": "mode"}),
        columns.fit("history", "h", "h", lists, {}),
    ]


@settings(few, max_examples=150)
@given(values=st.lists(cells, max_size=5))
def test_every_value_is_encoded(inputs: list[Any], values: list[Any]) -> None:
    for column in inputs:
        encoded = column.encode(values)
        tensors = column.batch(encoded, np.arange(len(values)))
        assert all(len(tensor) == len(values) and np.isfinite(tensor).all() for tensor in tensors.values())
        assert len(column.steps(encoded)) == len(values)
        assert (column.steps(encoded) >= 1).all()


OUTPUTS = {
    "label": columns.fit("label", "y", "y", ["a", "b", "c"], {}),
    "labels": columns.fit("labels", "y", "y", ["a|b", "b|c", "c"], {}),
    "number": columns.fit("number", "y", "y", ["1", "2.5", "40"], {}),
    "numbers": columns.fit("numbers", "y", "y", ["1|2|3", "2|3|9"], {}),
    "ordinal": columns.fit("ordinal", "y", "y", ["1", "2", "3"], {}),
    "ranking": columns.fit("ranking", "y", "y", ["a", "b", "c"], {}),
}
FLOATS = st.floats(width=32) | st.sampled_from([float("nan"), float("inf"), -float("inf"), 3e38, -3e38, 0.0])


def finite(answer: Any) -> bool:
    """Whether no number in an answer is NaN or infinite."""
    try:
        json.dumps(answer, allow_nan=False)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("kind", OUTPUTS)
@few
@given(data=st.data())
def test_every_output_of_a_network_is_answered(kind: str, data: st.DataObject) -> None:
    column = OUTPUTS[kind]
    width = column.width
    rows = data.draw(st.lists(st.lists(FLOATS, min_size=width, max_size=width), max_size=4))
    outputs = np.array(rows, np.float32).reshape(len(rows), width)
    for top in (1, 2):
        answers = column.decode(outputs, top)
        assert all(len(values) == len(rows) for values in answers.values())
        assert all(set(np.ravel(value)) <= set(column.classes) for value in answers["y"] if column.classes)
        assert finite(answers)


@few
@given(st.data())
def test_every_output_of_a_network_for_tags_is_answered(data: st.DataObject) -> None:
    column = columns.fit("tags", "y", "y", [["O", "B-place", "I-place"], ["B-person", "O"]], {})
    lengths = data.draw(st.lists(st.integers(0, 5), max_size=4))
    total = sum(lengths)
    rows = st.lists(st.lists(FLOATS, min_size=column.width, max_size=column.width), min_size=total, max_size=total)
    values = np.array(data.draw(rows), np.float32).reshape(total, column.width)
    answers = column.decode(Ragged(values, np.cumsum([0, *lengths])))
    assert [len(tags) for tags in answers["y"]] == lengths
    assert finite(answers)


@settings(few, max_examples=200)
@given(st.lists(st.text() | st.sampled_from(["a", "A", "a ", "a_1", "column_0", "", "ä", "1"]), unique=True))
def test_every_column_gets_a_key_of_its_own(names: list[str]) -> None:
    keys = columns.keys(names)
    assert list(keys) == names
    assert len(set(keys.values())) == len(names)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", key) for key in keys.values())


# --------------------------------------------------------------------------------------------------------- spec

KEYS = [
    *spec.Spec.model_fields, *spec.Train.model_fields, *spec.Clean.model_fields, *spec.Compress.model_fields,
    *every(), "recall.a", "r2.", "type", "encoder", "name", "valid", "str", "Typed", "Compress", "dict[str,any]",
]  # fmt: skip
WORDS = st.sampled_from(["text", "label", "auto", "none", ">= 0.9", "<= 10 MB", "a.csv", "sentiment", "", "..", "a/b"])
plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | WORDS | st.dates()
values_of_yaml = st.recursive(
    plain,
    lambda below: (
        st.lists(below, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5) | st.integers() | st.none(), below, max_size=4)
    ),
    max_leaves=8,
)


@settings(few, max_examples=120)
@given(st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5) | st.integers() | st.none(), values_of_yaml))
def test_a_spec_is_taken_or_refused_with_a_message(values: dict[Any, Any]) -> None:
    for given_values in (values, {"data": "a.csv", "output": "y"} | values):
        with contextlib.suppress(TrimtabError):
            assert isinstance(spec.parse(given_values), spec.Spec)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("spec") / "trimtab.yaml"


LINES = st.sampled_from(
    ["data: a.csv", "output: y", "train: &t {epochs: 1}", "clean: *t", "gates:", "  accuracy: 1", "- a"]
)


@settings(few, max_examples=200)
@given(text=st.text() | st.lists(LINES | st.text(max_size=12), max_size=6).map("\n".join))
def test_a_file_is_read_or_refused_with_a_message(file: Path, text: str) -> None:
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    with contextlib.suppress(TrimtabError):
        assert isinstance(spec.read(file), spec.Spec)


@settings(few, max_examples=200)
@given(setting=st.text(max_size=12) | st.tuples(st.sampled_from(KEYS), st.text(max_size=8)).map("=".join))
def test_a_setting_is_taken_or_refused_with_a_message(setting: str) -> None:
    with contextlib.suppress(TrimtabError):
        assert isinstance(spec.parse(spec.override({"data": "a.csv", "output": "y"}, [setting])), spec.Spec)


# -------------------------------------------------------------------------------------------------------- gates


@settings(few, max_examples=200)
@given(data=st.data())
def test_a_gate_means_what_it_says(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([metric.default for metric in every().values() if metric.gate and metric.whole]))
    metric = named(name)
    unit = data.draw(st.sampled_from(list(UNITS[metric.unit])))
    bound = data.draw(st.floats(0, 1) if metric.share else st.floats(0, 1e6))
    operator = data.draw(st.sampled_from([">", ">="] if metric.higher_is_better else ["<", "<="]))
    space = data.draw(st.sampled_from(["", " ", "  "]))
    gate = spec.parse_gate(name, f"{space}{operator}{space}{bound!r}{space}{unit}{space}")
    assert gate.bound == pytest.approx(bound * UNITS[metric.unit][unit])
    assert gate.met(gate.bound) == (len(operator) == 2)
    assert not gate.met(math.nan)
    again = spec.parse_gate(name, str(gate))
    assert again.bound == pytest.approx(gate.bound, rel=1e-5)


@settings(few, max_examples=200)
@given(st.text(max_size=10) | st.sampled_from(KEYS), st.text(max_size=12))
def test_a_gate_is_taken_or_refused_with_a_message(name: str, text: str) -> None:
    with contextlib.suppress(TrimtabError):
        assert math.isfinite(spec.parse_gate(name, text).bound)
