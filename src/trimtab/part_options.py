"""What a user may set on a part (a column type, an encoder, a fusion, an augmentation): one pydantic model for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from trimtab.errors import TrimtabError, nearest, problem, several


class Options(BaseModel):
    """Base of every part's options: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Chosen = TypeVar("Chosen", bound=Options)


def check(model: type[Chosen], where: str, given: Mapping[str, Any]) -> Chosen:
    """The options, with defaults filled in. Raises TrimtabError that names every bad one, in the words of the spec."""
    try:
        return model.model_validate(dict(given))
    except ValidationError as invalid:
        found = {_place(detail["loc"]): detail for detail in reversed(invalid.errors())}
        whole = {name for name in found if any(other.startswith(f"{name}.") for other in found)}  # its item is told
        raise several(_explain(model, where, *item) for item in found.items() if item[0] not in whole) from None


def _place(location: tuple[str | int, ...]) -> str:
    """`kernels.0`; what pydantic adds to tell the kinds of a value apart is left out."""
    return ".".join(str(part) for number, part in enumerate(location) if not number or isinstance(part, int))


def _explain(model: type[Options], where: str, option: str, detail: Any) -> TrimtabError:
    if detail["type"] == "extra_forbidden":
        return problem(where, f"no option named {option!r}", nearest(option, model.model_fields) or "no options")
    field = model.model_fields.get(str(detail["loc"][0])) if detail["loc"] else None
    allowed = (field.description if field else None) or ""
    if detail["type"] == "missing" and len(detail["loc"]) == 1:
        return problem(where, f"the option {option!r} is needed", allowed)
    return problem(f"{where}: {option}" if option else where, f"found {detail['input']!r} ({detail['msg']})", allowed)
