"""What a type does is said by the type: no generic code compares a type's name, or keeps a table of them."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

from trimtab import columns
from trimtab.audit import baselines
from trimtab.columns import OutputColumn
from trimtab.registry import names

SOURCE = Path(__file__).resolve().parent.parent / "src" / "trimtab"
TYPES = {path.stem for path in (SOURCE / "columns").glob("*.py") if not path.stem.startswith("_")}
# Where files are called by a type, or say which types they read: they are registries themselves.
REGISTRIES = (
    "columns/", "nets/heads/", "nets/encoders/", "pretrained/", "train/augment/", "compress/varied/", "data/samples/",
)  # fmt: skip
# File -> how often at most, and why. Less is always right: lower the number with the code.
ALLOWED = {
    "cli/init.py": (2, "figures of a column for people"),
    "cli/launch.py": (1, "the text of a data warning, no type"),
    "compress/smaller.py": (1, "an encoder's name"),
    "data/clean.py": (12, "words of the key `clean`, which are those of two types"),
    "data/events.py": (7, "events become a history and a ranking"),
    "data/infer.py": (22, "tells types by their values"),
    "data/prepare.py": (3, "what counts as missing in a cell"),
    "data/profile.py": (11, "tells types by their values, and figures for people"),
    "data/read.py": (1, "a folder's column, no type"),
    "data/report.py": (3, "near-duplicates among texts"),
    "data/roles.py": (14, "types whose cells are plain values"),
    "metrics/_evidence.py": (2, "a key of the evidence, no type"),
    "nets/network.py": (1, "an architecture of the tests"),
    "nets/steps.py": (8, "sequences: how many ids, how long"),
    "pipeline/recompress.py": (1, "the history of a training, no type"),
    "pipeline/release.py": (1, "the history of a training, no type"),
    "registry.py": (3, "names of extras, no types"),
    "report/facts.py": (1, "the history of a training, no type"),
    "report/html.py": (1, "the history of a training, no type"),
    "report/provenance.py": (1, "the history of a training, no type"),
    "report/plots.py": (2, "the history of a training, no type"),
    "request/__init__.py": (3, "items of a ranking are known to the histories beside it"),
    "request/encoder_plan.py": (7, "pretrained encoders of texts and pictures"),
    "rows/_layouts.py": (1, "JSON's word, no type"),
    "rows/folder.py": (4, "names of the columns of a folder"),
    "runtime/histories.py": (1, "events become histories"),
    "spec/model.py": (1, "a word of the key `clean`"),
    "train/settings.py": (6, "pretrained encoders of texts and pictures"),
    "values/event_order.py": (7, "how times are spelt, no types"),
    "values/parse.py": (1, "a part of a regular expression, no type"),
}


def spoken(path: Path) -> int:
    """How often a type's name stands in a file as a string of its own."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return sum(isinstance(node, ast.Constant) and node.value in TYPES for node in ast.walk(tree) if _plain(node))


def _plain(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def test_no_generic_code_names_a_type() -> None:
    assert len(TYPES) == 12
    found = Counter({str(path.relative_to(SOURCE)): spoken(path) for path in SOURCE.rglob("*.py")})
    generic = {name: count for name, count in found.items() if count and not name.startswith(REGISTRIES)}
    assert {name: count for name, count in generic.items() if count > ALLOWED.get(name, (0, ""))[0]} == {}


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
