"""The baseline: simple rivals on the same rows, measured by the same functions."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_diabetes, load_wine
from tiny_bundle import write_tokenizer

from trimtab import columns
from trimtab.audit.baselines import baselines
from trimtab.audit.linear import side_by_side
from trimtab.data.table import Origin, Table

# Hotel guests and football fans, as they write.
CHINESE = [
    ("房间很大很干净，服务员态度很好，下次还会住这家酒店", "hotel"),
    ("酒店位置不错，早餐丰富，房间隔音差一点", "hotel"),
    ("房间太小，卫生间有味道，前台服务很慢", "hotel"),
    ("球队主场输了比赛，主教练赛后很失望", "football"),
    ("前锋上半场进球，球迷在主场庆祝胜利", "football"),
    ("比赛最后一分钟进球，球队拿到冠军", "football"),
]


def table(values: dict[str, list[Any]], part: slice = slice(None)) -> Table:
    cut = {name: column[part] for name, column in values.items()}
    return Table(cut, [Origin("rows.csv", line) for line in range(len(next(iter(cut.values()))))])


def from_numbers(inputs: np.ndarray, targets: np.ndarray, kind: str) -> tuple[Any, Table, Table, Any]:
    """Columns and two tables of a numeric data set; every second row is a test row."""
    values = {f"feature {place}": inputs[:, place].tolist() for place in range(inputs.shape[1])}
    values["target"] = [str(target) for target in targets]
    train, test = table(values, slice(0, None, 2)), table(values, slice(1, None, 2))
    keys = columns.keys(list(values))
    fitted = [columns.fit("number", name, keys[name], train.values[name], {}) for name in values if name != "target"]
    return fitted, train, test, columns.fit(kind, "target", "target", train.values["target"], {})


def test_tf_idf_beats_the_majority_on_reviews(reviews_csv: Path, tmp_path: Path) -> None:
    with reviews_csv.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    values: dict[str, list[Any]] = {name: [row[name] for row in rows] for name in ("review", "sentiment")}
    cut = len(rows) * 4 // 5
    train, test = table(values, slice(0, cut)), table(values, slice(cut, None))
    tokenizer = write_tokenizer(tmp_path / "tokenizer.json", train.values["review"][:50])
    text = columns.fit("text", "review", "review", train.values["review"], {"tokenizer": str(tokenizer)})
    label = columns.fit("label", "sentiment", "sentiment", train.values["sentiment"], {})
    found = baselines([text], train, test, label, seed=7)
    assert list(found) == ["majority", "tf-idf + logistic regression"]
    most = max(set(train.values["sentiment"]), key=train.values["sentiment"].count)
    assert found["majority"]["accuracy"].value == pytest.approx(np.mean([a == most for a in test.values["sentiment"]]))
    assert found["majority"]["auc"].value == 0.5
    assert found["tf-idf + logistic regression"]["accuracy"].value > found["majority"]["accuracy"].value + 0.05
    assert found == baselines([text], train, test, label, seed=7)


def test_chinese_is_told_apart_by_its_characters(tmp_path: Path) -> None:
    values = {"title": [text for text, _ in CHINESE], "topic": [topic for _, topic in CHINESE]}
    asked = {"title": ["这家酒店的房间不干净", "球队在比赛里进球了"], "topic": ["hotel", "football"]}
    train = table(values)
    tokenizer = write_tokenizer(tmp_path / "tokenizer.json", values["title"])
    text = columns.fit("text", "title", "title", train.values["title"], {"tokenizer": str(tokenizer)})
    label = columns.fit("label", "topic", "topic", train.values["topic"], {})
    found = baselines([text], train, table(asked), label, seed=7)
    assert found["tf-idf + logistic regression"]["accuracy"].value == 1.0


def test_texts_without_a_single_word_leave_the_prior(tmp_path: Path) -> None:
    values = {"text": ["", "!!", "", "..."], "topic": ["a", "b", "b", "b"]}
    tokenizer = write_tokenizer(tmp_path / "tokenizer.json", ["word"])
    text = columns.fit("text", "text", "text", values["text"], {"tokenizer": str(tokenizer)})
    label = columns.fit("label", "topic", "topic", values["topic"], {})
    found = baselines([text], table(values), table(values), label, seed=7)
    assert found["tf-idf + logistic regression"]["accuracy"].value == 0.75


def test_numbers_alone_are_answered_by_logistic_regression() -> None:
    found = baselines(*from_numbers(*load_wine(return_X_y=True), "label"), seed=7)
    assert list(found) == ["majority", "logistic regression", "gradient-boosted trees"]
    assert found["logistic regression"]["accuracy"].value > 0.93


def test_a_number_has_the_mean_and_ridge_as_rivals() -> None:
    found = baselines(*from_numbers(*load_diabetes(return_X_y=True), "number"), seed=7)
    assert list(found) == ["mean", "ridge regression", "gradient-boosted trees"]
    assert found["mean"]["r2"].value == pytest.approx(0.0, abs=0.06)
    assert found["ridge regression"]["r2"].value > 0.4
    assert found["ridge regression"]["mae"].value < found["mean"]["mae"].value


def test_a_category_never_seen_in_training_is_no_error() -> None:
    values = {"shop": ["north", "south"] * 6, "mood": ["good", "bad"] * 6}
    asked = table({"shop": ["north", "west", None], "mood": ["good", "bad", "bad"]})
    train = table(values)
    shop = columns.fit("category", "shop", "shop", train.values["shop"], {"min_count": 1})
    label = columns.fit("label", "mood", "mood", train.values["mood"], {})
    found = baselines([shop], train, asked, label, seed=7)
    assert found["logistic regression"]["recall.good"].value == 1.0


def test_a_text_beside_numbers_and_categories_has_a_floor() -> None:
    """Stacked sparse features keep the narrow indices that the solvers ask for, whatever was stacked."""
    wide = sparse.csr_array(np.eye(4))
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    joined = side_by_side([wide, np.ones((4, 2))])
    assert joined.indices.dtype == joined.indptr.dtype == np.int32
    assert joined.toarray().sum() == 12
