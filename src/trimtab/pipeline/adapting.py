"""`trimtab adapt`: a bundle goes on learning from more labelled rows, top to bottom; released only where it gained."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from trimtab.adapt import learning
from trimtab.adapt.requested import asked
from trimtab.bundle import store
from trimtab.bundle.manifest import Stage
from trimtab.errors import problem
from trimtab.pipeline import feedback, run_folder
from trimtab.pipeline.release import Release, audit
from trimtab.progress import Progress, Quiet
from trimtab.request import reported
from trimtab.search.assembly import assemble
from trimtab.search.compression import compress
from trimtab.spec import folder_name


def adapt(
    bundle: str | Path,
    data: str | Path | None = None,
    overrides: Sequence[str] = (),
    old: str | Path | None = None,
    folder: str | Path | None = None,
    to: str | Path | None = None,
    progress: Progress | None = None,
    log: str | None = None,
) -> Release:
    """Teach a bundle's network labelled rows, compress and audit it as the bundle's spec says.

    The rows are those of the file `data`, or those of a server's `log`, a URL, that were told what was right.

    Columns are extended, never fitted anew. Old rows are replayed: those of the spec where they are still there (its
    paths are relative to `folder`; default: where the spec lay), or of the file `old`. `overrides` change the spec,
    such as `gates.forgetting="<= 0.02"`. The new bundle is `to`/bundle; default: beside the run of the old one, named
    by the data. It is released only where the old test rows lose no more than that gate allows and the new ones gain.
    Raises TrimtabError for what is no bundle that can go on, and for rows that it cannot learn from.
    """
    progress, begun = progress or Quiet(), time.perf_counter()
    if (data is None) == (log is None):
        found_both = "both a file and a log" if log else "neither a file nor a log"
        raise problem("new rows", found_both, "NEW_DATA or --from-log URL", "name one of them")
    origin = Path(bundle)
    store.read_serving(origin)  # nothing is made for what is no bundle
    home = Path(to) if to else _home(origin, feedback.FILE if data is None else str(data))
    with run_folder.held(home, origin, progress):
        if log is not None:
            data = feedback.write(log, origin, home, progress)
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


def _home(bundle: Path, data: str) -> Path:
    """The folder of the new run: beside that of the old one."""
    name = folder_name(Path(data).name.split(".")[0]) or "adapted"
    return bundle.resolve().parent.parent / f"{bundle.resolve().parent.name}-{name}"
