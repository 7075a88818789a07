"""A page to label rows on: one file that fetches nothing and sends nothing, and saves a csv."""

from __future__ import annotations

import hashlib
import json
import mimetypes
from base64 import b64encode
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template

from trimtab import files
from trimtab.ask.sheet import Question, Sheet
from trimtab.columns import InputColumn

_MOST_BYTES = 4_000_000  # of a picture or a sound that is put into the page


def write(
    path: Path, sheet: Sheet, question: Question, inputs: Sequence[InputColumn], folder: Path, saves: str
) -> None:
    """Write the page; what was labelled already is there. `saves` is the name of the csv that it saves."""
    held = {column.name for column in inputs if column.from_files}
    shown = [[_shown(row[name], name in held, folder) for name in sheet.names] for row in sheet.rows]
    rows = [[row[name] for name in sheet.names] for row in sheet.rows]
    data = {
        "id": hashlib.sha256(json.dumps([rows, question.name]).encode()).hexdigest()[:16],
        "names": sheet.names,
        "rows": rows,
        "shown": shown,
        "answers": sheet.answers,
        "column": question.name,
        "classes": question.classes,
        "several": question.several and bool(question.classes),
        "separator": question.separator,
        "file": saves,
    }
    template = Template(Path(__file__).with_name("labelling.html").read_text(encoding="utf-8"))
    text = template.substitute(title=escape(f"{question.name}: {len(rows)} rows to label"), data=_inert(data))
    with files.writing(str(path)):
        files.write(path, text)


def _inert(data: object) -> str:
    """JSON that ends no script and opens no other, whatever users wrote."""
    text = json.dumps(data, ensure_ascii=False)
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def _shown(value: str, from_files: bool, folder: Path) -> str:
    """A cell as the page shows it: the content of a picture or a sound, where it is a file of a bearable size."""
    if not from_files or not value:
        return value
    path = folder / value
    kind = mimetypes.guess_type(value)[0] or ""
    if not kind.startswith(("image/", "audio/")) or not path.is_file() or path.stat().st_size > _MOST_BYTES:
        return value
    return f"data:{kind};base64,{b64encode(path.read_bytes()).decode('ascii')}"
