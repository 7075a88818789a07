"""Every step that makes a trained network, or its files, smaller or faster."""

from __future__ import annotations

from typing import NamedTuple


class Skip(NamedTuple):
    """Why a way to compress does not apply to a network; in place of the network that it would have given."""

    reason: str
