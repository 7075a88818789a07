"""`trimtab schema`: the JSON schema of the spec, for editors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel

from trimtab import columns, files, registry, rows
from trimtab.cli._view import console, result
from trimtab.columns import InputColumn, OutputColumn
from trimtab.errors import TrimtabError, problem
from trimtab.spec import schema


def command(
    to: Annotated[Path | None, typer.Option("--to", help="The file to write. Default: stdout.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there already.")] = False,
) -> None:
    """Write the JSON schema of trimtab.yaml, from which an editor completes, explains and checks its keys.

    It knows the column types, encoders and fusions that are installed, those of TRIMTAB_PARTS among them. In the first
    line of a spec, `# yaml-language-server: $schema=trimtab.schema.json` names it to editors; `trimtab init` writes
    that line where the file lies beside the spec.

    Example: trimtab schema --to trimtab.schema.json
    """
    text = json.dumps(known(), indent=1, ensure_ascii=False) + "\n"
    if to is None:
        result.out(text, end="")
        return
    if to.exists() and not force:
        raise problem(str(to), "there is such a file already", do="choose another name with --to, or use --force")
    with files.writing(str(to)), rows.whole_file(to) as stream:
        stream.write(text.encode())
    line = schema.line(to.name)
    console.print(f"{to} is written. The first line of a spec beside it: {line}", markup=False, soft_wrap=True)


def known() -> dict[str, Any]:
    """The schema of what can be asked for here."""
    encoders, fusions = (registry.names(f"trimtab.nets.{folder}") for folder in ("encoders", "fusions"))
    return schema.schema(_options(InputColumn), _options(OutputColumn), encoders, fusions)


def _options(wanted: type) -> dict[str, type[BaseModel] | None]:
    """Each type of inputs, or of outputs, with what may be set on it; None where a package that it needs is missing."""
    found: dict[str, type[BaseModel] | None] = {}
    for name in columns.types():
        try:
            kind = columns.kind(name, "schema")
            if issubclass(kind, wanted):
                shown = columns.word(name) if wanted is OutputColumn else name
                found[shown] = registry.load("trimtab.columns", name, "Options", "schema")
        except TrimtabError:
            found[name] = None
    return found
