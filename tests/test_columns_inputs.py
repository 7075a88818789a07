"""Text, numbers and categories as the network takes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from tiny_bundle import ROWS, write_tokenizer

from trimtab import columns
from trimtab.columns.category import MISSING, OTHER
from trimtab.columns.number import fence
from trimtab.errors import TrimtabError

TEXTS = [row["review"] for row in ROWS]
STRANGE = [
    None,
    "",
    "NA",
    float("nan"),
    float("inf"),
    True,
    -1,
    10**400,
    [1, {"a": None}],
    {"b": 2},
    "\ud800x",
    "x" * 100_000,
]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tokenizer(tmp_path_factory.mktemp("tokenizer") / "tokenizer.json", TEXTS))


def restored(column: Any, folder: Path) -> Any:
    folder.mkdir(exist_ok=True)
    column.save(folder)
    return columns.restore(folder, json.loads((folder / f"{column.key}.json").read_text()))


def fitted(tokenizer: str) -> list[Any]:
    numbers = ["1,5", "2,5", "", "1000,0", "3", "4"]
    return [
        columns.fit("text", "Review text", "review_text", TEXTS, {"tokenizer": tokenizer}),
        *(
            columns.fit("number", "n", f"n_{scale}", numbers, {"scale": scale, "bins": 4})
            for scale in ("auto", "standard", "log", "quantile", "none")
        ),
        columns.fit("category", "c", "c", ["a", "b", "a", None, "b", "rare"], {}),
        columns.fit("category", "d", "d", ["a", "b", "a", None, "b"], {"missing": "mode"}),
    ]


def test_a_saved_column_comes_back_equal_and_encodes_the_same(tokenizer: str, tmp_path: Path) -> None:
    for column in fitted(tokenizer):
        again = restored(column, tmp_path)
        assert again == column
        rows = np.arange(len(STRANGE))
        first, second = column.batch(column.encode(STRANGE), rows), again.batch(again.encode(STRANGE), rows)
        assert first.keys() == second.keys()
        assert all(np.array_equal(first[name], second[name]) for name in first)


def test_files_of_columns_are_json_only_and_the_same_each_time(tokenizer: str, tmp_path: Path) -> None:
    for folder in (tmp_path / "a", tmp_path / "b"):
        for column in fitted(tokenizer):
            restored(column, folder)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert len(files) == 9
    assert all(json.loads((tmp_path / "a" / name).read_text()) is not None for name in files)
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in files)


def test_no_value_is_too_strange_to_be_encoded(tokenizer: str) -> None:
    for column in fitted(tokenizer):
        tensors = column.batch(column.encode(STRANGE), np.arange(len(STRANGE)))
        assert all(len(tensor) == len(STRANGE) and np.isfinite(tensor).all() for tensor in tensors.values())
        assert (column.steps(column.encode(STRANGE)) >= 1).all()
        assert all(len(tensor) == 0 for tensor in column.batch(column.encode([]), np.arange(0)).values())


# ---------------------------------------------------------------------------------------------------------- text


def test_a_row_of_text_is_the_same_alone_and_among_longer_ones(tokenizer: str) -> None:
    column = columns.fit("text", "t", "t", TEXTS, {"tokenizer": tokenizer})
    together = column.batch(column.encode(TEXTS), np.arange(len(TEXTS)))
    for row, text in enumerate(TEXTS):
        alone = column.batch(column.encode([text]), np.array([0]))
        length = alone["t_ids"].shape[1]
        assert np.array_equal(together["t_ids"][row, :length], alone["t_ids"][0])
        assert together["t_mask"][row].sum() == length
        assert (together["t_ids"][row, length:] == column.pad_id).all()


def test_cut_text_keeps_its_special_tokens(tokenizer: str) -> None:
    column = columns.fit("text", "t", "t", TEXTS, {"tokenizer": tokenizer, "max_tokens": 5})
    ids = column.batch(column.encode(["warm " * 50]), np.array([0]))["t_ids"][0]
    assert (len(ids), ids[0], ids[-1]) == (5, 2, 3)


def test_the_length_covers_the_training_rows_in_steps_of_eight(tokenizer: str) -> None:
    column = columns.fit("text", "t", "t", [*["warm"] * 999, "funny " * 300], {"tokenizer": tokenizer})
    assert column.max_tokens == 8
    assert columns.fit("text", "t", "t", ["funny " * 9999], {"tokenizer": tokenizer}).max_tokens == 512
    assert columns.fit("text", "t", "t", ["funny " * 9999], {"tokenizer": tokenizer, "limit": 64}).max_tokens == 64


def test_a_text_without_tokens_still_has_one_step(tmp_path: Path, tokenizer: str) -> None:
    definition = json.loads(Path(tokenizer).read_text()) | {"post_processor": None}
    (tmp_path / "bare.json").write_text(json.dumps(definition))
    column = columns.fit("text", "t", "t", TEXTS, {"tokenizer": str(tmp_path / "bare.json")})
    tensors = column.batch(column.encode(["", "warm"]), np.array([0, 1]))
    assert tensors["t_mask"].sum(axis=1).tolist() == [1, 1]


# -------------------------------------------------------------------------------------------------------- number


def test_real_measurements_are_centered_and_of_unit_spread() -> None:
    data = load_breast_cancer()
    for place, name in enumerate(data.feature_names):
        values = [f"{value}" for value in data.data[:, place]]
        for scale in ("auto", "standard", "log", "quantile"):
            encoded = columns.fit("number", str(name), "x", values, {"scale": scale}).encode(values)[:, 0]
            assert abs(encoded.mean()) < 0.05
            assert 0.8 < encoded.std() < 1.2


def test_only_a_skewed_column_is_put_on_a_log_scale() -> None:
    rng = np.random.default_rng(0)
    assert columns.fit("number", "n", "n", rng.normal(size=500).tolist(), {}).scale == "standard"
    assert columns.fit("number", "n", "n", rng.lognormal(sigma=2, size=500).tolist(), {}).scale == "log"


def test_a_missing_number_is_filled_as_asked_and_marked() -> None:
    values = ["1", "2", "2", "7", None]
    asked = {"mean": 3.0, "median": 2.0, "mode": 2.0, "constant": 5.0}
    for missing, fill in asked.items():
        options = {"missing": missing, "outliers": "keep", "scale": "none"} | (
            {"fill": "5"} if missing == "constant" else {}
        )
        column = columns.fit("number", "n", "n", values, options)
        assert column.encode([None, "what?", "7"]).tolist() == [[fill, 1.0], [fill, 1.0], [7.0, 0.0]]


def test_a_column_that_was_always_there_has_no_mark_for_missing() -> None:
    column = columns.fit("number", "n", "n", ["1", "2"], {"scale": "none", "outliers": "keep"})
    assert column.encode([None]).shape == (1, column.features) == (1, 1)


def test_outliers_are_moved_to_the_fences() -> None:
    numbers = np.append(np.arange(100.0), 1e6)
    assert fence(numbers, "keep") is None
    assert fence(numbers, "iqr") == fence(numbers, "drop") == (25 - 150, 75 + 150)
    assert fence(np.array([0.0] * 99 + [5.0]), "iqr") is None
    column = columns.fit("number", "n", "n", numbers.tolist(), {"outliers": "iqr", "scale": "none"})
    assert column.encode([1e9, -1e9, 50])[:, 0].tolist() == [225.0, -125.0, 50.0]


def test_bins_fill_up_one_after_the_other() -> None:
    values = list(range(101))
    column = columns.fit("number", "n", "n", values, {"bins": 4, "outliers": "keep", "scale": "none"})
    assert column.edges == (0, 25, 50, 75, 100)
    assert column.encode([0, 30, 999])[:, 1:].tolist() == [[0, 0, 0, 0], [1, pytest.approx(0.2), 0, 0], [1, 1, 1, 1]]


# ------------------------------------------------------------------------------------------------------ category


def test_rare_unseen_and_missing_categories_have_their_own_places() -> None:
    column = columns.fit("category", "c", "c", ["a", "b", "a", None, "b", "rare"], {})
    assert column.categories == ("a", "b")
    assert column.size == 4
    assert column.encode(["a", "b", "rare", "new", None, "NA"]).tolist() == [2, 3, OTHER, OTHER, MISSING, MISSING]


def test_a_csv_cell_and_a_json_value_are_the_same_category() -> None:
    column = columns.fit("category", "c", "c", ["1", "1", "true", "true", "2.0", "2"], {})
    assert column.encode([1, 1.0, True, 2, "TRUE"]).tolist() == column.encode(["1", "1", "true", "2", "true"]).tolist()


def test_case_decides_only_where_it_was_seen_to() -> None:
    column = columns.fit("category", "c", "c", ["US", "us", "US", "us", "Fr", "Fr"], {})
    us_upper, us_lower, france, unclear = column.encode(["US", "us", "FR", "Us"])
    assert us_upper != us_lower
    assert france == column.encode(["Fr"])[0]
    assert unclear == OTHER


def test_the_most_frequent_categories_are_kept() -> None:
    column = columns.fit("category", "c", "c", list("aabbbccccd"), {"max_values": 2, "min_count": 1})
    assert column.categories == ("b", "c")


# -------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("kind", "values", "options", "said"),
    [
        ("txt", TEXTS, {}, "no column type named 'txt'.*did you mean 'text'"),
        ("parse", TEXTS, {}, "no column type named 'parse'\n  allowed: (?!.*parse).*category.*text"),
        ("text", TEXTS, {"tokenizer": "/none.json"}, "no such file: /none.json"),
        ("number", ["1", "2"], {"skale": "log"}, "no option named 'skale'.*did you mean 'scale'"),
        ("number", ["1", "2"], {"missing": "drop"}, "missing: found 'drop'.*mean, median, mode"),
        ("number", ["1", "2"], {"missing": "constant", "fill": "x"}, "fill: found 'x'.*a number"),
        ("number", ["1", "2"], {"skale": "log", "bins": -1}, "2 problems.*skale.*bins"),
        ("number", ["a", "b", "3"], {}, "2 of 3 values are not numbers, such as 'a'"),
        ("number", [None, "NA"], {}, "no training row has a value"),
        ("category", ["", None], {}, "no training row has a value"),
        ("category", ["a"], {"missing": "constant"}, "fill: found None"),
        ("label", ["a", "a", None], {}, "all training rows are 'a'.*at least two classes"),
        ("label", ["a", "c"], {"classes": ["a", "b"]}, "training rows hold 'c'"),
    ],
)
def test_a_column_that_cannot_be_fitted_says_why(
    kind: str, values: list[Any], options: dict[str, Any], said: str
) -> None:
    with pytest.raises(TrimtabError, match=f"(?s)column 'c'.*{said}|{said}"):
        columns.fit(kind, "c", "c", values, options)


def test_a_length_without_room_for_text_is_refused(tokenizer: str) -> None:
    for most in (2, 513):
        with pytest.raises(TrimtabError, match=f"max_tokens: found {most}\n  allowed: 3 to 512"):
            columns.fit("text", "t", "t", TEXTS, {"tokenizer": tokenizer, "max_tokens": most})
