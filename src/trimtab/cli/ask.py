"""`trimtab ask`: the rows of a pool that are most worth a label, to be labelled."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trimtab import rows, runtime
from trimtab.ask import page, picking, terminal
from trimtab.ask.sheet import Question, Sheet
from trimtab.cli import _view
from trimtab.cli._options import Bundle
from trimtab.errors import problem


def command(
    bundle: Bundle,
    pool: Annotated[str, typer.Argument(metavar="POOL", help="A file of rows without answers.", show_default=False)],
    count: Annotated[int, typer.Option("--rows", min=1, help="How many rows to pick.")] = 50,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="The csv. Default: POOL-to-label.csv, here.")
    ] = None,
    label: Annotated[bool, typer.Option("--label", help="Label them here, in the terminal.")] = False,
    html: Annotated[
        Path | None, typer.Option("--page", metavar="FILE", help="Write a page to label them on, in any browser.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the draw: another seed gives other rows.")] = 0,
    format: Annotated[
        str | None, typer.Option(help="Of the pool: csv, tsv, jsonl, json or parquet. Default: by its ending.")
    ] = None,
    encoding: Annotated[str | None, typer.Option(help="Of the pool's text. Default: as `predict` reads it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="What was picked as one JSON object on stdout.")] = False,
) -> None:
    """Pick the rows that are most worth a label: the bundle is unsure of them, and they are unlike each other.

    They are written to a csv with an empty column for the answer, to be filled in by hand, in the terminal (--label) or
    on a page (--page); `trimtab adapt` takes it as new rows. With --label, a csv that is there already goes on.

    Example: trimtab ask runs/reviews/bundle october.csv --rows 50 --label
    """
    model = runtime.load(bundle)
    question = Question.of(model.output)
    target = output or Path(f"{Path(pool).stem or 'rows'}-to-label.csv")
    folder = Path() if pool == "-" else Path(pool).parent
    there = Sheet.read(target, question.name) if target.exists() else None
    if there is not None and there.done and not label:
        do = "go on with it: --label, or name another --output"
        raise problem(str(target), f"holds {there.done} labels already", do=do)
    told: dict[str, object] = {}
    if there is None or not label:
        _writable(model, question)
        source = rows.read(pool, picking.ignored, format, _note, encoding, model.serving.encoding)
        found = picking.pick(model, source, pool, count, folder, seed)
        sheet = Sheet.of(found.rows, found.names, question.name)
        sheet.save(target)
        told = {"of": found.of, "left_out": found.left_out, "answers": found.answers}
        left_out = "".join(f"; {rows:,} {reason}" for reason, rows in found.left_out.items())
        _note(f"{len(sheet.rows):,} of {found.of:,} rows{left_out}: {target}")
    else:
        sheet = there
        _note(f"{target}: {sheet.done} of {len(sheet.rows)} rows are labelled, it goes on")
    if html is not None:
        page.write(html, sheet, question, model.inputs, folder, target.name)
        _note(f"page: {html}")
    if label:
        with terminal.asking(question) as ask:
            sheet = terminal.label(sheet, question, target, ask, _say)
        _note(f"{sheet.done} of {len(sheet.rows)} rows are labelled: {target}")
    if as_json:
        _view.print_json({"file": str(target), "rows": len(sheet.rows), "labelled": sheet.done, **told})
    else:
        _note(f"next: trimtab adapt {bundle} {target}")


def _writable(model: runtime.Model, question: Question) -> None:
    """Raises TrimtabError for answers that stand in several columns: one cell cannot hold them."""
    if model.output.sources:
        found = f"answers {question.name!r}, which stands in the columns {', '.join(model.output.sources)}"
        raise problem("trimtab ask", found, "answers of one column", "fill in these columns of a file by hand")


def _note(text: str) -> None:
    _view.console.print(text, soft_wrap=True, markup=False, highlight=False)


def _say(text: str) -> None:
    print(text, flush=True)
