"""The teacher's outputs of all rows, which its students learn from: computed once, and kept for a run that goes on."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from trimtab import files
from trimtab.columns import EncodedRows, Outputs, as_arrays, from_arrays, in_order, length_batches, no_outputs
from trimtab.compress import distil
from trimtab.nets.fitted import FittedNetwork
from trimtab.progress import Progress
from trimtab.train.batches import tensors_of, to_numpy
from trimtab.train.devices import alone, device
from trimtab.train.execution import attending, usual_attention

_BATCH_TOKENS = 4096  # of the rows that the teacher answers at a time
_KEY, _VECTORS = "key", "vectors"  # of the file of the outputs


@torch.no_grad()
def outputs_of(teacher: FittedNetwork, rows: EncodedRows, precision: str) -> tuple[Outputs, np.ndarray | None]:
    """The teacher's outputs of all rows, and the vectors that its head reads, (rows, width), where it reads vectors.

    Computed in the precision that it was trained in.
    """
    devices = replace(alone(device()), precision=precision)
    with devices.autocast(), attending(usual_attention(devices)):
        return _outputs(teacher, rows, devices.device)


def _outputs(teacher: FittedNetwork, rows: EncodedRows, device: torch.device) -> tuple[Outputs, np.ndarray | None]:
    network = teacher.network.to(device).eval()
    batches = length_batches(rows.steps, _BATCH_TOKENS)
    parts, vectors = [], []
    for picked in batches:
        tensors = tensors_of(rows, picked, device)
        if network.fusion is None:
            parts.append(to_numpy(network(tensors)))
            continue
        found = network.vectors(tensors)
        vectors.append(found.float().cpu().numpy())
        parts.append(to_numpy(network.head(found)))
    network.cpu()
    outputs = in_order(batches, parts, teacher.output.tensors, rows.positions(teacher.output))
    order = np.argsort(np.concatenate(batches), kind="stable")
    return outputs, np.concatenate(vectors)[order] if vectors else None


def kept_outputs(
    teacher: FittedNetwork, rows: EncodedRows, folder: Path, precision: str, progress: Progress
) -> tuple[Outputs, np.ndarray | None]:
    """The teacher's outputs of all rows; read from `folder` where they were computed before."""
    if not distil.distillable(teacher):
        return no_outputs(teacher.output.tensors), None
    path, key = folder / "teacher.npz", _key(teacher, rows)
    known = _kept(path, key)
    if known:
        return known
    progress.stage("compress", f"the network's answers to {len(rows):,} rows, which its students learn from")
    outputs, vectors = outputs_of(teacher, rows, precision)
    folder.mkdir(parents=True, exist_ok=True)
    arrays = as_arrays(outputs) | ({} if vectors is None else {_VECTORS: vectors})
    with files.aside(path) as place:
        np.savez(place, allow_pickle=False, **{_KEY: np.array(key)}, **arrays)
    return outputs, vectors


def _kept(path: Path, key: str) -> tuple[Outputs, np.ndarray | None] | None:
    """The answers of an earlier run under the same key; what cannot be read counts as not there."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            if str(kept[_KEY]) != key:
                return None
            arrays = {name: kept[name] for name in kept.files if name not in (_KEY, _VECTORS)}
            return from_arrays(arrays), kept.get(_VECTORS)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None


def _key(teacher: FittedNetwork, rows: EncodedRows) -> str:
    """Changes when the network does, or the rows."""
    digest = hashlib.sha256(teacher.architecture.model_dump_json().encode())
    for name, value in sorted(teacher.network.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.contiguous().numpy().tobytes())
    for encoded in rows.encoded:
        for array in as_arrays(encoded).values():
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
