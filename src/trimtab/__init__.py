"""Trimtab: from a pretrained model and your own data to a small, audited model that you can ship.

`trimtab.launch(spec)` trains and releases; `trimtab.load(folder).predict(rows)` answers, without PyTorch.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from trimtab import registry
from trimtab.errors import TrimtabError

if TYPE_CHECKING:
    from trimtab.bundle.manifest import Manifest
    from trimtab.columns import InputPolicy
    from trimtab.pipeline import Release, launch
    from trimtab.runtime import Model, Predictions, load
    from trimtab.spec import Spec

__version__ = "0.1.0"

# All that importing does. ONNX Runtime (1.29 and later) reports to its vendor from the moment it is imported, and can
# only be told before: this file runs before every import of it here. Who set the variable keeps his choice.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# The same for the hub of models, which is asked only where a spec names something on it.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
# PyTorch's threads spin while they wait for each other, for milliseconds, and where others use the processor too a step
# takes ten times as long. A tenth of a millisecond is enough; OpenMP (of GNU) reads it once, when PyTorch is loaded.
if "torch" not in sys.modules and "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")

# Public name -> the module that has it, imported when the name is first used: `load` never reaches PyTorch.
_HOMES = {
    "InputPolicy": "trimtab.columns",
    "Manifest": "trimtab.bundle.manifest",
    "Model": "trimtab.runtime",
    "Predictions": "trimtab.runtime",
    "Release": "trimtab.pipeline",
    "Spec": "trimtab.spec",
    "launch": "trimtab.pipeline",
    "load": "trimtab.runtime",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'trimtab' has no attribute {name!r}")
    return registry.attribute(_HOMES[name], name)


__all__ = ["InputPolicy", "Manifest", "Model", "Predictions", "Release", "Spec", "TrimtabError", "launch", "load"]
