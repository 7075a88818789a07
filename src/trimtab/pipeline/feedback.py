"""Rows of a server's log that were told what was right: new labelled rows for a bundle."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from trimtab import files
from trimtab.bundle import store
from trimtab.errors import problem
from trimtab.progress import Progress
from trimtab.watch.log import LogError, open_log

FILE = "feedback.jsonl"


def write(url: str, bundle: Path, home: Path, progress: Progress) -> Path:
    """Write the rows that the bundle, or one that it was adapted from, answered and that have a label, to `home`.

    Of a label that was told several times the last one counts. Raises TrimtabError for a log that cannot be read, and
    for one without such rows, with the reason.
    """
    manifest = store.read_manifest(bundle)
    column, own = manifest.output.name, {manifest.hash, *(one.hash for one in manifest.lineage)}
    found, seen = [], Counter[str]()
    with open_log(url) as log:
        try:
            for kept in log.read(column=column):
                told = _told(kept.entry.bundle in own, kept.labelled, kept.entry.input)
                seen[told] += 1
                if told == "rows":
                    found.append({**kept.entry.input, column: kept.label})
        except LogError as error:
            raise problem(log.where, f"cannot be read just now ({error})", do="try again") from None
        where = log.where
    listed = ", ".join(f"{count:,} {reason}" for reason, count in seen.items() if reason != "rows") or "no entries"
    if not found:
        do = "keep inputs in the log (`trimtab serve` can), and send labels to /feedback"
        raise problem(where, f"holds no row of this bundle with its input and a label of {column!r}: {listed}", do=do)
    progress.note(f"{where}: {len(found):,} rows with feedback" + (f"; left out: {listed}" if len(seen) > 1 else ""))
    target = home / FILE
    files.write(target, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found))
    return target


def _told(own: bool, labelled: bool, row: object) -> str:
    """What is to be said of an entry: that it is a row to learn from, or why not."""
    if not own:
        return "of other bundles"
    if not labelled:
        return "without a label"
    return "rows" if isinstance(row, Mapping) else "without their input"
