"""What every test promises: it can fail, and not because a machine is busy."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

FILES = sorted(Path(__file__).parent.glob("*.py"))
CLOCKS = {"process_time", "thread_time", "perf_counter", "monotonic", "getrusage"}


def every_test() -> Iterator[tuple[str, ast.FunctionDef]]:
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield f"{path.name}: {node.name}", node


def test_no_assertion_stands_under_an_if_or_beside_an_or() -> None:
    found = list(every_test())
    assert len(found) > 700
    branches = [
        name
        for name, test in found
        for part in ast.walk(test)
        if isinstance(part, ast.If) and any(isinstance(inner, ast.Assert) for inner in ast.walk(part))
    ]
    either = [
        name
        for name, test in found
        for part in ast.walk(test)
        if isinstance(part, ast.Assert) and isinstance(part.test, ast.BoolOp) and isinstance(part.test.op, ast.Or)
    ]
    assert (branches, either) == ([], [])


def test_no_assertion_is_about_time() -> None:
    timed = [
        name
        for name, test in every_test()
        for part in ast.walk(test)
        if isinstance(part, ast.Assert)
        and any(isinstance(inner, ast.Attribute) and inner.attr in CLOCKS for inner in ast.walk(part))
    ]
    assert timed == []
