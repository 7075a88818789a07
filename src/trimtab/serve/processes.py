"""Processes of a server: each is started anew, so that it holds in memory only what it needs."""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from trimtab import registry
from trimtab.errors import TrimtabError, visible
from trimtab.serve.settings import Settings

# Found where this process found it, if nowhere else; and nothing is imported from the folder that one happens to be in.
_START = "import sys; sys.path.append(sys.argv.pop(1)); from {0} import main; sys.exit(main(sys.argv[1:]))"


def command(module: str, *arguments: str) -> list[str]:
    """The command that runs `main` of a module with some arguments."""
    home = str(Path(__file__).resolve().parents[2])
    return [sys.executable, "-P", "-c", _START.format(module), home, *arguments]


def become(settings: Settings, listening: socket.socket) -> None:
    """Turn this process into the server, which keeps its id; does not return.

    What a command line has in memory, 20 MB, would stay there as long as the server lives.
    """
    listening.set_inheritable(True)
    if settings.rates is not None:
        os.set_inheritable(settings.rates, True)
    found = command(__name__, json.dumps(asdict(settings)), str(listening.fileno()))
    sys.stderr.flush()
    os.execv(found[0], found)


def main(arguments: Sequence[str]) -> int:
    """The server, in this process or in several; the exit code."""
    settings = Settings.of(json.loads(arguments[0]))
    listening = socket.socket(fileno=int(arguments[1]))
    module, name = ("worker", "alone") if settings.workers == 1 else ("supervisor", "supervised")
    try:
        registry.attribute(f"trimtab.serve.{module}", name, "trimtab serve")(settings, listening, _tell)
    except TrimtabError as error:
        _tell(f"trimtab: {error}")
        return 2
    return 0


def logging_to_stderr() -> None:
    """What the application logs, as it is: a line of JSON for a request, a traceback for a fault of ours."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for outsiders in ("uvicorn.error", "python_multipart"):  # what others send must not fill our log
        logging.getLogger(outsiders).setLevel(logging.ERROR)
    access, handler = logging.getLogger("trimtab.serve.access"), logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    access.addHandler(handler)
    access.setLevel(logging.INFO)
    access.propagate = False


def _tell(text: str) -> None:
    print(visible(text), file=sys.stderr, flush=True)
