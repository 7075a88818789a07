"""Write what is generated (docs/spec.md, docs/cli.md, the tree in ARCHITECTURE.md); `--check`: is any of it stale?"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import typer
import typer.main
from pydantic import BaseModel

from trimtab import columns, metrics, perturb, registry
from trimtab.audit.counterfactual import SWAPS
from trimtab.columns import OutputColumn
from trimtab.data import splits
from trimtab.spec import UNITS, Clean, Compress, Cost, Fairness, Lora, Prompting, Search, Spec, Split, Train, schema

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
ARCHITECTURE = ROOT / "ARCHITECTURE.md"
SOURCE = ROOT / "src" / "trimtab"
WIDTH = 100  # columns of a help text, and of a line of the tree
TREE = re.compile(r"(?<=<!-- tree: written by make docs -->\n```text\n).*?(?=```\n)", re.DOTALL)

# Where each part of the spec stands in the file, in the order of the page.
PARTS: dict[str, type[BaseModel]] = {
    "The whole file": Spec,
    "split": Split,
    "clean": Clean,
    "fairness": Fairness,
    "train": Train,
    "train.lora": Lora,
    "search": Search,
    "compress": Compress,
    "cost": Cost,
    "prompt": Prompting,
}
SECTION_OF = {model.__name__: place for place, model in PARTS.items()}
ABBREVIATION = re.compile(r"\b(?:al|[Cc]f|e\.g|i\.e|vs|[A-Z])$")  # their full stop ends no sentence
OTHER_FILES = {
    "labelling.html": "a page to label rows on, with its style and script",
    "py.typed": "this package has type hints",
    "card.css": "how the card looks",
    "explanation.css": "how the page of explanations looks, beside what it has from the card",
    "explanation.html": "the page of explanations",
    "card.html": "the card's page",
    "zh.json": "the words of the card in Chinese",
    "page.css": "how the page of a server looks",
    "page.html": "the page of a server",
    "page.js": "what the page of a server does, and its words in English and Chinese",
}
WITH_OPTIONS = {"Typed": "type with options", "Part": "name with options", "TrainingMethod": "name with options"}
PLAIN_TYPES = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}
LISTS = {"integer": "list of whole numbers", "number": "list of numbers"}
BOUNDS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
BETTER = {True: "more", False: "less"}


def main(arguments: list[str]) -> int:
    """Write the pages, or with `--check` say which of them are stale; the exit code."""
    stale = []
    for path, text in pages().items():
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(str(path.relative_to(ROOT)))
        if "--check" not in arguments:
            path.write_text(text, encoding="utf-8")
    if "--check" not in arguments or not stale:
        return 0
    sys.stderr.write(f"stale: {', '.join(stale)}\n  do: make docs\n")
    return 1


def pages() -> dict[Path, str]:
    """Every generated page and its text."""
    return {DOCS / "spec.md": spec_page(), DOCS / "cli.md": cli_page(), ARCHITECTURE: architecture()}


# ------------------------------------------------------------------------------------------------------- spec.md


def spec_page() -> str:
    """The reference of `trimtab.yaml`."""
    lines = [
        "# The spec: every key of `trimtab.yaml`",
        "",
        "Generated from `src/trimtab/spec/` by `make docs`; a test fails when it is stale.",
        "",
        "`data` and `output` are needed, everything else has a default. Any key can be set from the command line:",
        "`trimtab launch --set train.epochs=1`. What was chosen automatically is in the bundle's manifest, with the",
        "reason.",
        "",
        "Editors that read JSON schemas complete and check these keys: `trimtab schema --to trimtab.schema.json`",
        "writes the schema, and the first line of a spec names it (`trimtab init` writes that line where the file lies",
        "beside the spec):",
        "",
        "```text",
        schema.line(schema.FILE),
        "```",
        "",
    ]
    for place, model in PARTS.items():
        lines += _part(place, model)
    lines += [*_gates(), *_column_types()]
    return "\n".join(lines).rstrip() + "\n"


def _part(place: str, model: type[BaseModel]) -> Iterator[str]:
    yield from (f"## {place if model is Spec else f'`{place}`'}", "", inspect.getdoc(model) or "", "")
    yield from _keys(model)
    yield ""
    if model is Split:
        yield from _strategies()


def _strategies() -> Iterator[str]:
    """What each `split.by` does, and its options."""
    yield from ("| `by` | what | options |", "|---|---|---|")
    for name in registry.names(splits.__name__):
        kind = registry.load(splits.__name__, name, registry.camel(name), "docs")
        options = "; ".join(f"`{key}`: {field.description}" for key, field in kind.model_fields.items())
        yield f"| `{name}` | {_cell(inspect.getdoc(kind) or '')} | {_cell(options or '-')} |"
    yield ""


def _keys(model: type[BaseModel]) -> Iterator[str]:
    """A table with one row per key of a model."""
    schema = model.model_json_schema()
    needed = schema.get("required", [])
    yield from ("| key | type | default | what |", "|---|---|---|---|")
    for name, field in schema["properties"].items():
        value = model.model_fields[name].get_default(call_default_factory=True)
        default = "needed" if name in needed else _default(value)
        yield f"| `{name}` | {_type(field)} | {default} | {_cell(field.get('description', ''))} |"


def _type(field: Mapping[str, Any]) -> str:
    """A JSON schema's type in words."""
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return WITH_OPTIONS.get(name) or f"the keys of {_link(SECTION_OF[name])}"
    if "anyOf" in field:
        options = [_type(option) for option in field["anyOf"] if option.get("type") != "null"]
        return " or ".join(dict.fromkeys(options))
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    match field.get("type"):
        case "array":
            item = field["items"] if "items" in field else field["prefixItems"][0]
            return LISTS.get(item.get("type", ""), "list of texts")
        case "object":
            inner = field["additionalProperties"]
            return "name: any" if inner is True else f"name: {_type(inner)}"
        case None:
            return "any"
        case kind:
            return ", ".join([PLAIN_TYPES[str(kind)], *_bounds(field)])


