"""What the card says of how a bundle came about: its data, its training, its files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from trimtab.bundle.manifest import Manifest, Stage
from trimtab.files import sha256
from trimtab.page import Block, Plots, Points, Table, Text, figures
from trimtab.spec import Spec

_DEFAULTS = Spec.model_validate({"data": "-", "output": "-"}).model_dump(mode="json")
_CARDS = ("card.html", "card.md")

# ----------------------------------------------------------------------------------------------------------- data


def data(manifest: Manifest) -> tuple[Block, ...]:
    """The rows and the columns."""
    columns = [*((column, "input") for column in manifest.inputs), (manifest.output, "output")]
    rows = tuple((column.name, column.type, role) for column, role in columns)
    return *_facts(manifest.data), Table(("column", "type", "role"), rows, title="Columns", fixed=frozenset({1, 2}))


def _facts(data: Mapping[str, Any], title: str = "") -> Iterator[Block]:
    """Plain values and short mappings in one table, then each list and larger mapping as a table of its own."""
    short = {name: value for name, value in data.items() if _is_short(value)}
    yield Table(
        (title, ""),
        tuple((figures.words(name), figures.counted(value)) for name, value in short.items() if value != {}),
        fixed=frozenset({0}),
    )
    for name, value in data.items():
        if name not in short:
            yield from _nested(f"{title}: {figures.words(name)}" if title else figures.words(name), value)


def _is_short(value: Any) -> bool:
    if isinstance(value, Mapping):
        return not any(part and isinstance(part, (Mapping, list, tuple)) for part in value.values())
    return not isinstance(value, (list, tuple))


def _nested(title: str, value: Any) -> Iterator[Block]:
    """A mapping of short mappings as a grid; a list of mappings as a table; a list of sentences."""
    if isinstance(value, Mapping):
        regular = all(isinstance(part, Mapping) and _is_short(part) for part in value.values())
        yield from [_grid(title, value)] if regular else _facts(value, title)
    elif value and all(isinstance(entry, Mapping) for entry in value):
        names = list(dict.fromkeys(name for entry in value for name in entry))
        rows = tuple(tuple(figures.counted(entry.get(name, "")) for name in names) for entry in value)
        yield Table(tuple(map(figures.words, names)), rows, title=title, folded=True)
    elif value:
        yield Points(tuple(map(figures.counted, value)))


def _grid(title: str, parts: Mapping[str, Mapping[str, Any]]) -> Table:
    names = list(dict.fromkeys(name for part in parts.values() for name in part))
    rows = tuple((name, *(figures.counted(part.get(name, "")) for part in parts.values())) for name in names)
    figured = frozenset(range(1, len(parts) + 1))
    return Table((title, *map(figures.words, parts)), rows, figured, named=figured)


# --------------------------------------------------------------------------------------------------------- making


def how_it_was_made(manifest: Manifest) -> tuple[Block, ...]:
    """Stages, training and what was chosen automatically."""
    stages = tuple((stage.name, f"{stage.seconds:,.1f} s", _detail(stage)) for stage in manifest.stages)
    chosen = tuple((a.key, figures.counted(a.value), a.reason) for a in manifest.automatic)
    chosen_by_itself = {one.key for one in manifest.automatic}
    said = ((key, value) for key, value in _asked(manifest.spec, _DEFAULTS) if key not in chosen_by_itself)
    asked = tuple((key, figures.counted(_without_defaults(value))) for key, value in said)
    return (
        Table(
            ("key", "value"), asked, codes=frozenset({0}), title="The spec: what differs from its defaults", folded=True
        ),
        Table(("stage", "took", "detail"), stages, frozenset({1}), title="Stages", fixed=frozenset({0})),
        *_account(manifest.evidence.get("launch", {})),
        _history(manifest.evidence.get("history", [])),
        Table(("choice", "value", "why"), chosen, codes=frozenset({0}), title="Chosen automatically", folded=True),
    )


_HIGHEST = "memory at its highest"


def _account(found: Mapping[str, Any]) -> Iterator[Block]:
    """What the launch took, beside what had been estimated where somebody had asked."""
    used, estimated = found.get("used"), found.get("estimated")
    if not used:
        return
    stages = [name for name, seconds in used["seconds"].items() if seconds or (estimated or used)["seconds"].get(name)]
    lines = [(name, used["seconds"][name], (estimated or {}).get("seconds", {}).get(name), "s") for name in stages]
    lines.append(("the whole launch", used["total"], (estimated or {}).get("total"), "s"))
    lines.append(("time of processors", used["processor"], (estimated or {}).get("processor"), "s"))
    lines.append((_HIGHEST, used["memory"] / 1e6, estimated and estimated["memory"] / 1e6, "MB"))
    if "money" in used:
        lines.append(("price", used["money"], (estimated or {}).get("money"), used["currency"]))
    lines.append(("energy (an assumption)", used["watt_hours"], (estimated or {}).get("watt_hours"), "Wh"))
    rows: tuple[tuple[str, ...], ...] = tuple(
        (name, *([_amount(planned, unit)] if estimated else []), _amount(took, unit))
        for name, took, planned, unit in lines
    )
    head = ("what the launch took", "estimated", "used") if estimated else ("what the launch took", "used")
    yield Table(head, rows, frozenset(range(1, len(head))), title="Estimated and used", fixed=frozenset({0}))


def _amount(value: float | None, unit: str) -> str:
    if value is None:
        return figures.NOTHING
    return f"{value:,.1f} {unit}" if unit in ("s", "MB") else f"{value:.3g} {unit}"


def _asked(spec: Mapping[str, Any], defaults: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """What a spec says beside its defaults: `train.epochs`, 2."""
    for key, value in spec.items():
        default = defaults.get(key)
        if isinstance(value, Mapping) and isinstance(default, Mapping):
            yield from _asked(value, default, f"{path}{key}.")
        elif value != default:
            yield f"{path}{key}", value


def _without_defaults(value: Any) -> Any:
    """What a column's entry says: its type, and what is not left open."""
    if not isinstance(value, Mapping):
        return value
    return {key: _without_defaults(part) for key, part in value.items() if part not in (None, "auto")}


