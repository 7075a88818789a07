"""`trimtab predict`: rows in, the same rows plus answers out, safe for spreadsheets if asked; in constant memory."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Any

import typer

from trimtab import files, rows, runtime
from trimtab.cli._options import AnyRows, Bundle, Device, Encoding, Threads
from trimtab.cli._problems import MostUnread, Told, share, telling
from trimtab.cli._view import console
from trimtab.columns import OutputColumn, no_outputs
from trimtab.errors import brief, problem
from trimtab.rows import Rejected, Row
from trimtab.rows import folder as folders
from trimtab.rows import rejected as aside
from trimtab.runtime import histories

# The first chunk is small, so that the first answers come soon; the largest is still little memory.
_FIRST_CHUNK, _LARGEST_CHUNK = 64, 2048
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def command(
    bundle: Bundle,
    data: AnyRows = "-",
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Where to write, or - for stdout.")
    ] = "-",
    format: Annotated[
        str | None,
        typer.Option(help="csv, tsv, jsonl, json or parquet. Default: by the ending of --output, else like the input."),
    ] = None,
    rejected: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write rows that cannot be read to this file (json lines).")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="The best answers of each row, in order, as one more column.")] = 1,
    encoding: Encoding = None,
    threads: Threads = None,
    device: Device = "cpu",
    problems: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write each value that is told of to this file (json lines).")
    ] = None,
    most_unread: MostUnread = None,
    spreadsheet: Annotated[
        bool,
        typer.Option("--spreadsheet", help="Put ' before texts that a spreadsheet would run as formulas (=, +, -, @)."),
    ] = False,
    decoding: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="How answers that are written are: beams=4, temperature=0.7, top_p=0.9, seed=1, longest=50, "
            "no_repeat=3, stop=TEXT; may be repeated.",
        ),
    ] = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Show answers that are written while they are, a line for each row.")
    ] = False,
) -> None:
    """Answer rows: the same rows come out, with the answer and its confidence as further columns.

    The answer's column is called like the output, or predicted_<output> where the rows already have that column. Values
    that cannot be read, or that training never had, are answered all the same and counted on stderr, column by column.
    Answers that are pictures become files in a folder beside the output, whose paths stand in the table; on stdout they
    are data: URIs.

    Example: trimtab predict runs/reviews/bundle new.csv --output answered.csv
    """
    most = share(most_unread)
    if stream and output != "-":
        raise problem("--stream", f"shows answers, and --output is {output}", do="leave one of the two out")
    ways = _ways(decoding or ())
    model = runtime.load(bundle, threads, device=device)
    if ways and not stream:
        model = model.writing(**ways)
    try:
        with aside.writing(rejected) as bad, telling(problems) as told:
            files = loose(model, data, bad)
            source = files or rows.read(data, bad, None, _note, encoding, model.serving.encoding)
            folder = Path() if files else beside(data)
            if stream:
                count = _stream(model, source, folder, ways)
            else:
                count = _answer(model, source, _Asked(output, format, top, folder, spreadsheet), told)
    except BrokenPipeError:  # whoever reads has enough; what is still buffered must not be tried again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None
    _note(f"{count:,} rows answered")
    if bad.count:
        _note(bad.summary(rejected))
    told.tell(_note)
    told.hold(most, _note)


def _ways(given: Sequence[str]) -> dict[str, Any]:
    """What `--decoding` says, as `Model.writing` takes it. Raises TrimtabError for what is no NAME=VALUE."""
    found: dict[str, Any] = {}
    for one in given:
        name, mark, value = one.partition("=")
        if not mark:
            raise problem("--decoding", f"found {one!r}", "NAME=VALUE, such as beams=4")
        found[name] = (*found.get(name, ()), value) if name == "stop" else value
    return found


def _stream(model: runtime.Model, source: rows.Rows, folder: Path, ways: dict[str, Any]) -> int:
    """Show each answer piece by piece; the number of rows."""
    count = 0
    for row in source:
        count += 1
        known = [column for column in model.inputs if column.name in row.values]
        values = {column.name: column.located(row.values[column.name], folder) for column in known}
        for piece in model.stream(values, **ways):
            print(piece, end="", flush=True)
        print(flush=True)
    return count


def _note(text: str) -> None:
    console.print(brief(text), soft_wrap=True)


@dataclass(frozen=True)
class _Asked:
    """Where the answers go, and how many of each row; paths in the rows are relative to `folder`."""

    output: str
    format: str | None
    top: int
    folder: Path
    spreadsheet: bool


def loose(model: runtime.Model, data: str, bad: Callable[[Rejected], None]) -> rows.Rows | None:
    """Pictures or sounds that no file of rows lists: those of a folder, or one; None for anything else.

    Of folders that are called like the bundle's classes, the rows say which one they lie in.
    """
    path = Path(data)
    if data == "-" or not (path.is_dir() or folders.kind_of(data)):
        return None
    files = [column for column in model.inputs if column.from_files]
    sorted_ = path.is_dir() and folders.is_sorted(path, model.output.classes)
    if sorted_ and [column.name for column in files] == [column.type for column in files]:
        return None
    if len(files) != 1:
        said = "a folder" if path.is_dir() else "one file"
        reads = f"the bundle reads {', '.join(column.name for column in model.inputs)}"
        raise problem(data, f"is {said}, but {reads}", "a file of rows with these columns, such as csv")
    if not path.exists():
        raise problem(data, "no such file")
    (column,) = files
    return rows.Rows(rows.FOLDER, (column.name,), folders.loose(path, column.type, column.name, bad, _note))


def beside(data: str) -> Path:
    """The folder that paths in a file of rows are relative to: the file's own; of stdin, the current one."""
    return Path() if data == "-" or Path(data).is_dir() else Path(data).parent


