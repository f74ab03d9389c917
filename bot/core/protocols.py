"""Where the rooms above the desk meet: what a source, a broker and a rule must be able to do.

Rooms on one floor do not import each other; they know these protocols instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from bot.core.briefing import Briefing
from bot.core.decision import Abstention, Claim, Decision, SourceSpec
from bot.core.facts import Fact
from bot.core.inputs import Input
from bot.core.market import Candle, MarketView, Quote, Trade
from bot.core.orders import OrderRequest

Emit = Callable[[Input], None]


class Broker(Protocol):
    """Takes orders to a venue. Every call returns at once; every answer comes back as an input through `emit`."""

    def submit(self, request: OrderRequest, at: int) -> None:
        """Send an order whose intent is durable."""
        ...

    def submit_pair(self, stop: OrderRequest, target: OrderRequest, at: int) -> None:
        """Send a stop and a target of which one cancels the other; each is answered for by itself."""
        ...

    def cancel(self, order_id: str, symbol: str, at: int) -> None:
        """Ask the venue to cancel."""
        ...


class MatchingBroker(Broker, Protocol):
    """A broker that fills orders itself against the market it is shown: paper and backtest. Called by the desk's own task."""

    def on_quote(self, quote: Quote) -> None:
        """See a quote before the desk does."""
        ...

    def on_trade(self, trade: Trade) -> None:
        """See a public trade."""
        ...

    def on_candle(self, candle: Candle) -> None:
        """See a closed candle before the desk does (only where candles drive the market: the backtest)."""
        ...

    def wake(self, at: int) -> None:
        """Do what has become due, such as an order whose latency has passed."""
        ...

    def next_due(self) -> int | None:
        """When `wake` wants to be called next."""
        ...


class SourcePort(Protocol):
    """What a source with a life of its own may do. `propose` waits while the inbox is full."""

    async def propose(self, decision: Decision) -> None:
        """Hand a decision to the desk."""
        ...

    async def claim(self, claim: Claim) -> None:
        """Say that the source is thinking."""
        ...

    async def abstain(self, abstention: Abstention) -> None:
        """Say that the source has no opinion."""
        ...

    @property
    def view(self) -> MarketView:
        """The newest of the market, to be read and never written."""
        ...

    def briefing(self) -> Briefing:
        """The books and the limits as they are now."""
        ...

    def now(self) -> int:
        """Milliseconds UTC, as the bot counts them."""
        ...


class LiveSource(Protocol):
    """A source with a life of its own (recorded, QuantConnect, LLM): runs until cancelled, under supervision."""

    @property
    def spec(self) -> SourceSpec:
        """What the desk must know of it."""
        ...

    async def run(self, port: SourcePort) -> None:
        """Propose until cancelled."""
        ...


@runtime_checkable
class Ailing(Protocol):
    """A source that can say what is wrong with it while it goes on."""

    @property
    def ailments(self) -> Sequence[str]:
        """What is wrong now, one line each; empty when nothing is."""
        ...


@runtime_checkable
class Witness(Protocol):
    """A source that wants to know what became of things. Called by the desk's own task: it takes note and never waits."""

    def saw(self, fact: Fact) -> None:
        """Something that the desk told."""
        ...


@runtime_checkable
class CandleListener(Protocol):
    """A source with a life of its own that thinks when candles close. Called by the desk's own task: it never waits."""

    @property
    def feeds(self) -> Sequence[tuple[str, str]]:
        """The (symbol, timeframe) pairs it listens to."""
        ...

    def hear(self, candle: Candle) -> None:
        """A candle of one of its feeds closed."""
        ...


class StepSource(Protocol):
    """A source that is a pure step: called by the desk's task for each closed candle, in live, backtest and replay alike."""

    @property
    def spec(self) -> SourceSpec:
        """What the desk must know of it."""
        ...

    @property
    def feeds(self) -> Sequence[tuple[str, str]]:
        """The (symbol, timeframe) pairs it wants to see."""
        ...

    @property
    def warmup(self) -> int:
        """How many closed candles it must see before it can propose."""
        ...

    def warm(self, candle: Candle, view: MarketView) -> None:
        """Learn from a past candle without proposing."""
        ...

    def on_candle(self, candle: Candle, view: MarketView) -> Decision | None:
        """Take one step; `candle.at` is now."""
        ...

    def snapshot(self) -> object:
        """State as plain JSON values."""
        ...

    def restore(self, state: object) -> None:
        """Continue from a snapshot; `ValueError` if it does not fit."""
        ...
