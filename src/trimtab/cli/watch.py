"""`trimtab watch`: whether a bundle at work still does what it was released for."""

from __future__ import annotations

import json
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.table import Column, Table

from trimtab import files, runtime
from trimtab.cli import _view
from trimtab.cli._options import AsJson, Bundle, Threads
from trimtab.errors import problem
from trimtab.report import html as pages
from trimtab.watch import log as logs
from trimtab.watch import telling, times, watching
from trimtab.watch.answering import RowFile
from trimtab.watch.health import MOST_ERRORS
from trimtab.watch.log import Log, LogError
from trimtab.watch.report import Report
from trimtab.watch.subject import Subject
from trimtab.watch.watching import Watcher

_SHOWN = 12  # movements, where more did not move
_PATIENCE = 10.0  # seconds that a webhook may take


def command(
    bundle: Bundle,
    log: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="The log of answers: a file or postgresql://... Default: answers.db beside the bundle.",
        ),
    ] = None,
    data: Annotated[
        str | None, typer.Option(metavar="FILE", help="Rows instead of a log: the bundle answers them here and now.")
    ] = None,
    labels: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="With --data: the column that holds the right answers.")
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Rows to hold others against, instead of those that the bundle knows of."),
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Look at answers from then on: 12h, 7d, 2026-11-29.")
    ] = None,
    alpha: Annotated[
        float, typer.Option(min=1e-12, max=0.5, help="Chance of ever raising a false alarm about drift.")
    ] = watching.ALPHA,
    least: Annotated[
        float, typer.Option(min=0.0, help="Population stability index below which a move raises no alarm.")
    ] = watching.LEAST,
    most_errors: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of requests that may fail.")
    ] = MOST_ERRORS,
    gate: Annotated[bool, typer.Option("--gate", help="Exit with 1 on an alarm: for cron and CI.")] = False,
    webhook: Annotated[str | None, typer.Option(metavar="URL", help="Where an alarm is sent, as JSON by POST.")] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a page of the last days.")] = None,
    format: Annotated[
        str | None, typer.Option(help="Of --data: csv, tsv, jsonl, json or parquet. Default: by the file's ending.")
    ] = None,
    encoding: Annotated[
        str | None, typer.Option(help="Of --data. Default: UTF-8, else as the bundle's data were.")
    ] = None,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Say what has moved in the rows that a bundle answers, since when and how sure that is; how right it still is.

    Answers are held against rows that the bundle did not learn from, whose spread it carries. Evidence grows with every
    row and may be looked at any time: looking every hour raises no more false alarms than looking once. Drift needs no
    labels; accuracy is measured where some came, else estimated. Exit code 0, with --gate 1 on an alarm, 2 when the
    request is wrong.

    Example: trimtab watch runs/reviews/bundle --log answers.db --gate --html watch.html
    """
    if webhook is not None and not webhook.startswith(("http://", "https://")):
        raise problem("--webhook", f"found {webhook!r}", "a URL that begins with http:// or https://")
    if data is not None and log is not None:
        raise problem("--data", "a log is named too", do="name one of them")
    if labels is not None and data is None:
        raise problem("--labels", "no file of rows is named", do="name it: --data FILE")
    start = times.read(since) if since else None
    model = runtime.load(bundle, threads)
    held = RowFile(baseline, encoding=encoding).baseline(model, _note) if baseline else None
    watcher = Watcher(Subject.of(model), held, alpha, least, most_errors)
    if data is not None:
        watcher.add(RowFile(data, format, encoding, labels).kept(model, _note))
    else:
        _follow(watcher, log or str(logs.beside(bundle)), start)
    report = watcher.report()
    if html is not None:
        _write_page(report, html)
    if as_json:
        _view.print_json(telling.as_json(report))
    else:
        _show(report)
    if report.alarms and webhook is not None:
        _send(webhook, report)
    if report.alarms and gate:
        raise typer.Exit(1)


def _follow(watcher: Watcher, url: str, start: float | None) -> None:
    with logs.open_log(url) as log:
        try:
            entries = log.read(watcher.subject.hash, watcher.subject.output.name)
            watcher.add(entries if start is None else (kept for kept in entries if kept.entry.time >= start))
            if not watcher.health.answers + watcher.health.errors:
                _hold_of_this_bundle(log, watcher.subject, start)
        except LogError as error:
            raise problem(log.where, f"cannot be read ({error})") from error


def _hold_of_this_bundle(log: Log, subject: Subject, start: float | None) -> None:
    """Raises TrimtabError where a log has answers, but none of this bundle."""
    seen = log.seen()
    if seen and subject.hash not in {one.bundle for one in seen}:
        others = ", ".join(f"{one.entries:,} of {one.bundle[:12]}" for one in seen[:5])
        said = f"holds no answers of this bundle ({subject.hash[:12]}), but {others}"
        raise problem(log.where, said, do="name the bundle that answered, or its log")
    if seen and start is not None:
        _note("the log has answers of this bundle, but none since then")


def _note(text: str) -> None:
    _view.console.print(text, soft_wrap=True)


def _show(report: Report) -> None:
    """For people, on stdout."""
    out = _view.result
    if report.movements:
        out.print(_movements(report))
    for one in report.accuracy.classes:
        true = "" if one.true is None else f"; true {one.true:.1%}, if only shares of classes moved"
        out.print(f"answered {one.name}: {one.before:.1%} -> {one.now:.1%}{true}", soft_wrap=True)
    if report.accuracy.told:
        out.print(f"accuracy: {report.accuracy.told}", soft_wrap=True)
    if report.accuracy.estimated is not None:
        out.print(f"accuracy, estimated without labels: {report.accuracy.estimated:.3f}", soft_wrap=True)
    for found in report.health:
        mark = ("", "") if found.well else ("  (alarm)", "bold red")
        out.print(_view.styled((f"{found.name}: {found.told}", ""), mark), soft_wrap=True)
    for line in report.untold:
        out.print(f"cannot be told: {line}", soft_wrap=True)
    bad = bool(report.alarms)
    ends = f", {telling.moment(report.first)} to {telling.moment(report.last)}" if report.first is not None else ""
    mark = (telling.verdict(report).lower(), "bold red" if bad else "bold green")
    out.print(_view.styled(mark, (f": {report.name}, {report.rows:,} answers{ends}", "")), soft_wrap=True)
    for line in report.alarms:
        out.print(f"  {line}", soft_wrap=True)


def _movements(report: Report) -> Table:
    heads = [Column(name) for name in ("column", "what", "change")]
    figures = [Column(name, justify="right") for name in ("PSI", "one look, p", "any time, p")]
    table = Table(*heads, *figures, Column("since"), Column(""), box=box.SIMPLE_HEAD)
    alarms = sum(one.alarm for one in report.movements)
    for one in report.movements[: max(_SHOWN, alarms)]:
        figure = (f"{one.psi:.3f}", telling.chance(one.p_value), telling.chance(one.chance))
        mark = _view.styled(("alarm", "red") if one.alarm else ("", ""))
        table.add_row(one.column, one.what, one.change, *figure, telling.since(one), mark)
    return table


def _write_page(report: Report, path: Path) -> None:
    with files.writing(str(path)), tempfile.TemporaryDirectory() as folder:
        files.write(path, pages.render(telling.page(report), telling.draw(report, Path(folder))))
    _note(f"page: {path}")


def _send(url: str, report: Report) -> None:
    """Send an alarm; where that fails the alarm is told all the same."""
    body = json.dumps(telling.as_json(report)).encode()
    asked = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method="POST")
    try:
        with urllib.request.urlopen(asked, timeout=_PATIENCE):
            pass
    except (OSError, urllib.error.URLError, ValueError) as error:
        _note(f"--webhook: the alarm could not be sent ({error})")
