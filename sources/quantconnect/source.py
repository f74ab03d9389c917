"""QuantConnect as a source: its opinions, on whatever routes they come, as decisions of the highest tier.

All routes live in one task group and share one door, so that an opinion that comes twice counts once. A route in trouble says so,
in its state, in the log and as an abstention in the journal; it recovers by itself, and nobody waits for it.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack

import structlog

from bot.core.decision import Abstention, SourceSpec
from bot.core.market import timeframe_ms
from bot.core.protocols import SourcePort
from sources.base import Protection
from sources.quantconnect.budget import Budget
from sources.quantconnect.client import Client
from sources.quantconnect.insights import Signal, Terms, Way
from sources.quantconnect.intake import Intake
from sources.quantconnect.limits import Limits
from sources.quantconnect.mapping import SymbolMap, ticker_of
from sources.quantconnect.polling import Pace, Poller, RouteState, Sleep, States, Unasked
from sources.quantconnect.routes import Deployments, LiveInsights, LiveOrders, LivePortfolio, Route, StoredObject
from sources.quantconnect.settings import Credentials, PollParams, QuantConnectParams
from sources.quantconnect.signal_backtest import SignalBacktest
from sources.quantconnect.webhook import Listener

log = structlog.get_logger(__name__)

LISTEN_AGAIN_S = 5.0
"""How long until a port that is taken is tried again."""
SYMBOLS, MESSAGES = "symbols", "webhook messages"
"""The states beside those of the routes: whether all symbols could be mapped, and whether all messages could be taken."""
NO_CREDENTIALS = "set QUANTCONNECT_USER_ID and QUANTCONNECT_API_TOKEN; until then only the webhook is heard"


class QuantConnectSource:
    """A `LiveSource`. `symbols` are those it may propose for; `horizon` (ms) is how long an opinion without a period stands.

    `listening` is set once the webhook listens. `sleep` and `draw` (0..1) are for those who need time and chance to be theirs.
    """

    def __init__(
        self,
        spec: SourceSpec,
        params: QuantConnectParams,
        horizon: int,
        symbols: Sequence[str],
        credentials: Credentials,
        *,
        protection: Protection | None = None,
        limits: Limits | None = None,
        budget: Budget | None = None,
        sleep: Sleep = asyncio.sleep,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.listening = asyncio.Event()
        self._spec = spec
        self._params = params
        self._symbols = tuple(symbols)
        self._credentials = credentials
        self._limits = limits
        self._budget = budget
        self._sleep = sleep
        self._draw = draw
        self._terms = Terms(spec, horizon, timeframe_ms(params.longest), params.confidence, protection or Protection())
        self._map = SymbolMap(params.symbols, self._symbols, params.markets)
        self._states: States | None = None
        self._intake: Intake | None = None
        self._listener: Listener | None = None
        self._client: Client | None = None
        self._pollers: list[Poller] = []

    @property
    def spec(self) -> SourceSpec:
        """What the desk must know of it."""
        return self._spec

    @property
    def states(self) -> Sequence[RouteState]:
        """How every route is; empty before it runs."""
        return () if self._states is None else self._states.all

    @property
    def degraded(self) -> Sequence[RouteState]:
        """The routes in trouble."""
        return tuple(state for state in self.states if state.healthy is False)

    @property
    def ailments(self) -> Sequence[str]:
        """What is wrong, one line for each route in trouble."""
        return [f"{state.name}: {state.trouble}" for state in self.degraded]

    @property
    def counts(self) -> Mapping[str, int]:
        """What became of signals, and of the webhook's messages (`webhook_*`)."""
        found: Counter[str] = Counter() if self._intake is None else self._intake.counts.copy()
        if self._listener is not None:
            found.update({f"webhook_{name}": count for name, count in self._listener.counts.items()})
        return found

    def hears(self, project: int) -> bool:
        """Whether it goes by the insights of this project's live algorithm, and runs."""
        return self._client is not None and self._params.insights.enabled and project in self._params.projects

    @property
    def projects(self) -> Sequence[int]:
        """The projects whose insights it goes by."""
        return tuple(project for project in self._params.projects if self.hears(project))

    def knows(self, signal: str) -> bool:
        """Whether it has counted the signal of this id already."""
        return self._intake is not None and self._intake.knows(signal)

    async def take(self, signal: Signal) -> bool:
        """Judge a signal as if a route had just brought it; False where it counted before, or cannot count."""
        return self._client is not None and self._intake is not None and await self._intake.take([signal]) > 0

    async def fetch(self) -> Sequence[str]:
        """Ask now on every route that asks, one after the other; gives their names. What is new is proposed.

        Left out are signal backtests, which take minutes and a node. What came of each is in `states`.
        """
        asked: list[str] = []
        for poller in tuple(self._pollers):
            if self._client is not None and poller.route.way is not Way.BACKTEST:
                asked.append(poller.route.name)
                await poller.poll(self._client)
        return asked

    @property
    def webhook_port(self) -> int | None:
        """Where the webhook listens, None while there is none."""
        return None if self._listener is None else self._listener.port

    async def run(self, port: SourcePort) -> None:
        """Propose until cancelled."""

        async def tell(state: RouteState) -> None:
            reason, detail = ("recovered", state.name) if state.healthy else ("degraded", f"{state.name}: {state.trouble}")
            for symbol in self._symbols:
                await port.abstain(Abstention(self._spec.name, self._spec.tier, symbol, reason, detail))

        states = self._states = States(port.now, tell)
        unasked = Unasked(states, port.now)

        async def unmapped(reason: str) -> None:
            await unasked.ill(SYMBOLS, reason)

        intake = self._intake = Intake(self._terms, self._params, self._map, self._symbols, port, unmapped)
        async with AsyncExitStack() as stack:
            client = self._client = await self._opened(stack, states)
            stack.callback(self._closed)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(unasked.run(self._sleep), name="quantconnect unasked")
                if self._params.webhook.enabled:
                    tasks.create_task(self._listen(intake, states, unasked, port), name="quantconnect webhook")
                if client is not None:
                    for route, params in self._routes():
                        poller = Poller(route, Pace.of(params.every, self._params), intake, states, port.now)
                        self._pollers.append(poller)
                        tasks.create_task(poller.run(client, self._draw, self._sleep), name=f"quantconnect {route.name}")
                await asyncio.Event().wait()  # for its cancellation: this is where the source lives

    def _closed(self) -> None:
        self._client = None
        self._pollers.clear()

    async def _opened(self, stack: AsyncExitStack, states: States) -> Client | None:
        """An open client, or None where no route asks, or nobody said who does."""
        if not self._params.polls:
            return None
        given = self._credentials
        if not given.complete:
            await states.ill("credentials", NO_CREDENTIALS)
            return None
        try:
            url = self._params.base_url or given.base_url
            client = Client(given.user_id, given.token, base_url=url, limits=self._limits, budget=self._budget)
        except ValueError as error:
            await states.ill("credentials", str(error))
            return None
        return await stack.enter_async_context(client)

    def _routes(self) -> Iterator[tuple[Route, PollParams]]:
        params, deployments = self._params, Deployments()
        for project in params.projects:
            if params.insights.enabled:
                yield LiveInsights(project, deployments), params.insights
            if params.orders.enabled:
                yield LiveOrders(project, deployments), params.orders
            if params.portfolio.enabled:
                yield self._portfolio(project, deployments), params.portfolio
        if params.objects.enabled:
            for key in params.objects.keys:
                yield StoredObject(params.objects, key), params.objects
        if params.backtest.enabled:
            yield SignalBacktest(params.backtest, self._sleep), params.backtest

    def _portfolio(self, project: int, deployments: Deployments) -> LivePortfolio:
        """Its targets are said again before they expire: a position that is still held is still wanted."""
        slot_ms = min(self._terms.horizon, self._terms.longest) // 2
        unheld = {symbol: ticker_of(symbol) for symbol in self._symbols} if self._params.close_unheld else None
        return LivePortfolio(project, deployments, slot_ms, unheld)

    async def _listen(self, intake: Intake, states: States, unasked: Unasked, port: SourcePort) -> None:
        async def deliver(signals: Sequence[Signal]) -> int:
            return await intake.take(signals)

        async def listens() -> None:
            self.listening.set()
            await states.well(name)

        async def troubled(trouble: str) -> None:
            await unasked.ill(MESSAGES, trouble)

        name, secret = Way.WEBHOOK.value, self._credentials.webhook_secret
        try:
            listener = self._listener = Listener(self._params.webhook, secret, port.now, deliver, troubled)
        except ValueError as error:
            await states.ill(name, str(error))
            return
        while True:
            try:
                await listener.serve(listens)
            except OSError as error:
                where = f"{self._params.webhook.host}:{self._params.webhook.port}"
                await states.ill(name, f"cannot listen on {where} ({error}); free the port or choose another")
            await self._sleep(LISTEN_AGAIN_S)
