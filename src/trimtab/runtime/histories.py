"""Events as rows: one row for each user, with the user's events as the history."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import chain
from typing import cast

from trimtab import rows, runtime
from trimtab.columns.ranking import RankingColumn
from trimtab.errors import problem
from trimtab.rows import Row
from trimtab.values import event_order, parse

Note = Callable[[str], None]


def gathered(model: runtime.Model, source: rows.Rows, note: Note) -> rows.Rows:
    """The source, or, where its rows are events as the bundle was made from, one row for each user after the last.

    Such a row has the values of the user's last event, without its item and its time. All events are held in memory.
    Raises TrimtabError for events that say no time, where the bundle's did.
    """
    return _by_user(model, source, note, answered=False)


def measured(model: runtime.Model, source: rows.Rows, note: Note) -> rows.Rows:
    """As `gathered`, but each user's last event is the answer, and the earlier ones are the history."""
    return _by_user(model, source, note, answered=True)


def _by_user(model: runtime.Model, source: rows.Rows, note: Note, answered: bool) -> rows.Rows:
    if model.output.events is None or model.output.user is None:
        return source
    output = cast(RankingColumn, model.output)  # or a type that has its fields: see `OutputColumn.events`
    first = next(source, None)
    if first is None:
        return source
    begun = rows.Rows(source.format, source.names, chain([first], source))
    names = source.names or tuple(first.values)
    absent = [column.name for column in model.inputs if column.type == output.events and column.name not in names]
    if not absent or not {output.user, output.name} <= set(names):
        return begun
    if output.time and output.time not in names:
        said = f"neither a column {absent[0]!r}, nor {output.time!r}, which says in which order the events were"
        raise problem("rows", said, f"the columns are {', '.join(names)}")
    events = list(begun)
    positions = _positions(events, output, note)
    what = "the last one is the answer" if answered else "one answer"
    note(f"no column {absent[0]!r}: the rows are taken for events; {what} for each of {len(positions):,} users")
    dropped = (output.time,) if answered else (output.name, output.time)
    kept = (*(name for name in names if name not in dropped), absent[0])
    users = (_user([events[position] for position in own], output, absent[0], answered) for own in positions)
    return rows.Rows(source.format, kept, users)


def _positions(events: Sequence[Row], output: RankingColumn, note: Note) -> list[list[int]]:
    """Where the events of each user stand, the first to the last; users in the order in which they first appear.

    Raises TrimtabError for times that cannot be read: without them the order is not known.
    """
    names = event_order.Names(str(output.user), output.name, output.time, output.not_missing)
    columns = filter(None, (names.user, names.item, names.time))
    values = {name: [event.values.get(name) for event in events] for name in columns}
    times = None
    if output.time:
        times = event_order.check_times(output.time, values[output.time], output.times)
    found = event_order.grouped(values, names, times, output.distinct)
    if output.time and (found.unreadable or not found.users):
        said = (
            event_order.not_read(output.time, found.unreadable, str(times))
            if found.unreadable
            else "no event has a time"
        )
        allowed = f"times as those of training: {event_order.SPELLINGS.get(output.times or '', 'numbers or dates')}"
        raise problem("rows", said, allowed)
    for name, count in Counter(found.lacking.values()).items():
        note(f"{count:,} events without a {name} are left out")
    if found.repeated:
        note(f"{found.repeated:,} events repeat another of the same {output.user}, {output.name} and {output.time}")
    return list(found.users.values())


def _user(own: Sequence[Row], output: RankingColumn, history: str, answered: bool) -> Row:
    """The row of one user."""
    last = own[-1]
    items = [event.values.get(output.name) for event in (own[:-1] if answered else own)]
    dropped = (output.time,) if answered else (output.name, output.time)
    values = {name: value for name, value in last.values.items() if name not in dropped}
    kept = [item for item in items if not parse.is_missing(item, names=output.not_missing)]
    return Row({**values, history: kept}, last.line)
