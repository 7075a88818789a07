"""`trimtab adapt`: a bundle goes on learning from more labelled rows, top to bottom; released only where it gained."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from trimtab.adapt import learning
from trimtab.adapt.requested import asked
from trimtab.bundle.manifest import Stage
from trimtab.pipeline import run_folder
from trimtab.pipeline.release import Release, audit
from trimtab.progress import Progress, Quiet
from trimtab.request import reported
from trimtab.search.assembly import assemble
from trimtab.search.compression import compress
from trimtab.spec import folder_name


def adapt(
    bundle: str | Path,
    data: str | Path,
    overrides: Sequence[str] = (),
    old: str | Path | None = None,
    folder: str | Path | None = None,
    to: str | Path | None = None,
    progress: Progress | None = None,
) -> Release:
    """Teach a bundle's network the labelled rows of `data`, compress and audit it as the bundle's spec says.

    Columns are extended, never fitted anew. Old rows are replayed: those of the spec where they are still there (its
    paths are relative to `folder`; default: where the spec lay), or of the file `old`. `overrides` change the spec,
    such as `gates.forgetting="<= 0.02"`. The new bundle is `to`/bundle; default: beside the run of the old one, named
    by the data. It is released only where the old test rows lose no more than that gate allows and the new ones gain.
    Raises TrimtabError for what is no bundle that can go on, and for rows that it cannot learn from.
    """
    progress, begun = progress or Quiet(), time.perf_counter()
    origin = Path(bundle)
    home = Path(to) if to else _home(origin, Path(data))
    with run_folder.held(home, origin, progress):
        place = None if folder is None else Path(folder)
        found = asked(origin, str(data), overrides, None if old is None else str(old), place, home, progress)
        stages = [Stage(name="data", seconds=time.perf_counter() - begun, detail=reported(found.request))]
        taught = learning.taught(found, home / "work" / "adapt", progress)
        request = taught.request
        uncompressed, stage = assemble(request, taught.network, home / "work" / "bundle", progress)
        stages += [taught.stage, stage]
        compressed = compress(request, taught.network, uncompressed, home, progress)
        stages += [compressed.stage] if compressed.stage else []
        return audit(request, uncompressed, compressed, taught.history, stages, home, progress)


def _home(bundle: Path, data: Path) -> Path:
    """The folder of the new run: beside that of the old one."""
    return bundle.resolve().parent.parent / f"{bundle.resolve().parent.name}-{folder_name(data.stem) or 'adapted'}"
