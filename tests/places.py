"""A folder with rows and a spec in it, ready to launch."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import yaml

from trimtab.__main__ import main

BLOCK = "import sys; sys.modules.update(dict.fromkeys({names!r})); "


@dataclass(frozen=True)
class Place:
    """A folder with a spec in it."""

    folder: Path

    @property
    def spec(self) -> Path:
        return self.folder / "trimtab.yaml"

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    def launch(self, *arguments: str) -> int:
        return main(["launch", str(self.spec), "--runs", str(self.runs), "-q", *arguments])


def write_rows(path: Path, rows: list[dict[str, object]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def place(folder: Path, rows: list[dict[str, object]], **spec: object) -> Place:
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder / "rows.csv", rows)
    (folder / "trimtab.yaml").write_text(yaml.safe_dump({"data": "rows.csv", **spec}, sort_keys=False))
    return Place(folder)
