"""HTTP from whoever gets on with it: a request's head arrives in time, or its connection makes room for another."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0


class PromptProtocol(H11Protocol):
    """uvicorn's, which by itself waits for ever for a head that never comes: 512 such connections would shut everybody out."""

    head_seconds = HEAD_SECONDS
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count from the first moment."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Count on while a head is incomplete; stop while a request is answered, or the connection is a WebSocket's."""
        super().data_received(data)
        if self.transport.get_protocol() is not self or (self.cycle is not None and not self.cycle.response_complete):
            self._stop()
        elif self._late is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Count no more."""
        self._stop()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._late = self.loop.call_later(self.head_seconds, self.transport.abort)

    def _stop(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
