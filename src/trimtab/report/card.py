"""The release card: `card.html` for people, one self-contained file, and `card.md` with the same facts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from trimtab.bundle.manifest import Manifest
from trimtab.report import facts, html, markdown

HTML = "card.html"
MARKDOWN = "card.md"


def write(folder: Path, manifest: Manifest, plots: Iterable[Path] = ()) -> tuple[Path, Path]:
    """Write both cards of the bundle in `folder`; `plots` are the files that `audit.plots.draw` made.

    To be called when everything but the manifest's own file is in the folder. Returns the HTML and the Markdown file.
    """
    page = facts.page(folder, manifest)
    shown, plain = folder / HTML, folder / MARKDOWN
    shown.write_text(html.render(page, plots), encoding="utf-8", newline="\n")
    plain.write_text(markdown.render(page), encoding="utf-8", newline="\n")
    return shown, plain
