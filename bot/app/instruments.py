"""The venue's word on its symbols, kept fresh: steps, minimums and fees change, and symbols are delisted, while a bot runs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from bot.core.facts import Fact, OrderChanged
from bot.core.inputs import InstrumentChanged
from bot.core.orders import OrderState
from bot.market.ccxt_venue import CcxtVenue
from bot.runtime.clock import WallClock
from bot.runtime.inbox import Inbox

log = structlog.get_logger(__name__)

_EVERY_SECONDS = 3_600.0
_LEAST_SECONDS = 10.0
_ANSWER_SECONDS = 30.0


@dataclass(slots=True)
class Instruments:
    """Asks the venue every hour, and soon after it refused an order: the rules may be others than those we shaped it by.

    `traders` are further ccxt instances of the same venue that must know the same rules.
    """

    venue: CcxtVenue
    symbols: Sequence[str]
    inbox: Inbox
    clock: WallClock
    traders: Sequence[Any] = ()
    every: float = _EVERY_SECONDS
    least: float = _LEAST_SECONDS
    failures: int = 0
    _asked: asyncio.Event = field(default_factory=asyncio.Event)

    def saw(self, fact: Fact) -> None:
        """Look again if the venue refused an order."""
        if isinstance(fact, OrderChanged) and fact.state is OrderState.REJECTED:
            self._asked.set()

    async def run(self) -> None:
        """Keep them fresh until cancelled."""
        while True:
            await asyncio.sleep(self.least)
            try:
                async with asyncio.timeout(self.every):
                    await self._asked.wait()
            except TimeoutError:
                pass
            self._asked.clear()
            await self.refresh()

    async def refresh(self) -> int:
        """Ask once; how many of the symbols have changed. A venue that does not answer changes nothing, and is counted."""
        from ccxt.base.errors import BaseError  # noqa: PLC0415 - ccxt is heavy

        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                changed = await self.venue.refresh(self.symbols)
        except (BaseError, TimeoutError) as error:
            self.failures += 1
            log.warning("instruments_not_refreshed", venue=self.venue.id, error=type(error).__name__)
            return 0
        listed = self.venue.exchange.markets
        for trader in self.traders:
            # What is listed no more stays known: its orders and trades must still be asked for.
            gone = [market for symbol, market in trader.markets.items() if symbol not in listed]
            trader.set_markets([*listed.values(), *gone], self.venue.exchange.currencies)
        for instrument in changed:
            log.warning("instrument_changed", symbol=instrument.symbol, active=instrument.active)
            self.inbox.put_market(InstrumentChanged(self.clock.now(), instrument))
        return len(changed)