def _bounds(field: Mapping[str, Any]) -> list[str]:
    return [f"{words} {field[key]:,}".replace(",", " ") for key, words in BOUNDS.items() if key in field]


def _link(place: str) -> str:
    return f"[`{place}`](#{place.replace('.', '')})"


def _default(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, BaseModel):
        return "see there"
    return f"`{value}`" if value != {} else "none"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _gates() -> Iterator[str]:
    yield from ("## `gates`", "")
    yield 'Each gate is `metric: "operator bound unit"`, such as `size: "<= 15 MB"`. A gate asks for the good side:'
    yield "`>=` or `>` where more is better, `<=` or `<` where less is."
    yield from ("", f"All names {_grammar()}")
    yield from ("", "| metric | output | better | unit | what |", "|---|---|---|---|---|")
    for metric in (metric for metric in metrics.every().values() if metric.gate):
        written = "share or %" if metric.share else str(metric.unit) or "-"
        outputs = ", ".join(_measured_on(metric)) if metric.kinds or not metric.of_every_output else "any"
        better = "as the metric" if metric.of_metric else BETTER[metric.higher_is_better]
        yield f"| `{metric.written}` | {outputs} | {better} | {written} | {metric.meaning} |"
    yield from ("", "A bound may be written in any of these:", "", "| unit | may be written as |", "|---|---|")
    for unit, spellings in UNITS.items():
        yield f"| {unit or 'share'} | {', '.join(f'`{s}`' if s else 'no unit' for s in spellings)} |"
    yield from ("", "Of `robustness.<perturbation>`, by the type of the inputs:", "")
    yield from ("| perturbation | inputs | what |", "|---|---|---|")
    for name in registry.names("trimtab.perturb"):
        yield from (f"| `{one.name}` | {name} | {_cell(one.meaning)} |" for one in perturb.of_type(name))
    yield from ("", "Of `counterfactual.<swap>`, where an input is a text:", "", "| swap | what |", "|---|---|")
    yield from (f"| `{swap.name}` | {_cell(swap.meaning)} |" for swap in SWAPS)
    yield ""


def _grammar() -> str:
    """How the names of metrics are written, as `metrics` says it."""
    return (inspect.getdoc(metrics) or "").partition("All names ")[2]


def _measured_on(metric: metrics.Metric) -> list[str]:
    """The output types that have a metric."""
    kinds = {name: column for name, column in _columns() if issubclass(column, OutputColumn)}
    return [*dict.fromkeys(columns.word(name) for name, one in kinds.items() if metric.measured_of(one.answers))]


