"""Two networks in one bundle: a small one answers what it is sure of, a larger one the rest.

Early answers by a confidence threshold, as in BranchyNet (Teerapittayanon et al. 2016, arXiv:1709.01686) and in model
cascades (Viola & Jones 2001); here between two networks that read the same columns.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx

from trimtab import columns, metrics, runtime
from trimtab.bundle import reference, store
from trimtab.bundle.manifest import Manifest
from trimtab.bundle.serving import ProgramEntry, Serving
from trimtab.columns import OutputColumn
from trimtab.columns.label import LabelColumn
from trimtab.compress import Skip
from trimtab.export import write
from trimtab.programs.cascade import FIRST, MODEL, confidence

NEVER = 2.0  # a threshold that no probability reaches
_PARTS = 4  # the threshold must hold on the validation rows without any one of so many parts, too
_ROUNDING = 1e-9  # of a metric
_MOST_THRESHOLDS = 200  # that are tried
_UNMEASURED: dict[str, Any] = {"measured": {}, "evidence": {}, "gates": [], "released": False, "why": []}


class Threshold(NamedTuple):
    """From which probability on the small network's answer is taken, and for which share of the rows that is."""

    value: float
    early: float


def threshold(
    small: np.ndarray,
    large: np.ndarray,
    targets: np.ndarray,
    output: OutputColumn,
    allowed_drop: float = 0.0,
    scale: float = 1.0,
) -> Threshold:
    """The lowest threshold at which the cascade's headline metric is at most `allowed_drop` below the larger network's.

    `small` and `large` are both networks' outputs for the validation rows, (rows, classes). Against a lucky find among
    many thresholds, it must hold for every higher one as well, and each time without any one quarter of the rows.
    `NEVER`, with a share of 0, where none holds.
    """
    sure = confidence(small)
    tried = np.unique(np.quantile(sure, np.linspace(0, 1, _MOST_THRESHOLDS), method="lower"))[::-1]
    part = np.arange(len(sure)) % _PARTS
    weights = np.stack([np.ones(len(sure)), *(part != left_out for left_out in range(_PARTS))], axis=1)
    before = _quality(output, targets, large, weights)
    found = NEVER
    for value in tried.tolist():
        outputs = np.where((sure >= value)[:, None], small * scale, large)
        after = _quality(output, targets, outputs, weights)
        lost = [
            metrics.named(output.headline).lost(*pair) for pair in zip(before.tolist(), after.tolist(), strict=True)
        ]
        if not all(part <= allowed_drop + _ROUNDING for part in lost):  # NaN is no agreement
            break
        found = value
    return Threshold(found, float((sure >= found).mean()))


def together(small: np.ndarray, large: np.ndarray, at: float, scale: float) -> np.ndarray:
    """The cascade's outputs, (rows, classes), by those of both networks."""
    return np.where((confidence(small) >= at)[:, None], small * np.float32(scale), large)


def held_out(
    small: np.ndarray,
    large: np.ndarray,
    targets: np.ndarray,
    output: OutputColumn,
    allowed_drop: float = 0.0,
    scale: float = 1.0,
) -> np.ndarray:
    """The cascade's outputs, (rows, classes), each half of the rows by the `threshold` that the other half gives."""
    sure, side = confidence(small), np.arange(len(small)) % 2
    found = np.array(large)
    for own in (0, 1):
        other = side != own
        at = threshold(small[other], large[other], targets[other], output, allowed_drop, scale).value
        early = (side == own) & (sure >= at)
        found[early] = small[early] * scale
    return found


def _quality(output: OutputColumn, targets: np.ndarray, outputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The headline metric by each column of row weights, (parts,)."""
    return output.statistics(targets, outputs)[output.headline]()(weights)


def logit_scale(small: OutputColumn, large: OutputColumn) -> float:
    """What the small network's logits are multiplied by, so that the larger one's calibrated column decodes them."""
    assert isinstance(small, LabelColumn)
    assert isinstance(large, LabelColumn)
    return large.temperature / small.temperature


def refused(small: Path, large: Path) -> Skip | None:
    """Why the networks of two bundles cannot answer together; None when they can."""
    one, other = (store.read_manifest(folder) for folder in (small, large))
    if other.output.type != LabelColumn.type:
        return Skip(f"the output is no label but {columns.word(other.output.type)}: nothing says how sure an answer is")
    if len(one.serving.graphs) > 1 or len(other.serving.graphs) > 1:
        return Skip("one of the two is a cascade already")
    read, reads = _input_files(one), _input_files(other)
    if one.inputs != other.inputs or read != reads:
        changed = sorted(name for name in read | reads if read.get(name) != reads.get(name))
        return Skip(f"the two networks read different columns: {', '.join(changed) or 'their order'}")
    if one.output != other.output or _output(small, one).classes != _output(large, other).classes:
        return Skip("the two networks answer different classes")
    return None


def cascade(small: Path, large: Path, target: Path, at: float, answers: np.ndarray | None = None) -> Manifest | Skip:
    """Write the bundle `target`, in which `small` answers what it is sure of by the threshold `at`, `large` the rest.

    What was measured on `large` is left out: it is not true of the two. The golden rows are those of `large`, answered
    again; `answers` are the outputs of the two for the rows that the reference of `large` holds the outputs of.
    """
    if skip := refused(small, large):
        return skip
    first, manifest = store.read_manifest(small), store.read_manifest(large)
    scale = logit_scale(_output(small, first), _output(large, manifest))
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(large, target, ignore=shutil.ignore_patterns(store.MANIFEST, store.SERVING, store.GOLDEN, "card.*"))
    serving = _serving(first.serving, manifest.serving, at, scale)
    _copy_model(small / first.serving.graphs[MODEL].file, target / serving.graphs[FIRST].file)
    golden = [line["row"] for line in runtime.read_golden(large)]
    runtime.write_golden(target, runtime.record_golden(runtime.opened(target, serving), golden))
    if answers is not None:
        reference.answered(target / store.REFERENCE, answers)
    return store.write_manifest(target, manifest.model_copy(update=_UNMEASURED | {"serving": serving}))


def _serving(small: Serving, large: Serving, at: float, scale: float) -> Serving:
    first = small.graphs[MODEL].model_copy(update={"file": f"{FIRST}.onnx"})
    return large.model_copy(
        update={
            "graphs": {MODEL: large.graphs[MODEL], FIRST: first},
            "program": ProgramEntry(name="cascade", options={"threshold": at, "scale": scale}),
            "tolerance": max(large.tolerance, small.tolerance),
        }
    )


def _output(folder: Path, manifest: Manifest) -> OutputColumn:
    return store.load_columns(folder / store.COLUMNS, manifest)[1]


def _input_files(manifest: Manifest) -> dict[str, str]:
    """The files of the input columns with their sha256."""
    own = f"{store.COLUMNS}/{manifest.output.key}."
    return {n: h for n, h in manifest.files.items() if n.startswith(f"{store.COLUMNS}/") and not n.startswith(own)}


def _copy_model(source: Path, target: Path) -> None:
    """An ONNX file under another name, with its weights in a file of that name too."""
    if source.with_name(f"{source.name}.data").exists():
        write(onnx.load(source), target)
    else:
        shutil.copyfile(source, target)
