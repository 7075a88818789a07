"""What was found while rows became splits, as plain JSON and as lines for the user."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from trimtab import columns
from trimtab.columns import OutputColumn
from trimtab.data import clean, data_warnings, leaks
from trimtab.data.data_warnings import DataWarning
from trimtab.data.leaks import JoinedTexts
from trimtab.data.read import Loaded
from trimtab.data.roles import Automatic, Roles
from trimtab.data.split import Cut
from trimtab.data.table import Splits, Table
from trimtab.data.working import Working, place, short
from trimtab.progress import Progress
from trimtab.rows import Rejected, grouped
from trimtab.values import many, parse

EXAMPLES = 10  # conflicts and leaks that are shown


@dataclass(frozen=True)
class Final:
    """The splits as they are learned from and measured on."""

    splits: Splits
    output: OutputColumn
    rejected: list[Rejected]
    dropped: dict[str, int]
    unanswerable: Mapping[str, int]  # rows of valid and of test with an answer that training lacks


def build(data: Loaded, test: Loaded | None, rows: Working, cut: Cut, final: Final, roles: Roles) -> dict[str, Any]:
    """The report of `Prepared`."""
    splits: dict[str, Table] = {"train": final.splits.train, "valid": final.splits.valid, "test": final.splits.test}
    files = [*data.files, *(test.files if test else [])]
    return {
        "files": [{"file": file.file, "rows": file.rows, "rejected": file.rejected} for file in files],
        "encoding": data.encoding,
        "rows_read": rows.found["rows_read"],
        "rows": {part: len(table) for part, table in splits.items()},
        "split": cut.how,
        "balance": {part: final.output.balance(table.values[roles.output_name]) for part, table in splits.items()},
        "missing": {
            name: int(clean.missing(final.splits.train.values[name], rule.column).sum())
            for name, rule in roles.inputs.items()
        },
        "rejected": reasons(final.rejected, roles),
        "duplicates": rows.found["duplicates"],
        "conflicts": rows.found["conflicts"],
        "dropped": final.dropped,
        "unanswerable": dict(final.unanswerable),
        "leaks": rows.found["leaks"] | _near(splits, roles),
        "suspicious": [asdict(warning) for warning in _suspicious(final, roles)],
        "notes": [
            *data.notes,
            *(test.notes if test else []),
            *_unlearnt(final),
            *_unanswerable(final, roles),
            *_read_as_nothing(final, roles),
            *_small_classes(final, roles),
            *final.output.remarks(final.splits.train.values[roles.output_name]),
        ],
    }


def reasons(rejected: Sequence[Rejected], roles: Roles) -> dict[str, int]:
    """Rows by column and kind of reason, each with an example."""
    names = (*roles.inputs, roles.output_name)
    return grouped((row.reason for row in rejected), names)


def _near(splits: Mapping[str, Table], roles: Roles) -> dict[str, Any]:
    """Near-duplicates of training rows among held-out ones, by their texts."""
    texts = [name for name, rule in roles.inputs.items() if columns.kind(rule.column.type, name).is_text]
    if not texts:
        return {}
    joined = {part: JoinedTexts(table, texts) for part, table in splits.items()}
    found = dict(
        zip(("valid", "test"), leaks.near_in_each(joined["train"], [joined["valid"], joined["test"]]), strict=True)
    )
    examples = [
        {
            "similarity": round(near.similarity, 3),
            part: short(joined[part][near.held]),
            "train": short(joined["train"][near.train]),
            "lines": [place(splits[part].origins[near.held]), place(splits["train"].origins[near.train])],
        }
        for part, pairs in reversed(found.items())
        for near in sorted(pairs, key=lambda near: -near.similarity)
    ]
    return {"near": {part: len(pairs) for part, pairs in found.items()}, "examples": examples[:EXAMPLES]}


def _suspicious(final: Final, roles: Roles) -> list[DataWarning]:
    train = final.splits.train
    inputs = {name: (rule.column.type, train.values[name]) for name, rule in roles.inputs.items()}
    found = data_warnings.target_leakage(inputs, train.values[roles.output_name], roles.output.type)
    numbers = {name: values for name, (kind, values) in inputs.items() if columns.kind(kind, name).holds_numbers}
    for name, values in numbers.items():
        lost = np.flatnonzero(np.isnan(clean.numbers(values))).tolist()
        cells = [value for row in lost if not parse.is_missing(value := values[row])]
        found += data_warnings.unreadable(name, cells, len(values), "count as missing")
    if final.output.holds_numbers:
        numbers[roles.output_name] = train.values[roles.output_name]
        begins, ends = f"{roles.output_name}: ", " is not a number"
        said = [row.reason for row in final.rejected if row.reason.startswith(begins) and row.reason.endswith(ends)]
        lost_rows = [reason.removeprefix(begins).removesuffix(ends).strip("'") for reason in said]
        kept = sum(map(len, (train, final.splits.valid, final.splits.test)))
        found += data_warnings.unreadable(roles.output_name, lost_rows, kept + len(said), "are set aside")
    return found + data_warnings.units(numbers)


def _unlearnt(final: Final) -> list[str]:
    """A remark where classes are listed in the spec, or have a column of their own, that no training row has."""
    counts = final.output.counts(final.splits.train.values[final.output.name])
    absent = [name for name, count in counts.items() if not count]
    more = f" and {len(absent) - EXAMPLES:,} more" if len(absent) > EXAMPLES else ""
    listed = ", ".join(absent[:EXAMPLES]) + more
    told = (
        "is listed, but no training row has it: it cannot be learnt"
        if len(absent) == 1
        else ("are listed, but no training row has them: they cannot be learnt")
    )
    return [f"{final.output.name}: {listed} {told}"] if absent else []


def _unanswerable(final: Final, roles: Roles) -> list[str]:
    """Rows that are not measured because nobody could have answered them."""
    parts = {"valid": final.splits.valid, "test": final.splits.test}
    return [
        f"{count:,} of {count + len(parts[part]):,} {part} rows have an answer that no training row has: they are not "
        f"measured, and every answer to them would be wrong"
        for part, count in final.unanswerable.items()
        if count
    ]


def _read_as_nothing(final: Final, roles: Roles) -> list[str]:
    """How to keep answers that were taken for no value."""
    said = re.compile(rf"{re.escape(roles.output_name)}: '(.*)' is read as no value")
    found = sorted({match[1] for row in final.rejected if (match := said.fullmatch(row.reason))})
    if not found or not final.output.has_names:
        return []
    listed = ", ".join(found)
    keep = f"{roles.output_name}: {{type: {roles.output.type}, not_missing: [{listed}]}}"
    return [f"{listed} in {roles.output_name} is read as no value; if it is a name: output: {{{keep}}}"]


def _small_classes(final: Final, roles: Roles) -> list[str]:
    """Classes that are not measured, and names that differ only in case."""
    if not final.output.one_class:
        return []
    tested = {parse.label(value) for value, _ in many.counted(final.splits.test.values[roles.output_name])}
    untested = [name for name in final.output.classes if name not in tested]
    folded = Counter(name.casefold() for name in final.output.classes)
    twins = [name for name in final.output.classes if folded[name.casefold()] > 1]
    notes = [f"no test row has the class {', '.join(untested[:10])}: its quality is not measured"] if untested else []
    return notes + ([f"classes that differ only in case: {', '.join(twins)}"] if twins else [])


def _choices(automatic: Sequence[Automatic]) -> list[str]:
    """A line for each choice; the types of many columns share one."""
    by_type: dict[str, list[Automatic]] = {}
    for choice in automatic:
        if choice.key.startswith("inputs.") and choice.value != "ignore":
            by_type.setdefault(choice.value, []).append(choice)
    shared = {type_name: choices for type_name, choices in by_type.items() if len(choices) > 3}
    lines = [
        f"inputs: {len(choices)} columns of type {type_name}: {', '.join(c.key.partition('.')[2] for c in choices)}"
        for type_name, choices in shared.items()
    ]
    grouped = [choice for choices in shared.values() for choice in choices]
    return lines + [f"{c.key}: {c.value} ({c.reason})" for c in automatic if c not in grouped]


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def tell(progress: Progress, automatic: Sequence[Automatic], report: Mapping[str, Any]) -> None:
    """One line for each thing that the user should know before training."""
    for line in _choices(automatic):
        progress.note(line)
    conflicts, leaked = report["conflicts"]["groups"], report["leaks"]["exact_removed"]
    near = {part: count for part, count in report["leaks"].get("near", {}).items() if count}
    lines = [
        (report["rejected"], f"rows set aside: {_listed(report['rejected'])}"),
        (report["duplicates"]["dropped"], f"repeated rows dropped: {report['duplicates']['dropped']:,}"),
        (conflicts, f"sets of equal rows that disagree on the answer: {conflicts:,}"),
        (leaked, f"rows left out because an equal row is measured on: {_listed(leaked)}"),
        (near, f"near-duplicates of training rows among those measured on: {_listed(near)}"),
    ]
    for happened, text in lines:
        if happened:
            progress.note(text)
    for warning in report["suspicious"]:
        progress.note(f"data warning: {warning['column']}: {warning['text']}")
    for note in report["notes"]:
        progress.note(note)
