"""`trimtab explain`: what each word, patch or column adds to the answer of a row, in the terminal or as a page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.text import Text

from trimtab import explain, files, rows, runtime
from trimtab.bundle import store
from trimtab.cli._options import AnyRows, Bundle, Encoding, Threads
from trimtab.cli._problems import Told
from trimtab.cli._view import console, print_json, result, styled
from trimtab.cli.predict import beside, loose
from trimtab.errors import brief, nearest, problem, shortened
from trimtab.explain import Explanation, Unit
from trimtab.report import explanation as page
from trimtab.rows import Rejected, Row
from trimtab.runtime import histories

_LISTED = 10  # units of a row that are listed, the strongest first
_BAR = 16  # characters of the longest bar
_NAME = 40  # characters of a unit


def command(
    bundle: Bundle,
    data: AnyRows = "-",
    row: Annotated[
        list[int] | None, typer.Option(min=1, help="Explain this row, counted from 1; may be given several times.")
    ] = None,
    most: Annotated[
        int, typer.Option(min=1, help="Rows that are explained, the first ones, where no --row is given.")
    ] = 5,
    answer: Annotated[
        str | None, typer.Option("--class", metavar="NAME", help="What is explained. Default: what is answered.")
    ] = None,
    method: Annotated[
        str, typer.Option(help="shapley, occlusion (one unit left out at a time) or gradients (needs the train extra).")
    ] = "shapley",
    calls: Annotated[int, typer.Option(min=16, help="Answers that one row is explained by.")] = explain.CALLS,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a page with all explanations.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object for each row.")] = False,
    encoding: Encoding = None,
    threads: Threads = None,
) -> None:
    """Explain answers: what each word, patch or column adds to the score of what is answered.

    The row is answered again and again without some of its units: words, patches of a picture, slices of a sound,
    events, whole cells. What speaks for the answer is marked +, what speaks against it -. Needs no PyTorch.

    Example: trimtab explain runs/reviews/bundle new.csv --row 3 --html why.html
    """
    if method not in explain.METHODS:
        raise problem("--method", f"found {method!r}", nearest(method, explain.METHODS))
    model = runtime.load(bundle, threads)
    told, seen = Told(), explain.reference_of(model)
    files_alone = loose(model, data, _bad)
    folder = Path() if files_alone else beside(data)
    source = files_alone or rows.read(data, _bad, None, _note, encoding, model.serving.encoding)
    found: list[tuple[Row, Explanation]] = []
    for number, one in _picked(model, source, data, row, most):
        question = explain.ask(model, one.values, seen, answer, folder=folder)
        told.add([one], question.answered.problems)
        found.append((one, explain.explain(question, method, calls)))
        if json:
            print_json({"row": number, "line": one.line, **found[-1][1].as_json()})
        else:
            _show(number, found[-1])
    if html:
        pairs = [(one.values, explained) for one, explained in found]
        name = store.read_manifest(bundle).name if store.is_whole(bundle) else ""
        files.write(html, page.render(name, model.inputs, pairs, folder))
        _note(f"{len(found):,} explanations in {html}")
    told.tell(_note)


def _note(text: str) -> None:
    console.print(brief(text), soft_wrap=True)


def _bad(rejected: Rejected) -> None:
    _note(f"line {rejected.line}: {rejected.reason}")


def _picked(
    model: runtime.Model, source: rows.Rows, data: str, wanted: Sequence[int] | None, most: int
) -> Iterator[tuple[int, Row]]:
    """The rows with these numbers, or the first ones. Raises TrimtabError where there are fewer rows."""
    source = histories.gathered(model, source, _note)
    read = list(islice(source, max(wanted) if wanted else most))
    names = list(dict.fromkeys([*(source.names or ()), *(name for one in read for name in one.values)]))
    if absent := runtime.check_names(model.inputs, names):
        _note(runtime.absent_columns(absent, names))
    if wanted and max(wanted) > len(read):
        raise problem("--row", f"found {max(wanted)}", f"1 to {len(read):,}: {data} has so many rows")
    yield from ((number, read[number - 1]) for number in wanted or range(1, len(read) + 1))


def _show(number: int, found: tuple[Row, Explanation]) -> None:
    """A row's answer, its texts with their words coloured, and its strongest units."""
    row, one = found
    said = {name: ", ".join(map(str, v)) if isinstance(v, list) else str(v) for name, v in one.answers.items()}
    answers = ", ".join(f"{name} {shortened(value, _NAME)}" for name, value in said.items())
    result.print(styled((f"row {number}", "bold"), (f" (line {row.line}): {answers}", "")), soft_wrap=True)
    score = f"{one.scale or 'answer'} {one.score:.3g} = {one.base:.3g} without any unit"
    added = f"{one.contributions.sum():+.3g} by its units, {round(one.delta, 5) + 0.0:+.1g} unexplained"
    result.print(f"  {one.name}: {score}, {added}", soft_wrap=True)
    largest = float(np.abs(one.contributions).max(initial=0.0)) or 1.0
    for column in dict.fromkeys(unit.column for unit in one.units if unit.place):
        _drawn(one, column, row.values.get(column), largest)
    for place in one.order[:_LISTED]:
        result.print(_line(one, int(place), largest))
    rest = one.order[_LISTED:]
    if len(rest):
        result.print(f"  {one.contributions[rest].sum():+10.3g}  {len(rest)} other units", style="dim")
    result.print("")


def _line(one: Explanation, place: int, largest: float) -> Text:
    """`  +1.52 ±0.10  ########  lovely`."""
    contribution, error = float(one.contributions[place]), float(one.errors[place])
    bar = f"{'█' * round(_BAR * abs(contribution) / largest):{_BAR}}"
    around = f" ±{error:.2g}" if error else ""
    name = shortened(one.units[place].label, _NAME)
    colour = "blue" if contribution > 0 else "red"
    return styled((f"  {contribution:+10.3g}{around:9}  ", ""), (bar, colour), (f"  {name}", ""))


def _drawn(one: Explanation, column: str, value: Any, largest: float) -> None:
    """The words of a text, or the patches of a picture, each on the colour of its contribution."""
    units = [(unit, float(c)) for unit, c in zip(one.units, one.contributions, strict=True) if unit.column == column]
    if len(units[0][0].place) == 4:
        result.print(_grid(units, largest))
    elif isinstance(value, str):
        words = (part for unit, c in units for part in ((unit.label, _colour(c / largest)), (" ", "")))
        result.print(Text.assemble("  ", styled(*words)), soft_wrap=True)


def _grid(units: Sequence[tuple[Unit, float]], largest: float) -> Text:
    lines = Text()
    for unit, contribution in units:
        lines.append("  " if unit.place[1] == 0 else "")
        lines.append("  ", _colour(contribution / largest))
        lines.append("\n" if unit.place[3] == 1 else "")
    return lines


def _colour(strength: float) -> str:
    """Black on white that turns blue for what speaks for the answer, red for what speaks against it."""
    rest = round(255 * (1 - 0.8 * min(1.0, abs(strength))))
    return f"black on rgb({rest},{rest},255)" if strength > 0 else f"black on rgb(255,{rest},{rest})"