def _column_types() -> Iterator[str]:
    yield from ("## Column types", "")
    yield "`inputs: {review: text}` is short for `inputs: {review: {type: text}}`; a type's options stand beside it."
    yield "What the pretrained encoder decides (`tokenizer`, `limit`, `pad_id`) is filled in from `base`."
    for name, column in _columns():
        word = columns.word(name)
        title = f"`{name}`" if word == name else f"`{word}`, as an output{' by itself' if column.called else ''}"
        yield from ("", f"### {title}", "", (inspect.getdoc(column) or "").partition("\n")[0], "")
        yield from _keys(importlib.import_module(column.__module__).Options)


def _columns() -> Iterator[tuple[str, type]]:
    """Every column type that can stand in a spec, with its class."""
    for name in registry.names("trimtab.columns"):
        column = vars(importlib.import_module(f"trimtab.columns.{name}")).get(f"{registry.camel(name)}Column")
        if column is not None:
            yield name, column


# -------------------------------------------------------------------------------------------------------- cli.md


def cli_page() -> str:
    """The help text of every command."""
    lines = [
        "# The commands",
        "",
        "Generated from `src/trimtab/cli/` by `make docs`; a test fails when it is stale.",
        "",
        "Results go to stdout, progress and messages to stderr. The exit code is 0 when all is well, 1 when a gate is",
        "not met, 2 when the request cannot be carried out as it stands.",
    ]
    for name in registry.names("trimtab.cli"):
        command = registry.load("trimtab.cli", name, "command", "docs")
        lines += ["", f"## `trimtab {name}`", "", "```text", help_text(name, command), "```"]
    return "\n".join(lines) + "\n"


def help_text(name: str, command: Callable[..., Any]) -> str:
    """What `trimtab NAME --help` says, without colours and frames."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(name)(command)
    parsed = typer.main.get_command(app)
    context = parsed.make_context(f"trimtab {name}", [], resilient_parsing=True, terminal_width=WIDTH)
    return "\n".join(line.rstrip() for line in parsed.get_help(context).strip().splitlines())


# ------------------------------------------------------------------------------------------------ ARCHITECTURE.md


def architecture() -> str:
    """ARCHITECTURE.md with the tree of src/trimtab as it is now; everything else in it is written by hand."""
    text = ARCHITECTURE.read_text(encoding="utf-8")
    if not TREE.search(text):
        raise SystemExit(f"{ARCHITECTURE.name}: the marks around the tree are missing")
    return TREE.sub(lambda _: tree(), text)


def tree() -> str:
    """One line per file of src/trimtab: its name, and what its docstring says in one sentence."""
    lines = [("src/trimtab/", ""), *_tree(SOURCE, 1)]
    column = max(len(name) for name, _ in lines) + 2
    return "".join(f"{name:<{column}}{cut(said, WIDTH + 20 - column)}".rstrip() + "\n" for name, said in lines)


def _tree(folder: Path, depth: int) -> Iterator[tuple[str, str]]:
    """A folder's files and then its folders; a folder's own line says what its `__init__.py` says."""
    for path in sorted(folder.iterdir(), key=lambda path: (path.is_dir(), path.name)):
        indent = "  " * depth
        if path.is_dir() and (path / "__init__.py").is_file():
            yield f"{indent}{path.name}/", first_sentence(path / "__init__.py")
            yield from _tree(path, depth + 1)
        elif path.suffix == ".py" and (depth == 1 or path.name != "__init__.py"):
            yield f"{indent}{path.name}", first_sentence(path)
        elif path.is_file() and path.suffix != ".py":
            yield f"{indent}{path.name}", OTHER_FILES[path.name]


def first_sentence(path: Path) -> str:
    """The first sentence of a file's docstring, without its full stop."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    paragraph = " ".join(docstring.partition("\n\n")[0].split())
    ends = (found.start() for found in re.finditer(r"\. (?=[A-Z`])", paragraph))
    return paragraph[: next((end for end in ends if not ABBREVIATION.search(paragraph[:end])), None)].removesuffix(".")


def cut(text: str, width: int) -> str:
    """The text; if need be without its asides in brackets, then up to the last mark that fits, else between words."""
    if len(text) > width:
        text = re.sub(r" \([^()]*\)", "", text)
    if len(text) <= width:
        return text
    marks = [found.start() for found in re.finditer(r"[:;,](?= )", text[: width + 1])]
    return text[: marks[-1]] if marks else text[:width].rpartition(" ")[0]


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
