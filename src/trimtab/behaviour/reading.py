"""Files of tests of one's own: YAML or JSON with a list of tests, or a table with a case in each row."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import yaml

from trimtab import rows
from trimtab.behaviour import ALL, WORST, Kind, OwnTest, Row
from trimtab.errors import nearest, problem
from trimtab.values import parse

_KINDS = ("expect", "agree", "up", "down")
_KEYS = (*_KINDS, "test", "capability", "tolerance", "rows", "groups", "template", "fill")
_TABLE = ("test", "expect", "group", "must", "tolerance", "capability")  # columns of a table that are no inputs
_MOST_CASES = 20_000  # that a template makes
_HOLE = re.compile(r"\{(\w+)\}")
_EXAMPLE = "- {test: negation, expect: negative, rows: [The food is not good.]}"


def read(paths: Sequence[str | Path], folder: Path = Path()) -> tuple[OwnTest, ...]:
    """The tests of some files, relative to `folder`.

    Raises TrimtabError for what is no test, and for a name that two of them have.
    """
    found = [test for path in paths for test in _tests(str(path), folder / path)]
    seen: dict[str, str] = {}
    for test in found:
        if test.name in (ALL, WORST):
            raise problem(test.where, f"a test is called {test.name!r}, as all tests together are")
        if test.name in seen:
            raise problem(test.where, f"another test is called {test.name!r}: {seen[test.name]}")
        seen[test.name] = test.where
    return tuple(found)


def _tests(name: str, path: Path) -> Iterator[OwnTest]:
    if not path.is_file():
        raise problem("behaviour", f"no file {name}")
    if path.suffix.lower() in (".yaml", ".yml", ".json"):
        return _listed(name, path)
    return _of_table(name, path)


# ----------------------------------------------------------------------------------------------------------- yaml


def _listed(name: str, path: Path) -> Iterator[OwnTest]:
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise problem(name, f"cannot be read ({error})"[:400], f"a list of tests: {_EXAMPLE}") from None
    given = loaded.get("tests") if isinstance(loaded, Mapping) and set(loaded) == {"tests"} else loaded
    if not isinstance(given, list) or not given:
        raise problem(name, "no list of tests", _EXAMPLE)
    return (_test(one, f"{name}: test {number}") for number, one in enumerate(given, 1))


def _test(given: Any, where: str) -> OwnTest:
    if not isinstance(given, Mapping):
        raise problem(where, f"found {given!r:.80}", _EXAMPLE)
    for key in given:
        if key not in _KEYS:
            raise problem(where, f"no key {key!r}", nearest(str(key), _KEYS))
    kinds = [kind for kind in _KINDS if kind in given]
    if len(kinds) != 1:
        raise problem(where, f"{' and '.join(kinds) or 'nothing'} is to hold", f"one of {', '.join(_KINDS)}")
    title = parse.label(given.get("test") or where.rpartition(": ")[2])
    where = f"{where} ({title})" if "test" in given else where
    kind, of = cast(Kind, kinds[0]), given[kinds[0]]
    if kind == "expect":
        _check_expected(of, where)
    if kind == "agree" and of is not True:
        raise problem(where, f"agree: {of!r}", "agree: true")
    cases = tuple(_cases(given, kind, where))
    of = None if kind in ("up", "down") and of is True else of
    return OwnTest(title, kind, of, cases, _tolerance(given, where), where, parse.label(given.get("capability") or ""))


def _check_expected(of: Any, where: str) -> None:
    allowed = ("not", "at least", "at most", "between")
    if of is None or (isinstance(of, Mapping) and (len(of) != 1 or next(iter(of)) not in allowed)):
        said = "an answer, a list of answers of which any will do, {not: answer}, {at least: 3}, {between: [3, 5]}"
        raise problem(where, f"expect: {of!r:.80}", said)


def _tolerance(given: Row, where: str) -> float:
    tolerance = given.get("tolerance", 0)
    if isinstance(tolerance, bool) or not isinstance(tolerance, (int, float)) or not 0 <= tolerance < math.inf:
        raise problem(where, f"tolerance: {tolerance!r}", "a number, 0 or more")
    return float(tolerance)


def _cases(given: Row, kind: Kind, where: str) -> Iterator[tuple[Row | str, ...]]:
    """Each case: a row, or the rows of a group."""
    single = kind == "expect"
    if "template" in given:
        made = list(_filled(given["template"], given.get("fill", {}), where))
    else:
        made = _list_of(given, "rows" if single else "groups", where)
    for case in made:
        group = case if isinstance(case, list) else [case]
        if len(group) != 1 if single else len(group) < 2:
            raise problem(where, f"found {case!r:.80}", "one row" if single else "a list of rows, the original first")
        for row in group:
            named = isinstance(row, Mapping) and row and all(isinstance(key, str) for key in row)
            if not (named or isinstance(row, str)):
                raise problem(where, f"found {row!r:.80}", "a text in quotes, or a mapping from inputs to values")
        yield tuple(group)


def _list_of(given: Row, key: str, where: str) -> list[Any]:
    found = given.get(key)
    if not isinstance(found, list) or not found:
        raise problem(where, f"no {key}", f"{key}: a list of {'rows' if key == 'rows' else 'lists of rows'}")
    return found


def _filled(template: Any, fill: Any, where: str) -> Iterator[Any]:
    """A template with every combination of words in its holes; `{thing}` is a hole."""
    if not isinstance(fill, Mapping) or not all(isinstance(words, list) and words for words in fill.values()):
        raise problem(where, f"fill: {fill!r:.80}", "for each {hole} of the template a list of words")
    holes = list(dict.fromkeys(_HOLE.findall(str(template))))
    for hole in holes:
        if hole not in fill:
            raise problem(where, f"nothing to fill {{{hole}}} with", nearest(hole, fill))
    count = math.prod(len(fill[hole]) for hole in holes)
    if count > _MOST_CASES:
        raise problem(where, f"{count:,} combinations", f"at most {_MOST_CASES:,}")
    for words in itertools.product(*(fill[hole] for hole in holes)):
        yield _with(template, dict(zip(holes, map(parse.label, words), strict=True)))


def _with(template: Any, words: Mapping[str, str]) -> Any:
    if isinstance(template, str):
        return _HOLE.sub(lambda hole: words[hole[1]], template)
    if isinstance(template, list):
        return [_with(part, words) for part in template]
    return {key: _with(part, words) for key, part in template.items()} if isinstance(template, Mapping) else template


# ---------------------------------------------------------------------------------------------------------- table


def _of_table(name: str, path: Path) -> Iterator[OwnTest]:
    """A row for each case, or for each row of a group: see docs/own-tests.md."""
    wrong: list[str] = []
    found = list(rows.read(str(path), lambda bad: wrong.append(f"line {bad.line}: {bad.reason}")))
    if wrong or not found:
        raise problem(name, wrong[0] if wrong else "no rows")
    if "test" not in found[0].values:
        raise problem(name, "no column named 'test'", nearest("test", found[0].values))
    for title, own in _grouped(found, "test"):
        yield _of_rows(title, [row.values for row in own], f"{name}: line {own[0].line} ({title})")


def _grouped(found: Iterable[rows.Row], key: str) -> list[tuple[str, list[rows.Row]]]:
    groups: dict[str, list[rows.Row]] = {}
    for row in found:
        groups.setdefault(parse.label(row.values.get(key) or ""), []).append(row)
    return list(groups.items())


def _of_rows(title: str, own: Sequence[Row], where: str) -> OwnTest:
    given = own[0]
    capability, spread = parse.label(given.get("capability") or ""), _spread(given, where)
    inputs = [{key: value for key, value in row.items() if key not in _TABLE} for row in own]
    if parse.is_missing(given.get("must")):
        return _expecting(title, own, inputs, where, capability, spread)
    word, _, of = parse.label(given["must"]).partition(" ")
    if word not in ("agree", "up", "down"):
        raise problem(where, f"must: {given['must']!r}", "agree, up CLASS or down CLASS")
    groups: dict[str, list[Row]] = {}
    for row, values in zip(own, inputs, strict=True):
        groups.setdefault(parse.label(row.get("group") or ""), []).append(values)
    for key, group in groups.items():
        if len(group) < 2:
            raise problem(where, f"group {key!r} has one row", "the original, and what it is compared with")
    return OwnTest(title, cast(Kind, word), of or None, tuple(map(tuple, groups.values())), spread, where, capability)


def _spread(given: Row, where: str) -> float:
    """The tolerance that stands in a cell."""
    cell = given.get("tolerance")
    try:
        return _tolerance({"tolerance": 0 if parse.is_missing(cell) else parse.number(cell)}, where)
    except ValueError:
        raise problem(where, f"tolerance: {cell!r}", "a number, 0 or more") from None


def _expecting(
    title: str, own: Sequence[Row], inputs: Sequence[Row], where: str, capability: str, tolerance: float
) -> OwnTest:
    """Cases that may each expect another answer."""
    expected = [row.get("expect") for row in own]
    if any(parse.is_missing(value) for value in expected):
        raise problem(where, "neither `expect` nor `must` says what is to hold")
    if len(set(map(parse.label, expected))) > 1:
        raise problem(where, "its rows expect different answers", "a test of its own for each answer")
    text = parse.label(expected[0])
    of: Any = [part.strip() for part in text.split("|")] if "|" in text else text
    of = {"not": text[4:].strip()} if text.startswith("not ") else of
    return OwnTest(title, "expect", of, tuple((row,) for row in inputs), tolerance, where, capability)
