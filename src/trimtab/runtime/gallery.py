"""Another gallery for a bundle that answers with entries of one: read by its own network, without PyTorch."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trimtab import files, rows, runtime
from trimtab.bundle import store
from trimtab.bundle.manifest import Ancestor, Manifest
from trimtab.columns import InputColumn
from trimtab.errors import nearest, problem
from trimtab.rows import Rejected
from trimtab.rows import folder as folders
from trimtab.values import parse

_WHY = "its gallery is another one than what was measured: trimtab audit measures it on labelled rows"
# What was measured was measured with the gallery that the bundle had.
_UNMEASURED: dict[str, Any] = {"measured": {}, "gates": [], "evidence": {}, "released": False, "why": [_WHY]}


@dataclass
class Entries:
    """What rows say of the entries of a gallery."""

    values: list[Any] = field(default_factory=list)  # such that they can be opened
    names: list[Any] = field(default_factory=list)  # what answers call them


def index(
    bundle: Path | str,
    data: str,
    to: Path | str,
    add: bool = False,
    named: str | None = None,
    reject: Callable[[Rejected], None] = lambda bad: None,
    note: Callable[[str], None] = lambda text: None,
    threads: int | None = None,
) -> Manifest:
    """Write the bundle `to`, which is `bundle` with the entries of the rows of `data` for its gallery.

    With `add` the entries that it has stay before them. Rows name an entry in the column that is called like the
    output; what answers call it stands there too, or in the column `named`. `reject` gets entries that cannot be read.
    Raises TrimtabError for a bundle without a gallery, and for rows without an entry.
    """
    model, home = runtime.load(bundle, threads), Path(to)
    column = model.output.learnt_as
    if column is None:
        raise problem(str(bundle), "its answers come from no gallery", "a bundle whose output has entries")
    if home.resolve() == Path(bundle).resolve():
        raise problem(str(home), "this is the bundle itself, whose files are hashed", do="name another folder: --to")
    found = entries(column, data, named, reject, note, model.serving.encoding)
    if not found.values:
        raise problem(data, f"no row has an entry in {column.name!r}", "rows with entries that can be read")
    output = model.output.in_gallery(found.values, model.of_entries(found.values), found.names, add)
    manifest, staging = store.read_manifest(Path(bundle)), home.with_name(f".{home.name}.indexing")
    with files.writing(str(home)):
        home.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(staging, ignore_errors=True)
        shutil.copytree(bundle, staging, ignore=shutil.ignore_patterns(store.MANIFEST, store.SERVING, "card.*"))
    store.save_columns(staging / store.COLUMNS, model.inputs, output)
    before = Ancestor(name=manifest.name, hash=manifest.hash, created=manifest.created, trimtab=manifest.trimtab)
    changed = manifest.model_copy(update={**_UNMEASURED, "lineage": [*manifest.lineage, before]})
    return store.save(staging, changed, home)


def entries(
    column: InputColumn,
    data: str,
    named: str | None,
    reject: Callable[[Rejected], None],
    note: Callable[[str], None],
    encoding: str | None = None,
) -> Entries:
    """The entries of a file of rows, or the files of a folder. Raises TrimtabError for a column that is not there."""
    found, source, place = Entries(), Path(data), Path() if data == "-" else Path(data).parent
    if column.from_files and source.is_dir():
        loose = folders.loose(source, column.type, column.name, reject, note)
        read, place = rows.Rows(rows.FOLDER, (column.name,), loose), Path()
    else:
        read = rows.read(data, reject, None, note, None, encoding)
    for wanted in (column.name, *([named] if named else [])):
        if read.names is not None and wanted not in read.names:
            raise problem(data, f"no column named {wanted!r}", nearest(wanted, read.names))
    for row in read:
        value = row.values.get(column.name)
        located = column.located(value, place)
        missing = parse.is_missing(value, text=column.is_text)
        reason = parse.no_value(value) if missing else column.refuses(located)
        if reason:
            reject(Rejected(data, row.line, f"{column.name}: {reason}", str(value)))
            continue
        found.values.append(located)
        found.names.append(row.values.get(named) if named else value)
    return found
