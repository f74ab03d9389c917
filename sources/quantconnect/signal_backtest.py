"""The signal backtest: for accounts without live nodes, a short backtest that ends now, of which the last insights count.

Every run draws new ids, so that an insight is known by what it says: project, symbol, time and direction.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import structlog

from bot.core.decision import derive_id
from bot.core.market import timeframe_ms
from sources.quantconnect.calls import Page
from sources.quantconnect.client import Client
from sources.quantconnect.errors import QcError
from sources.quantconnect.insights import Signal, Unusable, Way, of_insight
from sources.quantconnect.models_backtest import Backtest, Stage
from sources.quantconnect.models_trade import Insight
from sources.quantconnect.routes import INSIGHTS, RouteTrouble, rows_from
from sources.quantconnect.settings import BacktestParams

log = structlog.get_logger(__name__)

SETTLING_LOOKS = 5
"""How often a backtest that is complete, but not all there, is looked at again: its insights need no statistics."""
CLEAN_UP_S = 5.0


class SignalBacktest:
    """Compiles and runs the project, reads its last insights and deletes the backtest, whatever became of it."""

    way = Way.BACKTEST

    def __init__(self, params: BacktestParams, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep) -> None:
        self.unusable = 0
        self._params = params
        self._sleep = sleep

    @property
    def name(self) -> str:
        """The way and the project."""
        return f"{self.way}:{self._params.project}"

    async def read(self, client: Client, now: int) -> Sequence[Signal]:
        """The last insights of a backtest that ends now; `RouteTrouble` where it cannot be built, fails or takes too long."""
        build = await client.compiles.finished(self._params.project)
        if build.errors:
            first = build.errors[0]
            message = f"project {self._params.project} cannot be built, {first.file}:{first.line}: {first.text}; correct the file"
            raise RouteTrouble(message)
        name = f"signals {datetime.fromtimestamp(now / 1_000, UTC):%Y-%m-%d %H:%M:%S}"
        limit = timeframe_ms(self._params.timeout) / 1_000
        try:
            async with asyncio.timeout(limit):
                return await self._run(client, build.compile_id, name, now)
        except TimeoutError as error:
            message = f"the backtest of project {self._params.project} does not end within {limit:g} s; it was deleted"
            raise RouteTrouble(message) from error

    async def _run(self, client: Client, compile_id: str, name: str, now: int) -> Sequence[Signal]:
        backtest_id: str | None = None
        try:
            wait = timeframe_ms(self._params.wait_for_node) / 1_000
            project, given = self._params.project, self._parameters(now)
            begun = await client.backtests.create(project, compile_id, name, given, wait_for_node_s=wait)
            backtest_id = begun.backtest_id
            await self._ended(client, begun)
            return await self._signals(client, backtest_id)
        except QcError as error:
            if backtest_id is None and not error.may_have_happened:
                backtest_id = ""  # nothing was begun
            raise
        finally:
            if backtest_id != "":
                await self._delete(client, backtest_id, name)

    def _parameters(self, now: int) -> dict[str, str | float]:
        end = datetime.fromtimestamp(now / 1_000, UTC).date()
        start = end - timedelta(days=self._params.days)
        dates = {self._params.start_parameter: start.isoformat(), self._params.end_parameter: end.isoformat()}
        return {**self._params.parameters, **dates}

    async def _ended(self, client: Client, backtest: Backtest) -> None:
        looks = 0
        while (stage := backtest.stage) is not Stage.DONE:
            if stage is Stage.FAILED:
                message = (
                    f"the backtest of project {self._params.project} failed: {(backtest.error or backtest.stacktrace)[:300]}"
                )
                raise RouteTrouble(message)
            looks += stage is Stage.UNSETTLED
            if looks > SETTLING_LOOKS:
                return
            await self._sleep(timeframe_ms(self._params.poll) / 1_000)
            backtest = await client.backtests.read(self._params.project, backtest.backtest_id)

    async def _signals(self, client: Client, backtest_id: str) -> Sequence[Signal]:
        project = self._params.project

        async def page(start: int, end: int) -> Page[Insight]:
            return await client.backtests.insights_page(project, backtest_id, start, end)

        rows, _ = await rows_from(page, INSIGHTS, 0, self._params.last)
        signals = []
        for row in rows[-self._params.last :]:
            try:
                signal = of_insight(row, self.way, project)
            except Unusable:
                self.unusable += 1
                continue
            known = derive_id("backtest", project, signal.sid or signal.ticker, signal.generated, signal.heading)
            signals.append(replace(signal, id=known))
        return signals

    async def _delete(self, client: Client, backtest_id: str | None, name: str) -> None:
        """Free the node. Where the answer to its creation was lost, the backtest is found by its name."""
        project = self._params.project
        try:
            async with asyncio.timeout(CLEAN_UP_S):
                found = [backtest_id] if backtest_id is not None else []
                if backtest_id is None:
                    rows = await client.backtests.list(project, include_statistics=False)
                    found = [row.backtest_id for row in rows if row.name == name]
                for each in found:
                    await client.backtests.delete(project, each)
        except (QcError, TimeoutError) as error:
            log.warning("quantconnect_backtest_left", project=project, name=name, reason=str(error) or "no answer in time")
