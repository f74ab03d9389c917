"""With the real desk, shell, journal and paper broker: from a candle to an order in the journal, and nobody waits in vain."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest

from bot.core.decision import Action, Tier
from bot.core.facts import AbstentionMade, ClaimMade, DecisionFate, DecisionSeen, FillBooked, Verdict
from bot.core.orders import OrderState
from simulators.llm.faults import Fault, Mode
from simulators.llm.server import LlmSimulator
from sources.llm.minds import Minds, open_minds
from tests.factories import BTC, RULE
from tests.factories import a_source as a_spec
from tests.runtime.shell_rig import Rig, running
from tests.sources.llm.llm_source_world import MODELS, WIDE, a_source, candles, settings_of

PARAMS = {"timeframes": ["5m"], "deadline": "2s"}


@dataclass
class Desk:
    """A running bot whose source asks the simulator, and that simulator."""

    rig: Rig
    minds: Minds
    simulator: LlmSimulator

    async def candle(self) -> float:
        """A market that rises, whose last candle has just closed; the newest price."""
        rows = candles(BTC, "5m", self.rig.now - self.rig.now % 300_000)
        for row in rows[:-1]:
            self.rig.inbox.put_market(row)
        await self.rig.settled()
        price = rows[-1].close
        self.rig.quote(price)
        await self.rig.settled()
        self.rig.host.add_life(a_source(self.minds, PARAMS, symbols=[BTC]))
        self.rig.inbox.put_market(rows[-1])
        return price


@asynccontextmanager
async def a_desk(path: Path, name: str) -> AsyncIterator[Desk]:
    """One candidate, in the dialect of that provider; the tables are in the journal's own database."""
    async with LlmSimulator() as simulator, running(path, sources=[a_spec(RULE)]) as rig:
        settings, secret = settings_of(simulator, {name: MODELS[name]}), {"DEMO_KEY": simulator.key}.get
        url = f"sqlite:///{rig.database}"
        async with open_minds(settings, WIDE, url, secret, lambda: rig.now, redact=str, alert=_unheard, run="run-1") as minds:
            yield Desk(rig, minds, simulator)
            await rig.host.remove("llm:test", "test")


def _unheard(_: object) -> None:
    """Nobody hears of budgets here."""


@pytest.mark.parametrize("name", list(MODELS))
async def test_a_candle_becomes_an_order_in_the_journal_with_what_it_cost(name: str, tmp_path: Path) -> None:
    async with a_desk(tmp_path, name) as desk:
        await desk.candle()
        facts = desk.rig.facts
        (claim,) = await facts.count(ClaimMade)
        (fill, *_) = await facts.count(FillBooked)
        (seen,) = facts.of(DecisionSeen)
        (verdict,) = facts.of(Verdict)
        assert (claim.claim.tier, verdict.winner, verdict.action) == (Tier.LLM, seen.decision.id, Action.BUY)
        assert (fill.source, fill.decision_id, fill.confidence) == ("llm:test", seen.decision.id, seen.decision.confidence)
        assert [fact.fate.value for fact in facts.of(DecisionFate)] == ["executed"]
        assert OrderState.FILLED in facts.states()
        await desk.rig.shell.journal.flush(5.0)
        with closing(sqlite3.connect(f"file:{desk.rig.database}?mode=ro", uri=True)) as journal:
            ((cost, tier),) = journal.execute("SELECT cost, tier FROM decisions").fetchall()
        assert Decimal(str(cost)) == seen.decision.cost > 0
        assert tier in {"llm", int(Tier.LLM)}


async def test_a_rule_waits_while_the_model_thinks_and_no_longer(tmp_path: Path) -> None:
    async with a_desk(tmp_path, "openai") as desk:
        desk.simulator.inject(Fault(Mode.HANG, count=1))
        price = await desk.candle()
        facts = desk.rig.facts
        await facts.count(ClaimMade)
        decision = await desk.rig.propose(Action.BUY, RULE, price=price, stop_loss=None)
        (told,) = await facts.count(AbstentionMade)
        assert told.abstention.reason == "timeout"
        (verdict,) = await facts.count(Verdict)
        assert (verdict.winner, verdict.source) == (decision.id, RULE)
        assert facts.seen.index(told) < facts.seen.index(verdict)
