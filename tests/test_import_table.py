"""Who may import whom: the table of ARCHITECTURE.md, the contracts of pyproject.toml and the code say the same."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "trimtab"
SHARED = {"errors", "files", "registry", "part_options", "progress"}
TORCH_FREE_ROOMS = (
    "errors", "files", "registry", "part_options", "progress",
    "spec", "values", "metrics", "rows", "columns", "programs", "bundle", "runtime", "perturb", "behaviour", "page",
    "foreign", "explain", "checks", "reaudit", "watch", "serve", "ask",
)  # fmt: skip
TORCH_FREE_COMMANDS = (
    "ask",
    "audit",
    "compare",
    "evaluate",
    "explain",
    "index",
    "inspect",
    "plan",
    "predict",
    "schema",
    "serve",
    "verify",
    "watch",
)
# Loaded by name: when a row file is parquet, when a log is on a PostgreSQL server.
NEEDS_AN_EXTRA = {"trimtab.rows.hf", "trimtab.rows.parquet", "trimtab.watch.logs.postgresql"}
HEAVY = ("torch", "transformers", "sklearn", "scipy", "polars", "pandas", "matplotlib", "onnx", "peft", "accelerate")


def rooms() -> set[str]:
    """Top-level modules and packages of trimtab, the shared modules and `__main__` left out."""
    files = {path.stem for path in SOURCE.glob("*.py")} - {"__init__", "__main__"}
    folders = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    return (files | folders) - SHARED


def table() -> dict[str, set[str]]:
    """ARCHITECTURE.md's table: each room and the rooms that it may import."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    section = text.partition("## Who may import whom")[2].partition("\n## ")[0]
    cells = dict(re.findall(r"^\| (\w+) \| .* \| (.*?) \|$", section, flags=re.MULTILINE))
    del cells["room"]
    every = {"every room": set(cells), "every room but cli": set(cells) - {"cli"}, "nothing": set()}
    return {room: every.get(cell, set(re.findall(r"\w+", cell))) - {room} for room, cell in cells.items()}


def contracts() -> dict[str, set[str]]:
    """The contracts' importers of each room, without the prefix `trimtab.`."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    protected = [contract for contract in config["contracts"] if contract["type"] == "protected"]
    return {
        contract["protected_modules"][0].removeprefix("trimtab."): {
            name.removeprefix("trimtab.") for name in contract["allowed_importers"]
        }
        for contract in protected
    }


def functions(tree: ast.AST) -> Iterator[ast.AST]:
    """Every function of a module, methods and lambdas counted."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    return (node for node in ast.walk(tree) if isinstance(node, kinds))


def imports_by_name(path: Path) -> bool:
    """Whether a module calls `importlib.import_module`, `__import__`, `exec` or `eval`."""
    calls = (node.func for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call))
    return any(
        ast.unparse(call) in {"importlib.import_module", "import_module", "__import__", "exec", "eval"}
        for call in calls
    )


def torch_free_modules() -> list[str]:
    """Every module that must work without the train extra."""
    paths = [
        *(path for room in TORCH_FREE_ROOMS for path in [SOURCE / f"{room}.py", *(SOURCE / room).rglob("*.py")]),
        *(SOURCE / "cli" / f"{command}.py" for command in TORCH_FREE_COMMANDS),
    ]
    names = [
        ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__")
        for path in paths
        if path.is_file()
    ]
    return sorted(set(names) - NEEDS_AN_EXTRA)


def test_every_room_stands_in_the_table() -> None:
    assert rooms() == set(table())


def test_the_contracts_say_what_the_table_says() -> None:
    may_import = table()
    importers = {room: {other for other, allowed in may_import.items() if room in allowed} for room in may_import}
    importers["cli"] = {"__main__"}
    assert contracts() == importers


def test_nobody_imports_a_room_against_the_table() -> None:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_import_is_hidden_in_a_function() -> None:
    hidden = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in SOURCE.rglob("*.py")
        for function in functions(ast.parse(path.read_text(encoding="utf-8")))
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert hidden == []


def borrowed_in_private(path: Path) -> Iterator[str]:
    """Names with an underscore that a file takes from another room: imported, or reached through a module."""
    room = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    modules = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or (node.module or "").partition(".")[0] != "trimtab":
            continue
        for alias in node.names:
            whole = f"{node.module}.{alias.name}".split(".")[1:]
            if whole[0] == room:
                continue
            modules.add(alias.asname or alias.name)
            if any(part.startswith("_") and part != "__version__" for part in whole):
                yield f"{path.relative_to(ROOT)}:{node.lineno}: {'.'.join(whole)}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and ast.unparse(node.value) in modules:
            yield f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)}"


def test_no_room_takes_a_private_name_of_another() -> None:
    assert [name for path in SOURCE.rglob("*.py") for name in borrowed_in_private(path)] == []


def test_only_the_registry_imports_by_name() -> None:
    found = {str(path.relative_to(SOURCE)) for path in SOURCE.rglob("*.py") if imports_by_name(path)}
    assert found == {"registry.py"}


def test_the_torch_free_half_is_as_large_as_the_design_says() -> None:
    heads = {name.split(".")[1] for name in torch_free_modules()}
    assert heads == {*TORCH_FREE_ROOMS, "cli"}
    assert {name.split(".")[2] for name in torch_free_modules() if name.startswith("trimtab.cli.")} == set(
        TORCH_FREE_COMMANDS
    )


def test_importing_the_torch_free_half_loads_no_package_of_the_train_extra() -> None:
    code = (
        "import importlib, sys\n"
        f"for name in {torch_free_modules()!r}: importlib.import_module(name)\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout == "[]\n", done.stdout + done.stderr


def test_importing_trimtab_loads_nothing_but_itself() -> None:
    code = "import sys, trimtab; print(sorted({'numpy', 'onnxruntime', 'tokenizers', 'pydantic'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n", done.stdout + done.stderr
