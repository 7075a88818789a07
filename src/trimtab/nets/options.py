"""Options of encoders and fusions: checked like the rest of the spec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from trimtab.errors import TrimtabError, nearest, problem, several


class Options(BaseModel):
    """Options of one part of the network; each has a default."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Chosen = TypeVar("Chosen", bound=Options)


def check(model: type[Chosen], where: str, options: Mapping[str, Any]) -> Chosen:
    """The options with their defaults. Raises TrimtabError with every problem at once."""
    try:
        return model.model_validate(dict(options))
    except ValidationError as error:
        raise several(_told(model, where, one) for one in error.errors()) from None


def _told(model: type[Options], where: str, error: Any) -> TrimtabError:
    key = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        return problem(f"{where}: {key}", "no such option", nearest(key, model.model_fields) or "no options")
    return problem(f"{where}: {key}", f"{error['msg'].lower()} (found {error['input']!r})")
