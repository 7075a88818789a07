"""Where a spec comes from: a file, or values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trimtab import spec as specs
from trimtab.spec import Spec


def read(spec: str | Path | Mapping[str, Any] | Spec, overrides: Sequence[str]) -> tuple[Spec, Path]:
    """The spec, and the folder that its paths are relative to."""
    if isinstance(spec, (str, Path)):
        return specs.read(Path(spec), overrides), Path(spec).parent
    values = spec.model_dump(exclude_unset=True) if isinstance(spec, Spec) else spec
    return specs.parse(specs.override(values, overrides)), Path()
