"""What the card says of the search for a cheaper network: what was tried, what it costs, what was taken."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trimtab.bundle.manifest import Manifest, Measured
from trimtab.page import Block, Commands, Plots, Table, Text, figures

_COSTS = ("size", "latency", "throughput", "memory")

Found = Mapping[str, Any]  # a point, or the whole frontier, as `compress.frontier` writes it into the evidence


def compression(manifest: Manifest) -> tuple[Block, ...]:
    """The frontier as a sentence, a plot and a table; nothing where no search was made."""
    found: Found = manifest.evidence.get("frontier") or {}
    if not found.get("points"):
        return ()
    skipped = Table(("not tried", "why"), tuple((name, reason) for name, reason in found.get("skipped", ())))
    return (Text(" ".join(_verdict(found))), Plots(("frontier",)), _table(found), skipped, *_pick(manifest))


def _verdict(found: Found) -> Iterator[str]:
    """What was taken and what that gains, and how far the search went."""
    points = {point["name"]: point for point in found["points"]}
    chosen = points.get(found.get("chosen") or "")
    if chosen:
        yield _gain(chosen, next((one for one in points.values() if one["kind"] == "uncompressed"), None))
        if chosen["missed"]:
            yield f"Not met by it on the validation rows: {'; '.join(chosen['missed'])}."
    if found.get("nearest"):
        yield f"Out of reach on the validation rows: {found['nearest']}."
    tried = sum(point["kind"] == "candidate" for point in points.values())
    ways = "1 network was" if tried == 1 else f"{tried} networks were"
    ended = f": {found['stopped']}" if found.get("stopped") else ""
    yield f"{ways} tried in {found['seconds'] / 60:.1f} of {found['minutes']:g} minutes{ended}."
    yield "Quality here is that of the validation rows; only the network that was taken has answered the test rows."


def _gain(chosen: Found, uncompressed: Found | None) -> str:
    if not uncompressed or chosen["kind"] == "uncompressed":
        return f"{chosen['name']} was taken: no cheaper network is good enough."
    gains = [
        f"{before / after:.3g} times {word}"
        for name, word in (("size", "smaller"), ("latency", "faster"))
        if (after := _cost(chosen, name)) and (before := _cost(uncompressed, name))
    ]
    lost = f"; quality lost on the same rows: {_drop(chosen)}" if chosen.get("drop") is not None else ""
    return f"{chosen['name']} was taken: {' and '.join(gains) or 'how much it gains was not measured'}{lost}."


def _cost(point: Found, name: str) -> float | None:
    return float(point["measured"][name]["value"]) if name in point["measured"] else None


# ---------------------------------------------------------------------------------------------------------- table


def _table(found: Found) -> Table:
    """One row per network; what nobody has is left out."""
    points: Sequence[Found] = found["points"]
    columns = {
        "network": [point["name"] for point in points],
        "how it was made": [", ".join(point["made"]) for point in points],
        figures.label(found["metric"]): [figures.whole(Measured.model_validate(point["quality"])) for point in points],
        "drop": [_drop(point) for point in points],
        **{name: [figures.of_evidence(point["measured"].get(name)) for point in points] for name in _COSTS},
        "latency predicted": [
            figures.NOTHING if (ms := point.get("predicted_latency")) is None else f"{figures.number(ms, 'ms')} ms"
            for point in points
        ],
        "made in": [f"{point['seconds']:,.0f} s" if point["seconds"] else "" for point in points],
        "gates missed": ["; ".join(point["missed"]) if point["kind"] != "baseline" else "" for point in points],
        "": [_standing(point, found) for point in points],
    }
    told = {name: cells for name, cells in columns.items() if any(cell not in ("", figures.NOTHING) for cell in cells)}
    words = ("network", "how it was made", "gates missed", "")
    numbers = frozenset(position for position, name in enumerate(told) if name not in words)
    return Table(tuple(told), tuple(zip(*told.values(), strict=True)), numbers, title="All networks")


def _drop(point: Found) -> str:
    return figures.NOTHING if point.get("drop") is None else f"{point['drop'] + 0.0:.3f}"


def _standing(point: Found, found: Found) -> str:
    """`chosen, on the frontier`: a network that no other beats in quality, latency and size at once."""
    marks = {
        "chosen": point["name"] == found.get("chosen"),
        point["kind"]: point["kind"] != "candidate",
        "on the frontier": point["name"] in found.get("best", ()),
    }
    return ", ".join(mark for mark, holds in marks.items() if holds)


# ------------------------------------------------------------------------------------------------------ the others


def _pick(manifest: Manifest) -> Iterator[Block]:
    """Another network of the table can be taken in place of the chosen one."""
    found = manifest.evidence["frontier"]
    others = [
        one["name"] for one in found["points"] if one["kind"] != "baseline" and one["name"] != found.get("chosen")
    ]
    if others:
        yield Text("Any other network of the table can be taken instead:")
        yield Commands(
            (
                f"$ trimtab launch --pick {others[0]}",
                f"$ trimtab compress runs/{manifest.name}/bundle --pick {others[0]}",
            )
        )
