"""A table of events (user, item, time) becomes rows: what a user did so far, and what came next.

The cut is aware of time: a row that is measured on has only earlier events in its history.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from trimtab import columns, part_options
from trimtab.columns import Column
from trimtab.columns.ranking import Options
from trimtab.data.dedup import each, missing
from trimtab.data.read import Loaded
from trimtab.data.roles import Automatic, with_names
from trimtab.data.splits import Part
from trimtab.data.table import Table
from trimtab.errors import brief, nearest, problem, several
from trimtab.rows import Rejected
from trimtab.spec import Spec, Split, Typed, typed
from trimtab.values import event_order, parse

HISTORY = "history"  # the input's name where the user gives none
STEPS = 50  # items of a history that are looked at, as SASRec has it
_MARKS = "split of the event"
_FEWEST = 3  # events of a user of whom some are kept back
_MOST_HELD = 20_000  # rows that are measured on, of each kind
_MOST_SCORES = 200_000_000  # scores that are held in memory at once: rows x items
_OFTEN = 0.1  # share of events from which it is said that items repeat


@dataclass(frozen=True)
class GroupedEvents:
    """The spec and the data as rows with histories; unchanged where the data are no events."""

    spec: Spec
    data: Loaded
    automatic: tuple[Automatic, ...] = ()
    how: str | None = None  # how the events were cut


def grouped(spec: Spec, data: Loaded) -> GroupedEvents:
    """Rows for an output that is the next of a user's events.

    Raises TrimtabError for columns that are not there, and when no event is left.
    """
    output = spec.output_type
    kind = columns.kind(output.type, f"output.{spec.output_name}") if output else Column
    if output is None or kind.events is None:
        return GroupedEvents(spec, data)
    asked = part_options.check(
        columns.options(output.type, "output"), f"column {spec.output_name!r} ({output.type})", output.options
    )
    if asked.user is None:
        return GroupedEvents(_told_seen(spec, asked), data)
    _check(spec, asked, data.table)
    spec, automatic = _named(spec, data.table)
    spec, asked, told = _timed(spec, asked, data.table)
    history, chosen = _history(spec, data.table, kind.events)
    events, rejected = _events(spec, asked, data.table)
    notes = [*data.notes, *told, *_notes(events, asked)]
    parts, how = _parts(spec, asked, events)
    _check_held(parts)
    rows = [*_taught(events, parts, chosen.options["max_steps"]), *_held(events, parts)]
    others = [name for name, kind in (spec.inputs or {}).items() if name != history and typed(kind).type != "ignore"]
    table = _table(rows, data.table, spec.output_name, history, [*others, str(asked.user)])
    inputs = {history: chosen, **{name: (spec.inputs or {})[name] for name in others}}
    return GroupedEvents(
        _told_seen(spec.model_copy(update={"inputs": inputs, "split": _MARKS}), asked),
        replace(data, table=table, rejected=[*data.rejected, *rejected], notes=notes),
        (
            Automatic(f"inputs.{history}", kind.events, f"the earlier events of each {asked.user}, the oldest first"),
            *automatic,
        ),
        how,
    )


def _check(spec: Spec, asked: Options, table: Table) -> None:
    """Raises one TrimtabError for all names and keys that do not fit."""
    where = f"output.{spec.output_name}"
    named = {where: spec.output_name, f"{where}.user": asked.user, f"{where}.time": asked.time}
    errors = [
        problem(position, f"the data has no column named {name!r}", nearest(name, table.values))
        for position, name in named.items()
        if name is not None and name not in table.values
    ]
    several_roles = [name for name, count in Counter(filter(None, named.values())).items() if count > 1]
    if several_roles:
        errors.append(problem(where, f"{several_roles[0]!r} is named twice", "columns of item, user and time"))
    if spec.test:
        errors.append(problem("test", "a file of its own, but events are cut by time", do="leave test out"))
    if isinstance(spec.split, str):
        errors.append(problem("split", "a column, but events are cut by time", "shares, for `holdout: time`"))
    elif spec.split.by != Split().by:
        errors.append(problem("split.by", f"{spec.split.by!r}, but events are cut by time", do="leave it out"))
    if errors:
        raise several(errors)


def _named(spec: Spec, table: Table) -> tuple[Spec, list[Automatic]]:
    """The spec with the words for "no value" that are items."""
    assert spec.output_type
    where = f"output.{spec.output_name}"
    output, automatic = with_names(where, spec.output_type, table.values[spec.output_name])
    return spec.model_copy(update={"output": {spec.output_name: output}}), automatic


def _timed(spec: Spec, asked: Options, table: Table) -> tuple[Spec, Options, list[str]]:
    """The spec, and the options, with how times are written and whether equal events count once; and remarks."""
    assert spec.output_type
    told = event_order.spelling(asked.time, table.values[asked.time], asked.times) if asked.time else None
    found = {
        "times": asked.times or (told.spelling if told else None),
        # Without a time nobody knows whether an event was written twice or happened twice.
        "distinct": asked.distinct or (asked.time is not None and spec.clean.duplicates == "drop"),
    }
    output = Typed.model_validate({**spec.output_type.model_dump(exclude_unset=True), **found})
    notes = [told.remark] if told and told.remark and asked.times is None else []
    return (
        spec.model_copy(update={"output": {spec.output_name: output}}),
        asked.model_copy(update=found),
        notes,
    )


def _history(spec: Spec, table: Table, type_name: str) -> tuple[str, Typed]:
    """The name of the input that the events become, and its type with all options."""
    asked = {name: typed(kind) for name, kind in (spec.inputs or {}).items()}
    named = [name for name, kind in asked.items() if kind.type == type_name and name not in table.values]
    name = named[0] if named else HISTORY
    if not named and (name in table.values or name in asked):
        found = f"the data has a column named {name!r}, which the history of events would be called"
        raise problem("inputs", found, f"another name: inputs: {{viewed: {type_name}}}")
    kind = asked[name] if named else Typed(type=type_name)
    options = columns.options(type_name, f"inputs.{name}")
    steps = part_options.check(options, f"column {name!r} ({type_name})", kind.options).max_steps or STEPS
    return name, Typed.model_validate({**kind.model_dump(exclude_unset=True), "max_steps": steps})


def _told_seen(spec: Spec, asked: Options) -> Spec:
    """Histories tell the network every item, so that it leaves them out of its answers; unless they may repeat."""
    given = {name: typed(kind) for name, kind in (spec.inputs or {}).items()}
    assert spec.output_type
    events = columns.kind(spec.output_type.type, f"output.{spec.output_name}").events
    if asked.repeat or not any(kind.type == events for kind in given.values()):
        return spec
    seen = {
        name: Typed.model_validate({"seen": True, **kind.model_dump(exclude_unset=True)})
        for name, kind in given.items()
        if kind.type == events
    }
    return spec.model_copy(update={"inputs": {**given, **seen}})


# -------------------------------------------------------------------------------------------------------- events


@dataclass(frozen=True)
class _Events:
    """Events user by user, those of each from the first to the last."""

    rows: np.ndarray  # (events,), where each stands in the table
    users: np.ndarray  # (events,), the number of the user
    items: list[str]
    times: np.ndarray  # (events,), the rank of each event's time
    remarks: tuple[str, ...]

    def of_users(self) -> Iterator[range]:
        """The stretch of each user's events."""
        edges = [*np.flatnonzero(np.diff(self.users, prepend=-1)), len(self.users)]
        yield from (range(int(start), int(end)) for start, end in pairwise(edges))


