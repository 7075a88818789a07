"""How the functions of Trimtab are cut: `python tools/count_helpers.py [--list] [FOLDER...]`.

Counts one-use helpers: private functions at module level with a body of at most three lines (the docstring left out)
that are mentioned once, where they are called; one that is passed on or stands in a table is a value, and is not
counted. And lengths of all functions, from `def` to the last line.
"""

from __future__ import annotations

import ast
import statistics
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent / "src" / "trimtab"
SHORT = 3  # lines of a body

Function = ast.FunctionDef | ast.AsyncFunctionDef


def body_lines(function: Function) -> int:
    """Lines of a function's body, the docstring left out."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def one_use_helpers(tree: ast.Module) -> Iterator[Function]:
    """Private functions of a file, short, mentioned once, and called there."""
    uses = Counter(node.id for node in ast.walk(tree) if isinstance(node, ast.Name))
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    for node in tree.body:
        private = isinstance(node, Function) and node.name.startswith("_") and not node.decorator_list
        if private and uses[node.name] == 1 and node.name in called and body_lines(node) <= SHORT:
            yield node


def lengths(tree: ast.Module) -> Iterator[int]:
    """Lines of every function, methods and nested ones counted."""
    for node in ast.walk(tree):
        if isinstance(node, Function):
            yield (node.end_lineno or 0) - node.lineno + 1


def main(arguments: list[str]) -> None:
    """Tell both, whole and by room."""
    rooms: Counter[str] = Counter()
    found: list[int] = []
    wanted = [one for one in arguments if not one.startswith("-")]
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        if wanted and not name.startswith(tuple(wanted)):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        helpers = list(one_use_helpers(tree))
        rooms[name.partition("/")[0]] += len(helpers)
        found += lengths(tree)
        if "--list" in arguments:
            sys.stdout.writelines(f"{name}:{one.lineno} {one.name}\n" for one in helpers)
    quantiles = statistics.quantiles(found, n=20)
    told = ", ".join(f"{room} {count}" for room, count in rooms.most_common() if count)
    sys.stdout.write(f"one-use helpers: {rooms.total()} ({told})\n")
    median = statistics.median(found)
    sys.stdout.write(f"{len(found)} functions: median {median:g} lines, p95 {quantiles[-1]:g}, longest {max(found)}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
