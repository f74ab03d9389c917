"""What is made of a decision between its source and the desk: of a life's and a step's alike, and never at the desk's cost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bot.core.decision import Action, Decision
from bot.core.desk import TradingDesk
from bot.core.facts import DecisionSeen
from bot.core.inputs import Proposed
from bot.core.market import Candle, MarketView
from bot.runtime.clock import WallClock
from bot.runtime.hosting import Port, SourceHost
from bot.runtime.inbox import Inbox
from bot.runtime.supervision import Supervisor
from tests.factories import BTC, RULE, a_candle, a_config, a_decision, a_source
from tests.runtime.shell_rig import running


class OneStep:
    """A step that proposes the same at every candle."""

    spec = a_source(RULE)
    feeds = ((BTC, "1m"),)
    warmup = 0

    def __init__(self, decision: Decision) -> None:
        self.decision = decision

    def warm(self, candle: Candle, view: MarketView) -> None: ...

    def on_candle(self, candle: Candle, view: MarketView) -> Decision | None:
        return self.decision

    def snapshot(self) -> object:
        return None

    def restore(self, state: object) -> None: ...


def doubted(decision: Decision) -> Decision:
    return replace(decision, confidence=decision.confidence / 2, raw_confidence=decision.confidence)


def broken(decision: Decision) -> Decision:
    raise ZeroDivisionError(decision.id)


def a_port(inbox: Inbox) -> Port:
    return Port(inbox, TradingDesk(a_config()), WallClock().now)


def heard(inbox: Inbox) -> Decision:
    arrival = inbox.take()
    assert arrival is not None
    event, _ = arrival
    assert isinstance(event, Proposed)
    return event.decision


async def test_a_port_that_nothing_adjusts_hands_on_the_very_decision() -> None:
    inbox, decision = Inbox(), a_decision()
    await a_port(inbox).propose(decision)
    assert heard(inbox) is decision


async def test_a_life_and_a_step_pass_the_same_adjustment() -> None:
    inbox, decision = Inbox(), a_decision()
    port = a_port(inbox)
    port.adjust = doubted
    host = SourceHost(inbox, port, Supervisor())
    host.add_step(OneStep(decision))
    [stepped] = host.step(a_candle(), port.view)
    inbox.take()  # the source that joined
    await port.propose(decision)
    assert heard(inbox) == stepped == replace(decision, confidence=0.3, raw_confidence=0.6)


async def test_an_adjustment_that_fails_costs_itself_and_no_decision() -> None:
    inbox, decision = Inbox(), a_decision()
    port = a_port(inbox)
    port.adjust = broken
    host = SourceHost(inbox, port, Supervisor())
    host.add_step(OneStep(decision))
    assert host.step(a_candle(), port.view) == [decision]
    inbox.take()
    await port.propose(decision)
    assert heard(inbox) is decision
    assert port.unadjusted == 2


async def test_what_the_desk_decides_upon_and_the_journal_keeps_is_the_adjusted_decision(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        port = Port(rig.inbox, rig.shell.desk, rig.shell.clock.now, doubted)
        rig.quote(100.0)
        await port.propose(a_decision(Action.BUY, RULE, rig.now))
        [seen] = await rig.facts.count(DecisionSeen)
        assert (seen.decision.confidence, seen.decision.raw_confidence) == (0.3, 0.6)
