"""Events as rows to predict: one row for each user, with all of the user's events as the history."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain

import numpy as np

from trimtab import rows, runtime
from trimtab.columns import _events, parse
from trimtab.columns.ranking import RankingColumn
from trimtab.rows import Row


def gathered(model: runtime.Model, source: rows.Rows, note: Callable[[str], None]) -> rows.Rows:
    """The source, or, where its rows are events as the bundle was made from, one row for each user after the last.

    Such a row has the values of the user's last event, without its item and its time. All events are held in memory.
    """
    output = model.output
    if not isinstance(output, RankingColumn) or output.user is None:
        return source
    first = next(source, None)
    if first is None:
        return source
    begun = rows.Rows(source.format, source.names, chain([first], source))
    names = source.names or tuple(first.values)
    absent = [column.name for column in model.inputs if column.type == "history" and column.name not in names]
    needed = {output.user, output.name, *([output.time] if output.time else [])}
    if not absent or not needed <= set(names):
        return begun
    users = list(_users(list(begun), output, absent[0]))
    note(f"no column {absent[0]!r}: the rows are taken for events; one answer for each of {len(users):,} users")
    dropped = (output.name, output.time)
    kept = (*(name for name in names if name not in dropped), absent[0])
    return rows.Rows(source.format, kept, iter(users))


def _users(events: list[Row], output: RankingColumn, history: str) -> Iterator[Row]:
    """A row for each user, in the order in which they first appear."""
    times = np.arange(len(events), dtype=np.float64)
    if output.time:
        times = np.nan_to_num(_events.moments([event.values.get(output.time) for event in events]), nan=-np.inf)
    own: dict[str, list[int]] = {}
    for place in range(len(events)):
        own.setdefault(parse.label(events[place].values.get(str(output.user))), []).append(place)
    for places in own.values():
        ordered = sorted(places, key=lambda place: times[place])
        last = events[ordered[-1]]
        items = [events[place].values.get(output.name) for place in ordered]
        values = {name: value for name, value in last.values.items() if name not in (output.name, output.time)}
        yield Row({**values, history: [item for item in items if not parse.is_missing(item)]}, last.line)