def _events(spec: Spec, asked: Options, table: Table) -> tuple[_Events, list[Rejected]]:
    """The events in order, and those that lack something."""
    assert spec.output_type
    words = tuple(spec.output_type.options.get("not_missing") or ())
    names = event_order.Names(str(asked.user), spec.output_name, asked.time, words)
    found = event_order.grouped(table.values, names, asked.times, asked.distinct)
    items = table.values[spec.output_name]
    nameless = [position for position, absent in enumerate(missing(items, names=words)) if absent]
    without = {**dict.fromkeys(nameless, spec.output_name), **found.lacking}
    reasons = {
        position: f"{name}: {parse.no_value(table.values[name][position])}" for position, name in without.items()
    }
    known = event_order.SPELLINGS.get(asked.times or "", "")
    reasons = {
        position: f"{asked.time}: {text!r} cannot be read as a time ({known})"
        for position, text in found.unreadable.items()
    } | reasons
    origins = [(table.origins[position], brief(reason)) for position, reason in sorted(reasons.items())]
    rejected = [Rejected(origin.file, origin.line, reason, "") for origin, reason in origins]
    users = [[position for position in found.users[user] if position not in without] for user in sorted(found.users)]
    users = [own for own in users if own]
    if not users:
        wanted = ", ".join(filter(None, (names.user, names.item, names.time)))
        allowed = "a time is a number, or a date such as 2026-01-31T12:00" if asked.time else ""
        raise problem("data", f"no event has a value of each of {wanted}", allowed)
    rows = np.array([position for own in users for position in own], np.int64)
    numbered = np.repeat(np.arange(len(users)), [len(own) for own in users])
    labels = each(parse.label, [items[row] for row in rows])
    notes = _remarks(found, asked)
    return _Events(rows, numbered, labels, found.when[rows], tuple(notes)), rejected


