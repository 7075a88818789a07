"""From a spec to a released bundle, top to bottom."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from trimtab import track
from trimtab.bundle.manifest import Stage
from trimtab.nets.fitted import FittedNetwork
from trimtab.pipeline import few, hyperparameters, planning, processes, run_folder, zero_labels
from trimtab.pipeline.planning import plan
from trimtab.pipeline.reading import read
from trimtab.pipeline.release import Release, audit
from trimtab.pipeline.training import told, train
from trimtab.plan import memory
from trimtab.plan.estimate import Account
from trimtab.progress import Progress, Quiet
from trimtab.request import Request, check, reported, resume
from trimtab.search.assembly import assemble
from trimtab.search.compression import compress
from trimtab.spec import Spec
from trimtab.track import Outcome

__all__ = ["Release", "launch", "plan", "search"]


def launch(
    spec: str | Path | Mapping[str, Any] | Spec,
    overrides: Sequence[str] = (),
    runs: str | Path = "runs",
    progress: Progress | None = None,
) -> Release:
    """Carry out a spec: clean, train, compress, audit, release.

    `spec` is a file, or its values (then paths are relative to the current folder); `overrides` are settings such as
    `train.epochs=1`. Finished stages are kept in `runs/NAME`, and the next launch goes on where this one stops. Raises
    TrimtabError, before anything is spent, when the request is wrong, and when another launch works in that folder; a
    missed gate is no error: see `Release.released`.

    In a process that `torchrun` started (or who else sets its variables) it joins the others, which are to call this
    with the same arguments: the first one does everything, the others learn with it and get the same release.
    """
    tells = progress or Quiet()

    def made() -> Release:
        account = Account(time.perf_counter(), time.process_time())
        request_spec, folder = read(spec, overrides)
        home = Path(runs) / request_spec.run_name
        with run_folder.held(home, Path(spec) if isinstance(spec, (str, Path)) else None, tells):
            return _carried_out(request_spec, folder, home, tells, account)

    return processes.together(made)


def search(
    spec: str | Path | Mapping[str, Any] | Spec,
    overrides: Sequence[str] = (),
    runs: str | Path = "runs",
    progress: Progress | None = None,
) -> hyperparameters.Found:
    """Carry out the hyper-parameter search of a spec alone, with `search: {}` where it has none; or go on with it.

    The arguments are those of `launch`, which takes over what is found here. Raises TrimtabError as `launch` does.
    """
    progress = progress or Quiet()
    request_spec, folder = read(spec, overrides)
    home = Path(runs) / request_spec.run_name
    with run_folder.held(home, Path(spec) if isinstance(spec, (str, Path)) else None, progress):
        request = check(request_spec, folder, home, progress)
        return hyperparameters.searched(request, folder, home, progress)


def _carried_out(spec: Spec, folder: Path, home: Path, progress: Progress, account: Account) -> Release:
    """Stage after stage, in the run's folder `home`; paths in the spec are relative to `folder`."""
    track.chosen(spec)  # before anything is spent
    spec = zero_labels.started(spec, folder, home, progress)
    request = check(spec, folder, home, progress)
    memory.refuse_weights(request)
    stages = [Stage(name="data", seconds=time.perf_counter() - account.started, detail=reported(request))]
    searched = hyperparameters.searched(request, folder, home, progress) if spec.search else None
    if searched is not None:
        request = searched.request
        stages.append(searched.stage)
        for line in searched.evidence["lines"]:
            progress.note(line)
    kept = resume.finished(home, request)
    if kept is not None:
        progress.note("nothing to do: this spec was carried out on the same rows before")
        return Release(home / "bundle", kept)
    if searched is not None:
        hyperparameters.adopt(searched, home / "work" / "train")
    with track.tracked(spec, home, resume.key(request) if spec.track else "", progress) as told_too:
        release = _released(request, stages, home, told_too, account)
        told_too.finish(Outcome(release.folder, release.manifest, release.plots))
    return release


def _released(request: Request, stages: list[Stage], home: Path, progress: Progress, account: Account) -> Release:
    """The stages that follow upon the data, of a request that is to be carried out."""
    asked, request = request, few.chosen(request, home / "work" / "few", progress)
    network, trained, stage = train(request, home / "work" / "train", progress)
    stages.append(stage)
    request = few.name_next(told(request, trained.choices), network, home, progress)
    whole = FittedNetwork(network, request.architecture, request.inputs, request.output)
    uncompressed, stage = assemble(request, whole, home / "work" / "bundle", progress)
    stages.append(stage)
    found = compress(request, whole, uncompressed, home, progress)
    stages += [found.stage] if found.stage else []
    account = replace(account, estimate=planning.kept(home, asked), cost=asked.spec.cost)
    release = audit(request, uncompressed, found, trained.history, stages, home, progress, account)
    resume.finish(home, asked)
    return release
