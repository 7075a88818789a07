"""What Trimtab wrote itself (the folders of runs, bundles) is never read as data: a plot is no picture of a class."""

from __future__ import annotations

import os
from pathlib import Path

from trimtab import files

RUN_NOTE = "run.json"  # in the folder of every run


def is_run_or_bundle(folder: Path) -> bool:
    """Whether a folder is that of a run, or a bundle."""
    if "trimtab" in (files.read_json(folder / RUN_NOTE) or {}):
        return True
    if {"trimtab", "format_version"} <= (files.read_json(folder / "manifest.json") or {}).keys():
        return True
    # Runs of before there was a note.
    return (folder / "work").is_dir() and (folder / "rejected.jsonl").is_file()


def holds_only_such(folder: Path) -> bool:
    """Whether a folder holds runs and bundles and nothing else, as `runs` does; hidden files do not count."""
    found = False
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if not (entry.is_dir() and is_run_or_bundle(Path(entry.path))):
                return False
            found = True
    return found


def written(path: Path) -> bool:
    """Whether Trimtab wrote a folder, or all that is in it."""
    return is_run_or_bundle(path) or holds_only_such(path)


def within(path: Path, top: Path) -> bool:
    """Whether a path lies in the folder of a run or in a bundle, below the folder `top`."""
    above = [folder for folder in path.parents if folder != top and folder.is_relative_to(top)]
    return any(is_run_or_bundle(folder) for folder in above)