def _remarks(found: event_order.Grouped, asked: Options) -> list[str]:
    """What is told of times that cannot be read, and of equal events and moments."""
    notes = [event_order.not_read(str(asked.time), found.unreadable, str(asked.times))] if found.unreadable else []
    notes += [f"equal events of the same {asked.time or 'user'} dropped: {found.repeated:,}"] if found.repeated else []
    if found.equal:
        said = "events share their time with another one of their user: they stay in the order of the file"
        notes.append(f"{found.equal:,} {said}")
    return notes


# --------------------------------------------------------------------------------------------------------- parts


def _parts(spec: Spec, asked: Options, events: _Events) -> tuple[list[Part], str]:
    """What each event is for, and how that came about."""
    if asked.holdout == "time" and isinstance(spec.split, Split):
        shares = spec.split
        how = f"by time: the latest {shares.test:g} of all events are tested on, the {shares.valid:g} before are valid"
        edges = np.quantile(events.times, [1 - shares.test - shares.valid, 1 - shares.test], method="higher")
        named: tuple[Part, ...] = ("train", "valid", "test")
        return [named[position] for position in np.searchsorted(edges, events.times, "right")], how
    return _last(events), "by time: each user's last event is tested on, the one before it chooses the checkpoint"


def _check_held(parts: Sequence[Part]) -> None:
    """Raises TrimtabError when the events leave nothing to learn from, or nothing to measure on."""
    counts = Counter(parts)
    if min(counts[part] for part in ("train", "valid", "test")) == 0:
        found = ", ".join(f"{part} {counts[part]}" for part in ("train", "valid", "test"))
        allowed = f"users with {_FEWEST} events or more, of whom some are kept back; `holdout: time` needs times apart"
        raise problem("data", f"the events cannot be cut by time ({found})", allowed)


def _last(events: _Events) -> list[Part]:
    parts: list[Part] = ["train"] * len(events.items)
    for own in events.of_users():
        if len(own) >= _FEWEST:
            parts[own[-2]], parts[own[-1]] = "valid", "test"
    return parts


# ---------------------------------------------------------------------------------------------------------- rows


@dataclass(frozen=True)
class _Row:
    """A row: what it is for, the history, the answer (or one for each state) and the event that it comes from."""

    part: Part
    history: list[str]
    answer: str | list[str | None]
    event: int  # its place in the table


def _taught(events: _Events, parts: Sequence[Part], steps: int) -> Iterator[_Row]:
    """Training rows: each user's training events in stretches, with an answer after the start and after each event.

    Every event is an answer once; a stretch that is not a user's first has earlier events as its context.
    """
    for own in events.of_users():
        positions = [position for position in own if parts[position] == "train"]
        items = [events.items[position] for position in positions]
        for end in range((len(items) - 1) % steps + 1, len(items) + 1, steps):
            first = max(0, end - 1 - steps)
            # What an earlier stretch has learned, the state of the start too, has no answer here.
            known = [None] * (end - first - min(end, steps))
            answers: list[str | None] = [*known, *items[max(0, end - steps) : end]]
            yield _Row("train", items[first : end - 1], answers, int(events.rows[positions[end - 1]]))


def _held(events: _Events, parts: Sequence[Part]) -> Iterator[_Row]:
    """Validation and test rows: one event each, with all that came before it."""
    most = min(_MOST_HELD, _MOST_SCORES // max(1, len(set(events.items))))
    for part in ("valid", "test"):
        positions = np.flatnonzero(np.array(parts) == part)
        for position in positions[:: -(-len(positions) // most) or 1]:
            first = int(np.searchsorted(events.users, events.users[position]))
            yield _Row(part, events.items[first:position], events.items[position], int(events.rows[position]))


def _table(rows: Sequence[_Row], source: Table, item: str, history: str, others: Sequence[str]) -> Table:
    """The rows as a table; `others` are taken from the event of each row."""
    beside = source.take([row.event for row in rows])
    return Table(
        {
            **{name: beside.values[name] for name in others},
            history: [row.history for row in rows],
            item: [row.answer for row in rows],
            _MARKS: [row.part for row in rows],
        },
        beside.origins,
    )


def _notes(events: _Events, asked: Options) -> list[str]:
    users = int(events.users[-1]) + 1
    notes = [f"{len(events.items):,} events of {users:,} users and {len(set(events.items)):,} items"]
    repeats = 1 - len(set(zip(events.users.tolist(), events.items, strict=True))) / len(events.items)
    if repeats > _OFTEN and not asked.repeat:
        said = f"{repeats:.0%} of the events are of an item that the user had before, which is never answered"
        notes.append(f"{said}; with `repeat: true` it may be")
    return [*notes, *events.remarks]