def _answer(model: runtime.Model, source: rows.Rows, asked: _Asked, told: Told) -> int:
    """Read, answer and write chunk by chunk; the number of rows."""
    source = histories.gathered(model, source, _note)
    chunks = _chunks(source)
    first = next(chunks, [])
    names = list(dict.fromkeys([*(source.names or ()), *(name for row in first for name in row.values)]))
    absent = runtime.check_names(model.inputs, names) if names or first else []
    if absent:
        _note(runtime.absent_columns(absent, names))
    answers = answer_names(model.output, names, asked.top)
    count = 0
    format = asked.format or _format(asked.output, source.format)
    columns = [*names, *answers.values()]
    with rows.writer(asked.output, format, list(map(_inert, columns)) if asked.spreadsheet else columns) as sink:
        for chunk in chain([first], chunks) if first else ():
            sink.write(_with_answers(model, chunk, answers, asked, told, count))
            if not count and len(chunk) == _FIRST_CHUNK:
                told.early(_note)
            count += len(chunk)
    return count


def _chunks(source: Iterable[Row]) -> Iterator[list[Row]]:
    iterator, size = iter(source), _FIRST_CHUNK
    while chunk := list(islice(iterator, size)):
        yield chunk
        size = min(2 * size, _LARGEST_CHUNK)


def _format(output: str, of_input: str) -> str:
    """The format that the output's ending names, else the input's; JSON of any kind goes out line by line."""
    name = output.lower().removesuffix(".gz")
    by_ending = [key for key, known in rows.FORMATS.items() if name.endswith(known.endings)]
    return by_ending[0] if by_ending else {"json": "jsonl", "hf": "jsonl", rows.FOLDER: "csv"}.get(of_input, of_input)


def answer_names(output: OutputColumn, taken: Sequence[str], top: int = 1) -> dict[str, str]:
    """What each answer column is called beside columns that have the names in `taken`."""
    names: dict[str, str] = {}
    for answer in output.decode(no_outputs(output.tensors), top):
        name = answer
        while name in taken or name in names.values():
            name = f"predicted_{name}"
        names[answer] = name
    return names


def _with_answers(
    model: runtime.Model, chunk: Sequence[Row], names: dict[str, str], asked: _Asked, told: Told, before: int
) -> list[dict[str, Any]]:
    found = model.answer([row.values for row in chunk], asked.top, asked.folder)
    told.add(chunk, found.problems)
    answers = {names[name]: values for name, values in found.answers.items()}
    if model.output.file_ending and asked.output != "-":
        name = names[model.output.name]
        answers[name] = _filed(model.output, answers[name], Path(asked.output), before)
    for row in chunk:
        if clash := row.values.keys() & answers.keys():
            said = f"the row has {sorted(clash)[0]!r}, which names an answer; the first rows had no such column"
            raise problem(f"line {row.line}", said, do="rename the column, or give every row the same columns")
    made = [
        row.values | {name: values[position] for name, values in answers.items()} for position, row in enumerate(chunk)
    ]
    return [{_inert(name): _inert(value) for name, value in row.items()} for row in made] if asked.spreadsheet else made


def _filed(output: OutputColumn, answers: Sequence[Any], table: Path, before: int) -> list[str]:
    """Write answers as files, by the numbers of their rows; their paths, relative to the folder of the table."""
    folder = table.with_name(f"{table.name.partition('.')[0]}-{output.key}")
    with files.writing(str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / f"{before + row:06d}{output.file_ending}" for row in range(1, len(answers) + 1)]
        for path, answer in zip(paths, answers, strict=True):
            path.write_bytes(output.content(answer))
    return [path.relative_to(table.parent).as_posix() for path in paths]


def _inert(value: Any) -> Any:
    """A text that a spreadsheet shows instead of running it (https://owasp.org/www-community/attacks/CSV_Injection)."""
    if not isinstance(value, str) or not value.startswith(_FORMULAS):
        return value
    try:
        float(value)  # -5 is no formula
    except ValueError:
        return f"'{value}"
    return value
