"""What a host tells the sources that live: candles to those who listen, facts to those who want to know, ailments to who asks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from bot.core.decision import SourceSpec
from bot.core.desk import DeskConfig, TradingDesk
from bot.core.facts import Fact
from bot.core.market import Candle, MarketView
from bot.core.protocols import SourcePort
from bot.runtime.hosting import Port, SourceHost
from bot.runtime.inbox import Inbox
from bot.runtime.supervision import Supervisor
from sources.base import Proposal, Proposer, Rule, RuleSource, Strict
from tests.factories import BTC, LLM, RULE, T0, a_source

BAR = Candle(BTC, "1m", T0 + 60_000, T0, 1.0, 2.0, 0.5, 1.5, 10.0)


class Attentive:
    """A source that listens, witnesses and ails."""

    def __init__(self, name: str = LLM) -> None:
        self._spec = a_source(name)
        self.heard: list[Candle] = []
        self.told: list[Fact] = []
        self.ailments: Sequence[str] = ()

    @property
    def spec(self) -> SourceSpec:
        return self._spec

    @property
    def feeds(self) -> Sequence[tuple[str, str]]:
        return [(BTC, "1m")]

    def hear(self, candle: Candle) -> None:
        self.heard.append(candle)

    def saw(self, fact: Fact) -> None:
        self.told.append(fact)

    async def run(self, port: SourcePort) -> None:
        await asyncio.Event().wait()


def a_host() -> tuple[SourceHost, TradingDesk]:
    inbox, desk = Inbox(), TradingDesk(DeskConfig())
    return SourceHost(inbox, Port(inbox, desk, lambda: T0), Supervisor()), desk


async def test_a_source_that_lives_hears_the_candles_of_its_feeds_and_no_others() -> None:
    host, desk = a_host()
    source = Attentive()
    host.add_life(source)
    host.step(BAR, desk.market)
    host.step(Candle(BTC, "5m", T0 + 300_000, T0, 1.0, 2.0, 0.5, 1.5, 10.0), desk.market)
    assert source.heard == [BAR]
    assert host.feeds == {(BTC, "1m")}


async def test_a_source_that_was_taken_out_hears_nothing_more() -> None:
    host, desk = a_host()
    source = Attentive()
    host.add_life(source)
    await host.remove(LLM, "test")
    host.step(BAR, desk.market)
    host.saw(desk.samples()[0])
    assert (source.heard, source.told) == ([], [])


async def test_facts_reach_who_wants_to_know() -> None:
    host, desk = a_host()
    source = Attentive()
    host.add_life(source)
    (fact, *_) = desk.samples()
    host.saw(fact)
    assert source.told == [fact]


async def test_troubles_are_told_by_source_and_only_while_there_are_any() -> None:
    host, _ = a_host()
    source = Attentive()
    host.add_life(source)
    assert host.troubles == {}
    source.ailments = ["insights: the token is wrong"]
    assert host.troubles == {LLM: ["insights: the token is wrong"]}


class Broken(Rule):
    """Raises at every candle."""

    Params = Strict

    def __init__(self, params: Strict) -> None:
        del params

    def step(self, candle: Candle, view: MarketView) -> Proposal | None:
        message = "no such key"
        raise LookupError(message)


async def test_a_rule_that_was_silenced_is_a_trouble_of_its_source() -> None:
    host, desk = a_host()
    host.add_step(RuleSource(Proposer(a_source(RULE), 60_000), lambda: Broken(Strict()), (BTC,), "1m"))
    assert host.troubles == {}
    host.step(BAR, desk.market)
    ((name, (ailment,)),) = host.troubles.items()
    assert name == RULE
    assert "LookupError: no such key" in ailment


async def test_a_source_whose_task_fails_is_named_with_its_error_and_other_tasks_are_not_taken_for_sources() -> None:
    inbox, desk, supervisor = Inbox(), TradingDesk(DeskConfig()), Supervisor()
    host = SourceHost(inbox, Port(inbox, desk, lambda: T0), supervisor)
    host.add_life(Attentive())
    supervisor.failing.update({f"source {LLM}": "OSError: gone", "source of.nobody": "?", "feed": "OSError: no route"})
    assert host.failing == {LLM: "OSError: gone"}


async def test_a_quiet_host_lets_nobody_hear() -> None:
    host, desk = a_host()
    source = Attentive()
    host.add_life(source)
    host.quiet()
    host.step(BAR, desk.market)
    assert source.heard == []
