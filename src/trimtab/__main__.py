"""The program `trimtab`: one command per file in `cli/`, imported only when it is called."""

from __future__ import annotations

import ast
import contextlib
import errno
import os
import sys
import traceback
from importlib import resources
from typing import Any, cast

import typer
from typer.core import TyperCommand, TyperGroup

from trimtab import __version__, registry
from trimtab.errors import ToldElsewhere, TrimtabError, nearest, problem, visible

ORDER = [
    "init", "plan", "launch", "search", "predict", "explain", "evaluate", "audit", "compare", "compress", "serve",
    "watch", "ask", "adapt", "index", "inspect", "verify", "keys", "sample", "schema",
]  # fmt: skip


class Commands(TyperGroup):
    """The folder `cli/` as a group of commands; `trimtab predict` never imports what only `launch` needs."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        """Commands in the order of a day's work, then whatever else the folder holds."""
        found = registry.names("trimtab.cli")
        return [name for name in ORDER if name in found] + [name for name in found if name not in ORDER]

    def get_command(self, ctx: typer.Context, cmd_name: str) -> TyperCommand:  # type: ignore[override]
        """The command of that name; its file is imported here."""
        if cmd_name not in self.list_commands(ctx):
            raise problem("trimtab", f"no command named {cmd_name!r}", nearest(cmd_name, self.list_commands(ctx)))
        app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
        app.command(cmd_name)(registry.load("trimtab.cli", cmd_name, "command", f"trimtab {cmd_name}"))
        return cast(TyperCommand, typer.main.get_command(app))

    def format_commands(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        """The list in `trimtab --help`, read from the files without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, _first_line(name)) for name in self.list_commands(ctx)])


def _first_line(name: str) -> str:
    """The first line of a command's docstring."""
    source = resources.files("trimtab.cli").joinpath(f"{name}.py").read_text(encoding="utf-8")
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name == "command":
            return (ast.get_docstring(node) or "").partition("\n")[0]
    return ""


def _version(value: bool) -> None:
    if value:
        typer.echo(f"trimtab {__version__}")
        raise typer.Exit


app = typer.Typer(
    cls=Commands,
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.callback()
def _program(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """From a pretrained model and your own data to a small, audited model that you can ship."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns 0, 1 when a gate is not met, 2 when the request is wrong, 3 for a fault of ours."""
    try:
        app(args=arguments)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0
    except ToldElsewhere as error:
        return error.code
    except TrimtabError as error:
        return _fail(str(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what reads our output has gone
        return 0
    except Exception as error:
        told = _refusal(error)
        if told:
            return _fail(told)
        with contextlib.suppress(OSError):  # whoever reads has gone
            traceback.print_exc()  # ours, not the user's: kept apart from 1, which says that a gate was missed
        return 3
    return 0


# What the system refuses, whatever we do right: the first three are told by their text too, for libraries wrap them.
_REFUSED = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "read-only disk",
    errno.EACCES: "the system does not allow it (permission denied)",
    errno.EPERM: "the system does not allow it (operation not permitted)",
    errno.EEXIST: "something of that name is there already",
    errno.ENOTDIR: "not a folder, or below a file",
    errno.EISDIR: "is a folder",
    errno.ENAMETOOLONG: "the name is too long",
    errno.ELOOP: "links that go round in a circle",
    errno.EIO: "the disk, or the network behind it, fails",
    errno.ESTALE: "the disk, or the network behind it, fails",
    errno.EMFILE: "too many files are open",
    errno.ENFILE: "too many files are open",
}
_WRAPPED = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)


def _refusal(error: BaseException | None) -> str:
    """The message for what the system refuses to let us read or write, also where a library wrapped it; or nothing.

    What is missing where we thought it was is a fault of ours, and so is a refusal that names no file.
    """
    if "No usable temporary directory" in str(error):
        return str(problem("temporary files", str(error), do="set TMPDIR to a folder that may be written"))
    while error is not None:
        number, place = getattr(error, "errno", None), getattr(error, "filename", None)
        known = number if number in _REFUSED and (place or number in _WRAPPED) else None
        known = known or next((wrapped for wrapped in _WRAPPED if os.strerror(wrapped) in str(error)), None)
        if known:
            do = "make room, let this user read or write there, or name another place"
            return str(problem(str(place or error), _REFUSED[known], do=do))
        error = error.__cause__
    return ""


def _fail(message: str) -> int:
    with contextlib.suppress(OSError):  # whoever reads has gone
        print(visible(message if message.startswith("trimtab:") else f"trimtab: {message}"), file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
