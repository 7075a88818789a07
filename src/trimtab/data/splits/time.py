"""The latest rows are measured on: as it will be when the network is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import Field

from trimtab.data import splits
from trimtab.data.splits import NONE, Band, Unsplit
from trimtab.errors import brief
from trimtab.values import event_order, parse


class Time(splits.Strategy):
    """The latest rows are the test rows, those before them the validation rows; rows of one moment share a split.

    Rows that are added later move the cut. Rows whose time is missing, or cannot be read, are set aside.
    """

    time: str = Field(min_length=1, description="The column that says when a row was made: a number or a date.")

    @property
    def columns(self) -> tuple[str, ...]:
        """See `Strategy.columns`."""
        return (self.time,)

    def unusable(self, columns: Mapping[str, Sequence[Any]]) -> dict[int, str]:
        """See `Strategy.unusable`."""
        values = columns[self.time]
        return {
            row: f"{self.time}: no time"
            if parse.is_missing(values[row])
            else f"{self.time}: {brief(str(values[row]))!r} cannot be read as a time"
            for row in np.flatnonzero(np.isnan(_moments(self.time, values))).tolist()
        }

    def remarks(self, rows: Unsplit) -> list[str]:
        """See `Strategy.remarks`: where dates could be read in two ways."""
        remark = event_order.spelling(self.time, rows.columns[self.time]).remark
        return [remark.partition(": `times")[0]] if remark else []

    def assign(self, rows: Unsplit, bands: Sequence[Band]) -> np.ndarray:
        """See `Strategy.assign`; the first band gets the latest rows."""
        moments = _moments(self.time, rows.columns[self.time])
        after = np.cumsum([band.share for band in bands])[::-1]
        edges = np.quantile(moments, 1 - after, method="higher") if len(rows) else np.zeros(len(bands))
        named = np.array([NONE, *(band.part for band in reversed(bands))], np.int8)
        return named[np.searchsorted(edges, moments, "right")]

    def says(self, rows: Unsplit) -> str:
        """See `Strategy.says`."""
        return f"by time: the latest by {self.time!r} are tested on, those before them choose the checkpoint"


def _moments(name: str, values: Sequence[Any]) -> np.ndarray:
    """When each row was made, (rows,); NaN where that cannot be read. Nanoseconds are rounded to some hundreds."""
    spelling = event_order.spelling(name, values).spelling
    return np.array([_moment(value, spelling) for value in values], np.float64)


def _moment(value: Any, spelling: str) -> float:
    try:
        return float("nan") if parse.is_missing(value) else float(event_order.moment(value, spelling))
    except (ValueError, OverflowError):
        return float("nan")
