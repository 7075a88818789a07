"""Who may ask: keys, the admin's keys, and how often."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

from starlette.requests import Request

from trimtab.serve.keys import Keys
from trimtab.serve.rates import Rates
from trimtab.serve.refusals import Refused
from trimtab.serve.settings import Settings

Access = Literal["open", "key", "admin"]
_CHALLENGE = {"WWW-Authenticate": "Bearer"}


class Guard:
    """Lets requests in, or raises Refused."""

    def __init__(self, settings: Settings) -> None:
        self._keys = Keys(Path(settings.keys)) if settings.keys else None
        self._admins = Keys(Path(settings.admin_keys)) if settings.admin_keys else None
        self._rates = Rates(settings.rate, settings.rates) if settings.rates is not None else None

    def admit(self, request: Request, access: Access) -> str:
        """The name of who asks: that of the key, else the address. Raises Refused for who may not, or not now."""
        if access == "open":
            return ""
        kind, _, bearer = request.headers.get("authorization", "").partition(" ")
        key = (bearer if kind.lower() == "bearer" else request.headers.get("x-api-key", "")).strip()
        admin = self._admins.name_of(key) if self._admins and key else None
        if access == "admin":
            return self._admin(key, admin)
        name = admin or self._user(request, key)
        if self._rates and (wait := self._rates.wait(name)):
            said = f"more than {self._rates.per_second:g} requests a second"
            raise Refused(429, said, {"Retry-After": str(math.ceil(wait))})
        return name

    def _admin(self, key: str, name: str | None) -> str:
        if self._admins is None:
            raise Refused(403, "the admin's addresses are off; start the server with --admin-keys")
        if name is None:
            raise _unknown(key)
        return name

    def _user(self, request: Request, key: str) -> str:
        if self._keys is None:
            return request.client.host if request.client else ""
        name = self._keys.name_of(key) if key else None
        if name is None:
            raise _unknown(key)
        return name


def _unknown(key: str) -> Refused:
    said = "the key is not known" if key else "no key; send it as Authorization: Bearer KEY, or as X-API-Key"
    return Refused(401, said, _CHALLENGE)
