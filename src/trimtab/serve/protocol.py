"""HTTP as uvicorn speaks it, with bounds on the head of a request: its bytes, and the time until it is whole."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST = 65_536  # bytes of a head, headers of any size counted
_LEAVE = b"HTTP/1.1 %b\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class Bounded(HttpToolsProtocol):
    """A connection. `seconds` is what a head may take, from its first byte, or from the beginning of the connection."""

    seconds: float

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._bytes = 0  # of a head that is not whole
        self._patience: asyncio.TimerHandle | None = None

    @classmethod
    def within(cls, seconds: float) -> type[Bounded]:
        """The protocol with another patience."""
        return type("Bounded", (cls,), {"seconds": seconds})

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Whoever connects has to ask something."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Count what belongs to a head that is not whole."""
        super().data_received(data)
        if self._asked:
            self._bytes = 0
            if self._patience:
                self._patience.cancel()
                self._patience = None
            return
        self._bytes += len(data)
        if self._bytes > MOST:
            self._leave(b"431 Request Header Fields Too Large")
        elif self._patience is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is waited for any more."""
        if self._patience:
            self._patience.cancel()
        super().connection_lost(exc)

    @property
    def _asked(self) -> bool:
        """Whether the head of a request is whole, and the request not answered yet."""
        return self.cycle is not None and not self.cycle.response_complete

    def _wait(self) -> None:
        self._patience = asyncio.get_running_loop().call_later(self.seconds, self._leave, b"408 Request Timeout")

    def _leave(self, status: bytes) -> None:
        if not self._asked and not self.transport.is_closing():
            self.transport.write(_LEAVE % status)
            self.transport.close()
