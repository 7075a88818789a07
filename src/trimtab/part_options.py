"""What a user may set on a part (a column type, an encoder, a fusion, an augmentation): one pydantic model for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, get_args

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
        found = {_place(model, detail): detail for detail in reversed(invalid.errors())}
        whole = {name for name in found if any(other.startswith(f"{name}.") for other in found)}  # its item is told
        raise several(_explain(model, where, *item) for item in found.items() if item[0] not in whole) from None


def _place(model: type[BaseModel], detail: Any) -> str:
    """`kernels.0`, `randaugment.n`; what pydantic adds to tell the kinds of a value apart is left out."""
    names, location = _names(model), detail["loc"]
    if detail["type"] == "extra_forbidden":
        names |= {location[-1]}
    return ".".join(str(part) for part in location if isinstance(part, int) or part in names)


def _names(model: type[BaseModel]) -> set[Any]:
    """The fields of a model, and of those that stand in it."""
    inside = [kind for field in model.model_fields.values() for kind in (field.annotation, *get_args(field.annotation))]
    nested = [kind for kind in inside if isinstance(kind, type) and issubclass(kind, BaseModel)]
    return set(model.model_fields).union(*map(_names, nested))


def _explain(model: type[Options], where: str, option: str, detail: Any) -> TrimtabError:
    if detail["type"] == "extra_forbidden":
        return problem(where, f"no option named {option!r}", nearest(option, model.model_fields) or "no options")
    field = model.model_fields.get(str(detail["loc"][0])) if detail["loc"] else None
    allowed = (field.description if field else None) or ""
    if detail["type"] == "missing" and len(detail["loc"]) == 1:
        return problem(where, f"the option {option!r} is needed", allowed)
    return problem(f"{where}: {option}" if option else where, f"found {detail['input']!r} ({detail['msg']})", allowed)