def search(manifest: Manifest) -> tuple[Block, ...]:
    """What a hyper-parameter search found: what the best of many is worth on rows that chose nothing, all trials."""
    found = manifest.evidence.get("search")
    if not found:
        return ()
    costs = [name for name in found["objectives"] if name != "quality"]
    trials = tuple(
        (
            str(one["trial"]),
            one["state"],
            figures.NOTHING if one["score"] is None else f"{one['score']:.4f}",
            *(figures.counted(one.get(name, figures.NOTHING)) for name in costs),
            f"{one['seconds']:.0f} s",
            "; ".join(f"{key} {figures.counted(value)}" for key, value in one["values"].items()) or "the spec as it is",
        )
        for one in found["trials"]
    )
    head = ("trial", "state", figures.label(found["metric"]), *costs, "took", "values")
    shares = tuple((key, f"{share:.0%}") for key, share in found["importance"].items())
    return (
        Points(tuple(found["lines"])),
        Table(head, trials, frozenset(range(2, 4 + len(costs))), title="Trials", folded=True),
        Table(("key", "share"), shares, frozenset({1}), title="What decided which trials were good", folded=True),
    )


def augmentation(manifest: Manifest) -> tuple[Block, ...]:
    """How training rows were varied, and examples."""
    found = manifest.evidence.get("augmentation")
    if not found:
        return ()
    options = tuple((name, figures.counted(chosen)) for name, chosen in found["options"].items())
    texts = tuple((one["input"], one["as it is"], text) for one in found["texts"] for text in one["varied"])
    return (
        Text(
            "Training rows alone are varied, anew each time that they are learnt from: those that choose the weights "
            "and those that the numbers above were measured on stay as they are. The examples are training data: mind "
            "who may see them."
        ),
        Table(("input", "how its rows are varied"), options),
        Plots(("augmentation",)),
        Table(("input", "as it is", "varied"), texts, title="Varied texts"),
    )


def _detail(stage: Stage) -> str:
    """What a stage says of itself, and where its seconds went."""
    parts = [f"{part} {seconds:.1f} s" for part, seconds in stage.detail.get("seconds", {}).items()]
    said = {name: value for name, value in stage.detail.items() if not isinstance(value, (Mapping, list, tuple))}
    return "; ".join(filter(None, [figures.counted(said) if said or not parts else "", ", ".join(parts)]))


def _history(history: Iterable[Mapping[str, Any]]) -> Table:
    rows = tuple(
        (figures.plain(entry["epoch"]), f"{entry['step']:,.0f}", f"{entry['loss']:.4f}", f"{entry['score']:.4f}")
        for entry in history
    )
    head = ("epoch", "step", "training loss", "validation score")
    return Table(head, rows, frozenset({1, 2, 3}), title="Evaluations while training", folded=True)


def files(folder: Path, manifest: Manifest) -> tuple[Block, ...]:
    """Every file but the card itself and the manifest, which is written last."""
    there = (path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json")
    digests = manifest.files or {path.relative_to(folder).as_posix(): sha256(path) for path in there}
    rows = tuple(
        (name, f"{(folder / name).stat().st_size:,}" if (folder / name).is_file() else figures.NOTHING, digest)
        for name, digest in sorted(digests.items())
        if name not in _CARDS
    )
    title = f"{len(rows):,} files and their checksums"
    return (Table(("file", "bytes", "sha256"), rows, frozenset({1}), frozenset({0, 2}), title=title, folded=True),)
