"""What a type does is said by the type: no generic code compares a type's name, or keeps a table of them."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TypeGuard

import pytest

from trimtab import columns
from trimtab.audit import baselines
from trimtab.columns import OutputColumn
from trimtab.registry import camel, names

SOURCE = Path(__file__).resolve().parent.parent / "src" / "trimtab"
TYPES = {path.stem for path in (SOURCE / "columns").glob("*.py") if not path.stem.startswith("_")}
CLASSES = {f"{camel(name)}Column" for name in TYPES}
# Where files are called by a type, or say which types they read: they are registries themselves.
REGISTRIES = (
    "columns/", "nets/heads/", "nets/encoders/", "pretrained/", "train/augment/", "compress/varied/", "data/samples/",
    "perturb/", "foreign/", "explain/",
)  # fmt: skip
# File -> how many places at most decide by a type, and why. Less is always right: lower the number with the code.
ALLOWED = {
    # About types: each works on what only this type has, and leaves the others as they are.
    "compress/build.py": (2, "words of the bundle's own texts, which become those of varied rows"),
    "compress/cascade.py": (3, "confidences of two labels are compared"),
    "compress/layers.py": (1, "lengths of texts, to tell what a block costs"),
    "compress/plan.py": (1, "students that read texts"),
    "compress/smaller.py": (3, "pictures shown smaller; what becomes of a pretrained encoder of texts"),
    "compress/students.py": (1, "students that read texts"),
    "compress/vocabulary.py": (2, "word tables of texts"),
    "data/infer.py": (2, "first bytes of the files that pictures and sounds stand in; own types say `recognised`"),
    "search/candidates.py": (1, "only a label is answered by two networks"),
    "programs/thresholds.py": (1, "groups of people are the categories of a column"),
    "pipeline/mitigation.py": (1, "groups of people are the categories of a column"),
    "request/mitigation.py": (3, "a cut lies between the two classes of a label, and has groups by categories"),
    "rows/folder.py": (2, "ends of the files that pictures and sounds stand in"),
    # Words that are spelt like a type, and name none.
    "data/profile.py": (2, "what columns of answers are often called"),
    "metrics/_evidence.py": (1, "a key of the evidence"),
    "checks/label_errors.py": (1, "the head of a column of a table"),
    "pipeline/release.py": (1, "the history of a training"),
    "checks/quality.py": (1, "the history of a training"),
    "report/model_card.py": (12, "the hub's own names of tasks, of the types that it knows"),
    "report/words.py": (1, "a hole of a sentence"),
    "report/html.py": (1, "the history of a training"),
    "report/plots.py": (1, "the history of a training"),
    "spec/model.py": (1, "a word of the key `clean`"),
    "serve/routes/inference.py": (1, "a type of JSON schema"),
    "serve/routes/explain.py": (3, "a type of JSON schema, a key of the answer"),
    "serve/completions.py": (5, "keys and words of OpenAI's protocol"),
    "values/event_order.py": (3, "how times are spelt"),
}


def deciding(text: str) -> list[str]:
    """Places of a source that decide by a type of ours: what the type should say itself.

    A type's name in a comparison, a pattern, a table or a set, or as the argument `type`, and `isinstance` of a type's
    class. A word that merely is spelt like a type (a key that is read, a name that is given, prose) decides nothing.
    """
    tree = ast.parse(text)
    return [f"{part.lineno}: {ast.unparse(part)}" for node in ast.walk(tree) for part in _deciding(node)]


def _deciding(node: ast.AST) -> list[ast.expr]:
    match node:
        case ast.Compare():
            parts = [node.left, *node.comparators]
            return [part for part in parts if _named(part) or _is_class(getattr(part, "value", None))]
        case ast.Dict():
            return [key for key in node.keys if key and _named(key)]
        case ast.Set() | ast.List() | ast.Tuple():
            return [part for part in node.elts if _named(part)]
        case ast.MatchValue():
            return [node.value] if _named(node.value) else []
        case ast.keyword(arg="type"):
            return [node.value] if _named(node.value) else []
        case ast.Call(func=ast.Name(id="isinstance" | "issubclass"), args=[_, kinds]):
            return [part for part in ast.walk(kinds) if _is_class(part)]
    return []


def _named(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in TYPES


def _is_class(node: ast.AST | None) -> TypeGuard[ast.expr]:
    return isinstance(node, ast.Name) and node.id in CLASSES


def test_no_generic_code_decides_by_a_type() -> None:
    assert len(TYPES) == 18
    found = {str(path.relative_to(SOURCE)): deciding(path.read_text(encoding="utf-8")) for path in SOURCE.rglob("*.py")}
    generic = {name: places for name, places in found.items() if places and not name.startswith(REGISTRIES)}
    assert {name: places for name, places in generic.items() if len(places) > ALLOWED.get(name, (0, ""))[0]} == {}
    assert {name for name in ALLOWED if name not in generic} == set()


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ('kind == "text"', 1),
        ('kind in ("text", "number")', 2),
        ('{"image": 1, "audio": 2, "size": 3}', 2),
        ('frozenset({"text"})', 1),
        ('Typed(type="history")', 1),
        ("isinstance(column, TextColumn | ImageColumn)", 2),
        ("output.type != LabelColumn.type", 1),
        ("match kind:\n    case 'text': pass", 1),
        ('warning["text"]; print("text"); kind == "texts"; isinstance(column, InputColumn)', 0),
    ],
)
def test_what_decides_by_a_type_is_found(text: str, count: int) -> None:
    assert len(deciding(text)) == count


@pytest.mark.parametrize("name", sorted(columns.types_of(OutputColumn)))
def test_every_answer_of_ours_says_how_it_is_measured_and_what_costs_nothing(name: str) -> None:
    kind = columns.kind(name, "output")
    assert kind.metrics[0] == kind.headline
    assert kind.baselines in names(baselines.__name__)


def test_a_type_that_says_nothing_gets_no_answer_that_is_wrong() -> None:
    assert OutputColumn.baselines is None
    flags = [OutputColumn.mixes, OutputColumn.one_class, OutputColumn.single, OutputColumn.several]
    assert flags == [False] * 4
    with pytest.raises(NotImplementedError, match="label"):
        OutputColumn.answered_simply(columns.fit("label", "y", "y", ["a", "b"], {}), [], [])  # type: ignore[arg-type]
