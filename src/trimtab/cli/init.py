"""`trimtab init`: look at data, say what was found, write a spec."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
import yaml
from rich.table import Table

from trimtab import columns, files, rows
from trimtab.cli._view import console, print_json, result, styled
from trimtab.data.profile import ColumnProfile, Profile, profile
from trimtab.errors import problem, shortened, visible
from trimtab.spec import schema

_WIDTH = 20  # characters of a class name that are shown
_FEW = 8  # classes that are shown
_FOREIGN = 0.5  # share of letters from which on a text is not read by the English base


def command(
    data: Annotated[list[str], typer.Argument(metavar="DATA...", help="csv, tsv, json lines or parquet files.")],
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="The column to predict. Default: guessed.")
    ] = None,
    encoding: Annotated[
        str | None, typer.Option(help="Of the data's text: shift_jis, cp1251 ... Default: UTF-8, else by its look.")
    ] = None,
    to: Annotated[Path, typer.Option("--to", help="The spec to write.")] = Path("trimtab.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Overwrite a spec that is there already.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The profile as one JSON object on stdout.")] = False,
) -> None:
    """Look at your data, say what was found and what to look at, and write a spec for it.

    Example: trimtab init reviews.csv --output sentiment
    """
    if to.exists() and not force:
        raise problem(str(to), "there is such a file already", do="choose another name with --to, or use --force")
    found = profile(data, Path(), output, encoding)
    for_editors = f"{schema.line(schema.FILE)}\n" if (to.parent / schema.FILE).is_file() else ""
    stays = [os.path.isabs(one) or one.startswith(rows.HUB) for one in data]
    from_there = [one if fixed else os.path.relpath(one, to.parent) for one, fixed in zip(data, stays, strict=True)]
    text = for_editors + spec_text(found, from_there, data, encoding)
    with files.writing(str(to)), rows.whole_file(to) as stream:
        stream.write(text.encode())
    if as_json:
        print_json(asdict(found) | {"spec": str(to)})
    else:
        _show(found)
    console.print(f"\n{to} is written. Next: trimtab launch {to}", soft_wrap=True)


# --------------------------------------------------------------------------------------------------------- spec


def spec_text(found: Profile, files: Sequence[str], given: Sequence[str], encoding: str | None = None) -> str:
    """A short commented `trimtab.yaml`; what was left out stands in it as a comment, with the reason."""
    command = _comment(f"trimtab init {' '.join(given)}")
    lines = [
        f"# Written by `{command}` from {found.rows:,} rows; every other key has a default.",
        f"data: {_scalar(files[0]) if len(files) == 1 else '[' + ', '.join(map(_scalar, files)) + ']'}",
        *([f"encoding: {_scalar(encoding)}"] if encoding else []),
        "inputs:",
        *(
            _input_line(found, column)
            for column in found.columns
            if column.name not in (found.output.value, found.split)
        ),
        f"output: {{{_scalar(found.output.value)}: {columns.word(found.output_type)}}}  # {found.output.reason}; "
        f"{_about(found)}",
        *([f"split: {_scalar(found.split)}  # its cells say train, valid or test"] if found.split else []),
        "gates:  # all must hold, on unseen rows and for the files that are served, or nothing is released",
        f"  {columns.kind(found.output_type, 'output').first_gate(found.answers)}",
        '  # size: "<= 100 MB"    # what serving needs on disk',
        '  # latency: "<= 20 ms"  # one row, tokenising included, median',
    ]
    return "\n".join(lines) + "\n"


def _input_line(found: Profile, column: ColumnProfile) -> str:
    given_away = [
        warning.text for warning in found.warnings if warning.column == column.name and warning.kind == "target leakage"
    ]
    name = _scalar(column.name)
    if given_away:
        return f"  {name}: ignore  # {column.type}, but {_comment(given_away[0])}"
    script = f"; {_script(column)}" if _script(column) else ""
    return f"  {name}: {column.type}  # {_comment(column.reason)}{script}"


def _script(column: ColumnProfile) -> str:
    """What a text's letters say of the encoder that will read it."""
    foreign = column.figures.get("letters_not_latin", 0.0)
    if foreign <= _FOREIGN:
        return ""
    return f"{foreign:.0%} of the letters are not Latin: read by e5-small, the base of 100 languages"


def _comment(text: str) -> str:
    return visible(" ".join(text.split()))


def _scalar(text: str) -> str:
    """A string as YAML writes it, in flow style too: quoted where it would be read as something else."""
    written = yaml.safe_dump([text], default_flow_style=True, allow_unicode=True, width=10**6).strip()[1:-1]
    return json.dumps(text, ensure_ascii=False) if "\n" in written else written


def _about(found: Profile) -> str:
    if columns.kind(found.output_type, "output").holds_numbers:
        return f"from {found.answers['min']:g} to {found.answers['max']:g}"
    if not found.answers:
        return _comment(found.column(found.output.value).reason)
    total, answers = sum(found.answers.values()), list(found.answers.items())
    shown = [f"{shortened(name, _WIDTH)} {count / total:.0%}" for name, count in answers[:_FEW]]
    more = ["..."] if len(answers) > _FEW else []
    return _comment(f"{len(answers)} classes: {', '.join([*shown, *more])}")


# ------------------------------------------------------------------------------------------------------- people


def _show(found: Profile) -> None:
    result.print(f"{', '.join(found.files)}: {found.rows:,} rows, {len(found.columns)} columns", soft_wrap=True)
    table = Table("column", "type", "why", "missing", "examples", box=None, header_style="bold")
    for column in found.columns:
        role = ("output", "bold") if column.name == found.output.value else ("", "")
        missing = f"{column.missing / max(1, found.rows):.1%}" if column.missing else ""
        is_read = column.type != "ignore"
        figures = columns.kind(column.type, "column").in_words(column.figures) if is_read else ""
        about = "; ".join(filter(None, (column.reason, figures, _script(column))))
        kind = styled(role, (": " if role[0] else "", ""), (columns.word(column.type) if is_read else column.type, ""))
        table.add_row(column.name, kind, about, missing, " | ".join(column.examples))
    result.print(table)
    for line in _remarks(found):
        result.print(f"- {line}", soft_wrap=True)


def _remarks(found: Profile) -> list[str]:
    """What the user should know, the answer first."""
    lines = [f"output {found.output.value!r} ({found.output.reason}): {_about(found)}"]
    counted = (
        (found.rejected, "rows cannot be read and are set aside"),
        (found.unanswered, "rows have no answer and are set aside"),
        (found.repeated, "rows repeat the inputs of another row"),
        (found.conflicts, "sets of equal rows disagree on the answer"),
    )
    lines += [f"{count:,} {text}" for count, text in counted if count]
    lines += [f"column {found.split!r} says which rows are train, valid and test"] if found.split else []
    lines += [f"{warning.column}: {warning.text} ({warning.kind})" for warning in found.warnings]
    return lines + found.notes
