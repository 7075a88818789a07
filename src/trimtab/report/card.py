"""The release card: `card.html`, one self-contained file, and `card.md`, a model card with the same facts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from trimtab import files
from trimtab.bundle.manifest import Manifest
from trimtab.report import facts, html, markdown, model_card, words

HTML = "card.html"
MARKDOWN = "card.md"


def write(
    folder: Path, manifest: Manifest, plots: Iterable[Path] = (), bundle: Path | None = None
) -> tuple[Path, Path]:
    """Write both cards of the bundle in `folder`; `plots` are the files that `audit.plots.draw` made.

    To be called when everything but the manifest's own file is in the folder. The cards of an audit lie elsewhere than
    the `bundle` that they are of. Returns the HTML and the Markdown file.
    """
    page = words.translated(facts.page(bundle or folder, manifest))
    shown, plain = folder / HTML, folder / MARKDOWN
    files.write(shown, html.render(page, plots))
    files.write(plain, model_card.header(manifest) + markdown.render(page))
    return shown, plain
