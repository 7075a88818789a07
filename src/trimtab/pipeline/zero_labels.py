"""No row has a label, but the classes have names: rows about these are learnt, and carried over to the data.

Pseudo-labelled like this, by the encoder's own knowledge of words, a network is one as any other; it is measured on the
rows of `test:`, which have labels.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from trimtab import files
from trimtab.data import read
from trimtab.data.read import Loaded
from trimtab.errors import problem
from trimtab.progress import Progress
from trimtab.request import few_rows
from trimtab.rows import FOLDER
from trimtab.spec import Spec, Typed
from trimtab.values import parse

# Several sentences about each class. AG News on the pretrained encoder: nearest sentence 0.63 to 0.68, carried over to
# 1,000 rows without an answer 0.82 to 0.84 (LOG, 2026-11-29).
SENTENCES = ("This text is about {}.", "{}", "{} news", "A text about {}.", "All of this is {}.", "It says much of {}.")
_SHARE = 0.8  # of the rows that are believed in the end
_METHOD = {"name": "probe", "self_training": _SHARE}


def started(spec: Spec, folder: Path, home: Path, progress: Progress) -> Spec:
    """The spec that learns from the names of the classes, where no row of the data has a label; else the same spec.

    Raises TrimtabError where the names say nothing, where several columns could be the text, and where no `test:` file
    has rows to measure on.
    """
    kind = spec.output_type
    given = kind.options.get("classes") if isinstance(kind, Typed) else None
    classes = [parse.label(name) for name in given] if isinstance(given, (list, tuple)) else []
    if not classes:
        return spec
    data = read.load(spec.data, folder, spec.encoding)
    labels = data.table.values.get(spec.output_name, ())
    if any(file.format == FOLDER for file in data.files) or not all(map(parse.is_missing, labels)):
        return spec
    where = f"output: {spec.output_name}"
    if mute := [name for name in classes if not few_rows.says_something(name)]:
        found = f"no row has a label, and the name of the class {mute[0]!r} says nothing"
        raise problem(where, found, "names such as sports, business", "write what the classes are called")
    if spec.test is None:
        found = "no row has a label: by the names of the classes a network can be made, but nothing can be measured"
        do = "label some rows (20 are a start) and name their file: `test: labelled.csv`; or put labels into the data"
        raise problem(where, found, do=do)
    column = _text(spec, data)
    target = home / "work" / "names.jsonl"
    target.parent.mkdir(parents=True, exist_ok=True)
    rows = [{column: said.format(name), spec.output_name: name} for name in classes for said in SENTENCES]
    files.write(target, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    progress.note(f"no row has a label: learnt are the names of the classes ({', '.join(classes)}), carried over")
    changed: dict[str, Any] = {
        "data": (str(target.resolve()),),
        "unlabelled": (*spec.data, *spec.unlabelled),
        "inputs": spec.inputs or {column: "text"},
    }
    if spec.train.method is None:
        changed["train"] = spec.train.model_dump(exclude_unset=True) | {"method": _METHOD}
    return Spec.model_validate(spec.model_dump(exclude_unset=True) | changed)


def _text(spec: Spec, data: Loaded) -> str:
    """The column that is read: the only input, or the only column."""
    names = list(spec.inputs) if spec.inputs else [name for name in data.table.values if name != spec.output_name]
    if len(names) != 1:
        found = f"no row has a label, and {len(names)} columns could be the text: {', '.join(names)}"
        raise problem("inputs", found, do="name it: `inputs: {text: text}`")
    return names[0]
