"""MovieLens-100k, split, for every contestant: `python -m benchmarks.movielens FOLDER`."""

from __future__ import annotations

import csv
import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from trimtab.data.samples.recbole import records

LIKED = 4  # a rating from here on is a click
PARTS = {0: "test", 1: "valid"}  # of ten; the other eight are for training

Table = list[dict[str, str]]


@dataclass(frozen=True)
class Event:
    """One rating; `time` in seconds since 1970."""

    user: str
    item: str
    rating: int
    time: int


def write(folder: Path) -> dict[str, int]:
    """Write events.csv, users.csv, items.csv and clicks.csv; the rows of each."""
    tables = {"events": events(), "users": users(), "items": items(), "clicks": clicks()}
    for name, table in tables.items():
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            sink = csv.DictWriter(file, list(table[0]), lineterminator="\n")
            sink.writeheader()
            sink.writerows(table)
    return {name: len(table) for name, table in tables.items()}


def events() -> Table:
    """user, item, rating, time, split: user by user, each user's events from the first to the last."""
    ordered = in_order(_events())
    return [
        {"user": event.user, "item": event.item, "rating": str(event.rating), "time": str(event.time), "split": split}
        for event, split in zip(ordered, leave_one_out([event.user for event in ordered]), strict=True)
    ]


def users() -> Table:
    """user, age, gender, occupation."""
    return [
        {"user": row["user_id"], **{name: row[name] for name in ("age", "gender", "occupation")}}
        for row in records("user")
    ]


def items() -> Table:
    """item, title, year, genres (separated by blanks)."""
    return [
        {"item": row["item_id"], "title": row["movie_title"], "year": row["release_year"], "genres": row["class"]}
        for row in records("item")
    ]


def clicks() -> Table:
    """label (1: rated 4 or 5), user, item, gender, age, occupation, hour and weekday (UTC, Monday is 0), split."""
    about = {row["user"]: row for row in users()}
    return [
        {
            "label": str(int(event.rating >= LIKED)),
            "user": event.user,
            "item": event.item,
            **{name: about[event.user][name] for name in ("gender", "age", "occupation")},
            **_clock(event.time),
            "split": part(event.user, event.item),
        }
        for event in _events()
    ]


def in_order(found: Sequence[Event]) -> list[Event]:
    """By user (as a number), then time; events of one user at one second stay in the order of the file."""
    return sorted(found, key=lambda event: (int(event.user), event.time))


def leave_one_out(ordered: Sequence[str]) -> list[str]:
    """The split of each event, given the users of events in order: a user's last is test, the one before it valid."""
    after = [*ordered[1:], "", ""]
    return [
        "test" if user != after[row] else "valid" if user != after[row + 1] else "train"
        for row, user in enumerate(ordered)
    ]


def part(user: str, item: str) -> str:
    """The split of a click, 80 / 10 / 10: by the first four bytes of sha256 of `user,item`, which no two rows share."""
    digest = hashlib.sha256(f"{user},{item}".encode()).digest()
    return PARTS.get(int.from_bytes(digest[:4], "big") % 10, "train")


def _clock(time: int) -> dict[str, str]:
    moment = datetime.fromtimestamp(time, UTC)
    return {"hour": str(moment.hour), "weekday": str(moment.weekday())}


def _events() -> list[Event]:
    """As the file has them: in no order."""
    return [
        Event(row["user_id"], row["item_id"], int(row["rating"]), int(row["timestamp"])) for row in records("inter")
    ]


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    sys.stdout.write(f"{write(target)}\n")
