"""What tests ask of a cluster: calls that say where they are made, wait for each other, fail and are lost."""

from __future__ import annotations

import os
import time
from pathlib import Path

from trimtab.errors import problem
from trimtab.progress import Progress


def place(folder: Path, progress: Progress) -> dict[str, str]:
    """Its place among the processes, once all are there; its own number in a file of the folder, called by its rank."""
    progress.note(f"rank {os.environ['RANK']} works in {Path.cwd().name}")
    (folder / f"{os.environ['RANK']}.{os.getpid()}").touch()
    while len({path.stem for path in folder.glob("?.*")}) < int(os.environ["WORLD_SIZE"]):
        time.sleep(0.1)
    return {name: os.environ[name] for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")}


def until_told(folder: Path, progress: Progress) -> str:
    """Waits until there is a file `go` in the folder, as processes wait that others have left."""
    place(folder, progress)
    while not (folder / "go").exists():
        time.sleep(0.1)
    return os.environ["WORLD_SIZE"]


def refused(progress: Progress) -> None:
    """Ends as the user's mistakes do, in the first process; the others wait for it."""
    if os.environ["RANK"] != "0":
        time.sleep(3600)
    raise problem("spec", "says nothing", do="say something")


def faulty(progress: Progress) -> None:
    """Ends by what the system refuses, in the first process; the others wait for it."""
    if os.environ["RANK"] != "0":
        time.sleep(3600)
    raise PermissionError(13, "Permission denied", "some/file")
