"""The one door for signals of all routes: each counts once, under the bot's own symbol, while it is young and the newest.

What is too old, over, or overtaken by a newer opinion on the same symbol is proposed as stale, so that the journal has it and
nobody trades it. Nothing waits here: the desk's inbox does the waiting.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import structlog

from bot.core.decision import Abstention
from bot.core.protocols import SourcePort
from sources.quantconnect.insights import Arrival, Signal, Terms, Way
from sources.quantconnect.mapping import SymbolMap, UnheardMarket, UnmappedSymbol
from sources.quantconnect.settings import QuantConnectParams

log = structlog.get_logger(__name__)

MOST_IDS = 50_000
MOST_NOTICES = 1_000


_DATED = frozenset({Way.INSIGHTS, Way.ORDERS, Way.BACKTEST})
"""Where an opinion without a time may be of any day."""


class Bounded:
    """A set that forgets its oldest; `dropped` counts what it forgot."""

    def __init__(self, most: int) -> None:
        self.dropped = 0
        self._most = most
        self._held: OrderedDict[Hashable, None] = OrderedDict()

    def add(self, name: Hashable) -> bool:
        """Hold a name; False where it was held already."""
        if name in self._held:
            return False
        self._held[name] = None
        if len(self._held) > self._most:
            self._held.popitem(last=False)
            self.dropped += 1
        return True

    def __contains__(self, name: Hashable) -> bool:
        return name in self._held

    def discard(self, name: Hashable) -> None:
        """Hold it no longer."""
        self._held.pop(name, None)


@dataclass(frozen=True, slots=True)
class _Heard:
    """A signal under the bot's symbol, with the price the decision refers to, and why it is stale where it is."""

    signal: Signal
    symbol: str
    price: float
    stale: str = ""

    @property
    def order(self) -> int:
        return self.signal.generated or 0


async def _nobody(reason: str) -> None:
    del reason


class Intake:
    """Signals in, decisions out. `counts` by what became of them: proposed, duplicate, stale, unmapped, untraded, priceless.

    `unmapped` is told of every symbol that somebody has to map before it can be traded.
    """

    def __init__(
        self,
        terms: Terms,
        params: QuantConnectParams,
        symbols: SymbolMap,
        traded: Iterable[str],
        port: SourcePort,
        unmapped: Callable[[str], Awaitable[None]] = _nobody,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._terms = terms
        self._params = params
        self._symbols = symbols
        self._traded = frozenset(traded)
        self._port = port
        self._unmapped = unmapped
        self._seen = Bounded(MOST_IDS)
        self._noticed = Bounded(MOST_NOTICES)
        self._newest: dict[str, int] = {}  # by symbol, of which there are as many as the bot trades

    def knows(self, signal: str) -> bool:
        """Whether the signal of this id counts already: it will not be proposed again."""
        return signal in self._seen

    async def take(self, signals: Sequence[Signal], polled: int | None = None, before: int | None = None) -> int:
        """Propose what is new, the oldest first; gives how many were new.

        If it is cancelled, what was not proposed yet counts as not seen.
        """
        arrival = Arrival(self._port.now(), polled, before)
        later: list[Callable[[], Awaitable[None]]] = []
        heard = [one for signal in signals if (one := self._heard(signal, later)) is not None]
        heard.sort(key=lambda one: one.order)
        judged = self._judged(heard, arrival.at)
        left = {one.signal.id for one in judged}
        try:
            for one in self._kept(judged):
                await self._propose(one, arrival)
                left.discard(one.signal.id)
            left.clear()
        finally:
            for name in sorted(left):
                self._seen.discard(name)
        for say in later:
            await say()
        return len(judged)

    def _heard(self, signal: Signal, later: list[Callable[[], Awaitable[None]]]) -> _Heard | None:
        """The signal if it is new and can be traded at all; else what is wrong is said, `later` to who may let us wait."""
        if not self._seen.add(signal.id):
            self.counts["duplicate"] += 1
            return None
        try:
            symbol = signal.symbol or self._symbols.to_bot(signal.ticker, signal.sid, signal.market)
        except UnmappedSymbol as error:
            self._notice("unmapped", signal.sid or signal.ticker, str(error))
            if not isinstance(error, UnheardMarket):
                later.append(partial(self._unmapped, str(error)))
            return None
        if symbol not in self._traded:
            self._notice("untraded", symbol, f"{symbol} is not among the symbols of this source")
            return None
        price = signal.price or self._port.view.price(symbol)
        if price is None:
            self.counts["priceless"] += 1
            self._seen.discard(signal.id)  # it may be heard again once there is one
            detail = "it names no price, and the market has none yet"
            spec = self._terms.spec
            later.append(partial(self._port.abstain, Abstention(spec.name, spec.tier, symbol, "no-price", detail)))
            return None
        return _Heard(signal, symbol, price)

    def _notice(self, what: str, name: str, reason: str) -> None:
        self.counts[what] += 1
        if self._noticed.add((what, name)):
            log.warning(f"quantconnect_signal_{what}", source=self._terms.spec.name, reason=reason)

    def _judged(self, heard: Sequence[_Heard], at: int) -> list[_Heard]:
        """Which of them count; `heard` is in the order of time, so that the last of each symbol is its newest."""
        last = {one.symbol: one.signal.id for one in heard}
        return [_Heard(one.signal, one.symbol, one.price, self._staleness(one, last[one.symbol], at)) for one in heard]

    def _staleness(self, one: _Heard, last: str, at: int) -> str:
        signal, made = one.signal, one.signal.generated
        if self._terms.expiry(signal, at) <= at:
            return "over"
        if made is None and signal.way in _DATED:
            return "without a time"
        if made is not None and at - made > self._params.max_age_ms(signal.way):
            return "too old"
        if signal.id != last or (made is not None and made < self._newest.get(one.symbol, 0)):
            return "overtaken"
        if made is not None:
            self._newest[one.symbol] = min(made, at)  # a time to come must not silence what comes
        return ""

    def _kept(self, judged: Sequence[_Heard]) -> list[_Heard]:
        """All that count, and the newest of the stale ones."""
        stale = [one for one in judged if one.stale]
        dropped = max(0, len(stale) - self._params.stale_kept)
        self.counts["stale"] += len(stale)
        self.counts["stale_dropped"] += dropped
        passed_over = {one.signal.id for one in stale[:dropped]}
        return [one for one in judged if one.signal.id not in passed_over]

    async def _propose(self, one: _Heard, arrival: Arrival) -> None:
        if one.stale:
            await self._port.propose(self._terms.stale(one.signal, one.symbol, one.price, arrival, one.stale))
            return
        held = self._port.briefing().share(one.symbol) if one.signal.target is not None else 0.0
        await self._port.propose(self._terms.decision(one.signal, one.symbol, one.price, arrival, held))
        self.counts["proposed"] += 1
