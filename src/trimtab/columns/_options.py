"""What a user may set on a column type: one pydantic model per type, its errors in the words of the spec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from trimtab.errors import TrimtabError, nearest, problem, several


class Options(BaseModel):
    """Base of every type's options: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Model = TypeVar("Model", bound=Options)


def check(model: type[Model], column: str, type_name: str, given: Mapping[str, Any]) -> Model:
    """The options, with defaults filled in. Raises TrimtabError that names every bad one."""
    try:
        return model.model_validate(dict(given))
    except ValidationError as invalid:
        found = {str(detail["loc"][0]): detail for detail in reversed(invalid.errors()) if detail["loc"]}
        raise several(_explain(model, f"column {column!r} ({type_name})", *item) for item in found.items()) from None


def _explain(model: type[Options], where: str, option: str, detail: Any) -> TrimtabError:
    if detail["type"] == "extra_forbidden":
        return problem(where, f"no option named {option!r}", nearest(option, model.model_fields))
    allowed = model.model_fields[option].description or ""
    if detail["type"] == "missing":
        return problem(where, f"the option {option!r} is needed", allowed)
    return problem(f"{where}: {option}", f"found {detail['input']!r} ({detail['msg']})", allowed)
