"""Which rows train, which choose the checkpoint, which are measured on: decided by what a row says, never by its place.

The rows of each class are put in the order of the hash of their folded inputs; the first of them become the test rows,
the next the validation rows. So the shares are exact for every class, and a row's split does not depend on the order of
the file, on the seed or on the machine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from trimtab.data.infer import SPLIT_MARKS
from trimtab.errors import problem
from trimtab.spec import Fractions
from trimtab.values import parse

Part = Literal["train", "valid", "test"]
SMALLEST = 5  # rows of a class from which it is cut; a smaller class is only trained on


@dataclass(frozen=True)
class Cut:
    """The split of each row, and how it came about."""

    parts: list[Part]
    how: str
    automatic: str | None  # the reason, where the user's marks left a choice


def marks(values: Sequence[Any]) -> list[Part | None]:
    """The split that each cell names; None for a cell that names none."""
    return [SPLIT_MARKS.get(parse.label(value).casefold()) for value in values]  # type: ignore[misc]


def check_marks(name: str, found: Sequence[Part | None], values: Sequence[Any]) -> None:
    """Raises TrimtabError when a split column marks no row for training."""
    if "train" not in found:
        seen = ", ".join(value or "(empty)" for value in sorted({parse.label(value) for value in values})[:10])
        raise problem(f"split: {name}", f"no row is marked train; found {seen}", ", ".join(SPLIT_MARKS))


def cut(given: Sequence[Part | None], keys: Sequence[bytes], classes: Sequence[str], shares: Fractions) -> Cut:
    """The split of each row: the one that was given, and where one is lacking a part of another, cut by hash.

    `given` is None for rows that no file or column marks. `classes` are what the cut keeps in proportion.
    """
    parts: list[Part] = [part or "train" for part in given]
    present = set(parts)
    for case in _CASES:
        if case.present == present:
            moves = case.moves(shares)
            _move(parts, keys, classes, moves)
            how = case.how.format(**shares.model_dump())
            if any(move.target not in parts for move in moves):  # no class is large enough to be cut
                parts = [part or "train" for part in given]
                _move(parts, keys, [""] * len(keys), moves)
                _keep_learnt(parts, given, keys, classes)
                how = f"{how}; the classes are too small to be cut one by one, so rows are cut as a whole"
            return Cut(parts, how, case.automatic)
    raise AssertionError(f"no case for {present}")


@dataclass(frozen=True)
class _Move:
    """Take a share of the rows of one split and make them another; a class gives none when it has less than `least`."""

    source: Part
    target: Part
    share: float
    least: int = SMALLEST


@dataclass(frozen=True)
class _Case:
    """Which splits are there already, and what is moved to get all three."""

    present: set[Part]
    moves: Callable[[Fractions], list[_Move]]
    how: str
    automatic: str | None


_CASES = (
    _Case(
        {"train"},
        lambda s: [_Move("train", "test", s.test), _Move("train", "valid", s.valid / (1 - s.test), SMALLEST - 1)],
        "by content hash, valid {valid:g} and test {test:g}, the same shares of every class",
        None,
    ),
    _Case(
        {"train", "valid"},
        lambda s: [_Move("valid", "test", 0.5, 2)],
        "train and valid as given; half of the valid rows, by content hash, are the test rows",
        "no row is marked test: half of the valid rows, by content hash, are kept back to measure on",
    ),
    _Case(
        {"train", "test"},
        lambda s: [_Move("train", "valid", s.valid)],
        "train and test as given; valid {valid:g} of the train rows, by content hash",
        "no row is marked valid: some of the train rows, by content hash, choose the checkpoint",
    ),
    _Case({"train", "valid", "test"}, lambda s: [], "train, valid and test as given", None),
)


def _move(parts: list[Part], keys: Sequence[bytes], classes: Sequence[str], moves: Sequence[_Move]) -> None:
    for move in moves:
        rows = [row for row, part in enumerate(parts) if part == move.source]
        for row in chosen(rows, keys, classes, move.share, move.least):
            parts[row] = move.target


def _keep_learnt(
    parts: list[Part], given: Sequence[Part | None], keys: Sequence[bytes], classes: Sequence[str]
) -> None:
    """Give rows back to training whose class would have no row there, with those that equal them."""
    learnt = {name for name, part in zip(classes, parts, strict=True) if part == "train"}
    back: set[bytes] = set()
    for row, part in enumerate(parts):
        if part != "train" and given[row] is None and classes[row] not in learnt:
            back.add(keys[row])
            learnt.add(classes[row])
    for row, key in enumerate(keys):
        if key in back and given[row] is None:
            parts[row] = "train"


def chosen(
    rows: Sequence[int], keys: Sequence[bytes], classes: Sequence[str], share: float, least: int = SMALLEST
) -> list[int]:
    """A share of the rows of every class, those with the smallest hashes; equal rows always go together.

    A class of at least `least` rows gives one or more, a smaller one none.
    """
    members: dict[bytes, list[int]] = {}
    for row in rows:
        members.setdefault(keys[row], []).append(row)
    strata: dict[str, list[bytes]] = {}
    for key in sorted(members):
        strata.setdefault(_most_frequent([classes[row] for row in members[key]]), []).append(key)
    found: list[int] = []
    for stratum in strata.values():
        found += _first(stratum, members, share, least)
    return found


def _most_frequent(answers: Sequence[str]) -> str:
    """The most frequent answer, the first by name on a tie: the order of rows does not matter."""
    if len(answers) == 1:
        return answers[0]
    counts = Counter(answers)
    return min(counts, key=lambda answer: (-counts[answer], answer))


def _first(stratum: Sequence[bytes], members: dict[bytes, list[int]], share: float, least: int) -> list[int]:
    rows = sum(len(members[key]) for key in stratum)
    wanted = max(1, int(rows * share + 0.5)) if rows >= least else 0
    found: list[int] = []
    for key in stratum:
        if len(found) + len(members[key]) / 2 <= wanted:
            found += members[key]
    return found


def leaked(parts: Sequence[Part], keys: Sequence[bytes]) -> list[int]:
    """Rows to leave out because an equal row is measured on: of train against valid and test, of valid against test."""
    test = {key for key, part in zip(keys, parts, strict=True) if part == "test"}
    held = test | {key for key, part in zip(keys, parts, strict=True) if part == "valid"}
    against: dict[Part, set[bytes]] = {"train": held, "valid": test, "test": set()}
    return [row for row, part in enumerate(parts) if keys[row] in against[part]]
