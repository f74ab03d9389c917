"""`desk.*`: what waits and stands, the sources, the positions, and a threshold that the desk takes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from bot.core.decision import Action, Fate
from bot.core.risk import RiskLimits
from bot.journal.codec import encode_snapshot
from bot.secrets import Secrets
from bot.services.ground import own_ground
from bot.services.running import Described
from bot.services.use_case import UseCaseError, room_of
from bot.settings import load
from tests.factories import BTC, LLM, QC, RULE, T0, a_config, a_model, a_source
from tests.services.asking_ground import configured, do
from tests.services.trading.trading_desk import desk_bot

ROOMS = ("bot.services.trading.desk_cases", "bot.services.trading.risk_cases")
GIVEN: dict[str, dict[str, Any]] = {
    "desk.set-threshold": {"source": RULE, "threshold": 0.5},
    "risk.validate": {"symbol": BTC, "side": "buy", "amount": "1"},
    "risk.size": {"symbol": BTC},
}


@pytest.mark.parametrize("name", [name for room in ROOMS for name in room_of(room)])
async def test_without_a_running_bot_every_one_says_how_to_start_one(name: str, tmp_path: Path) -> None:
    loaded = load(configured(tmp_path), overrides={"bot.data_dir": tmp_path}, environ={})
    async with own_ground(loaded, Secrets(tmp_path, {}), lambda: T0) as ground:
        with pytest.raises(UseCaseError, match="no bot runs here: start one with `python -m bot`"):
            await do(ground, name, **GIVEN.get(name, {}))


async def test_the_queue_tells_who_waits_in_the_order_in_which_they_are_heard(tmp_path: Path) -> None:
    waits = [a_source(name, settle_ms=250) for name in (LLM, RULE)]
    async with desk_bot(tmp_path, sources=[a_source(QC), *waits]) as bot:
        bot.harness.quote(100.0)
        rule = bot.harness.propose(source=RULE, confidence=0.9, reasoning="x" * 400)
        llm = bot.harness.propose(Action.SELL, source=LLM, confidence=0.2)
        bot.harness.claim(QC, 5_000)
        found = await do(bot.ground, "desk.queue")
    assert [each["id"] for each in found["waiting"]] == [llm.id, rule.id]
    first, second = found["waiting"]
    assert (first["tier"], first["tier_name"], first["action"]) == (1, "llm", "sell")
    assert second["reasoning"] == "x" * 300
    assert (second["reference"], second["price"], second["settles_at"]) == (100.0, 100.0, T0 + 250)
    assert second["waits_for"] == QC
    assert found["claims"] == [
        {"source": QC, "tier": 0, "tier_name": "quantconnect", "symbol": BTC, "since": T0, "until": T0 + 5_000}
    ]
    assert found["policy"] == "priority"
    assert (found["standing"], found["working"]) == ([], [])


async def test_what_stands_names_its_target_and_whom_it_outranked(tmp_path: Path) -> None:
    async with desk_bot(tmp_path, paper=False) as bot:
        bot.harness.quote(100.0)
        winner = bot.harness.propose(source=QC, confidence=0.8)
        loser = bot.harness.propose(Action.SELL, source=LLM, confidence=0.99)
        order = bot.harness.order
        found = await do(bot.ground, "desk.queue")
    (standing,) = found["standing"]
    assert (standing["id"], standing["source"], standing["symbol"]) == (winner.id, QC, BTC)
    assert (standing["target"], standing["position"]) == ("10", "0")
    assert (standing["since"], standing["expires"]) == (winner.created, winner.expires)
    assert [each["id"] for each in standing["outranked"]] == [loser.id]
    (working,) = found["working"]
    assert (working["id"], working["side"], working["type"], working["state"]) == (order.id, "buy", "market", "sent")
    assert (working["amount"], working["filled"], working["source"], working["price"]) == ("10", "0", QC, None)


@pytest.mark.parametrize("filled", [False, True])
async def test_what_stands_and_adds_wants_no_more_once_its_order_was_made(filled: bool, tmp_path: Path) -> None:
    async with desk_bot(tmp_path, sources=[a_source(QC, adds=True)], paper=filled) as bot:
        bot.harness.quote(100.0)
        bot.harness.propose(source=QC)
        bot.harness.quote(100.0, after=1_000)
        (standing,) = (await do(bot.ground, "desk.queue"))["standing"]
    assert (standing["target"], standing["position"]) == ("10", "10" if filled else "0")


async def test_one_who_agreed_with_the_winner_was_not_outranked(tmp_path: Path) -> None:
    async with desk_bot(tmp_path) as bot:
        bot.harness.quote(100.0)
        bot.harness.propose(source=QC)
        bot.harness.propose(source=LLM)
        found = await do(bot.ground, "desk.queue")
    assert [each["outranked"] for each in found["standing"]] == [[]]


async def test_sources_tell_their_settings_their_troubles_and_what_they_would_have_earned(tmp_path: Path) -> None:
    off = Described(a_source("rules:off"), "sma-cross, candles 1m", "switched off in off.yaml (enabled: false)")
    async with desk_bot(tmp_path, off=[off]) as bot:
        bot.harness.quote(100.0)
        bot.harness.propose(source=RULE)
        bot.harness.quote(110.0, after=1_000)
        bot.host.set_paused(QC, True, "operator")
        bot.drain()
        found = await do(bot.ground, "desk.sources")
    by_name = {each["name"]: each for each in found["sources"]}
    assert [each["name"] for each in found["sources"]] == [QC, LLM, "rules:off", RULE]
    rule = by_name[RULE]
    assert (rule["state"], rule["tier_name"], rule["capital"], rule["sizing"]) == ("on", "traditional", "1", "plain")
    assert rule["pnl"].startswith("9")
    assert rule["shadow"]["pnl"] == rule["pnl"]
    assert (rule["standing"], rule["waiting"], rule["last_decision"]) == (1, 0, T0)
    assert by_name[QC]["state"] == "paused"
    assert by_name[LLM]["troubles"] == ["the key was refused"]
    assert (by_name["rules:off"]["state"], by_name["rules:off"]["off"]) == ("off", off.off)
    assert by_name["rules:off"]["about"] == "sma-cross, candles 1m"


async def test_a_source_that_was_removed_is_off_and_says_so(tmp_path: Path) -> None:
    async with desk_bot(tmp_path) as bot:
        await bot.host.remove(RULE, "operator")
        bot.drain()
        found = await do(bot.ground, "desk.sources")
    (rule,) = [each for each in found["sources"] if each["name"] == RULE]
    assert (rule["state"], rule["off"]) == ("off", "it was removed while the bot runs")


async def test_a_threshold_is_answered_once_the_desk_hears_by_it(tmp_path: Path) -> None:
    async with desk_bot(tmp_path) as bot:
        asked = asyncio.create_task(do(bot.ground, "desk.set-threshold", source=RULE, threshold=0.7, author="ann"))
        await asyncio.sleep(0)
        assert not asked.done()
        taking = asyncio.create_task(bot.take())
        try:
            found = await asyncio.wait_for(asked, 20)
        finally:
            taking.cancel()
            await asyncio.gather(taking, return_exceptions=True)
        assert found == {"source": RULE, "before": 0.0, "after": 0.7, "author": "ann"}
        assert bot.harness.desk.state.sources[RULE].threshold == 0.7
        bot.harness.quote(100.0)
        refused = bot.harness.propose(source=RULE, confidence=0.6)
        assert bot.harness.fate(refused) is Fate.BELOW_THRESHOLD


async def test_a_threshold_of_nobody_or_out_of_range_is_refused(tmp_path: Path) -> None:
    async with desk_bot(tmp_path) as bot:
        with pytest.raises(UseCaseError, match="no source is called 'rules:none'; there are llm:claude"):
            await do(bot.ground, "desk.set-threshold", source="rules:none", threshold=0.7)
        for threshold in (-0.1, 1.1, float("nan")):
            with pytest.raises(UseCaseError, match="threshold"):
                await do(bot.ground, "desk.set-threshold", source=RULE, threshold=threshold)
        assert bot.harness.desk.state.sources[RULE].threshold == 0.0


async def test_positions_tell_their_worth_their_levels_and_who_opened_them(tmp_path: Path) -> None:
    async with desk_bot(tmp_path, config=a_config(fills=a_model())) as bot:
        bot.harness.quote(100.0)
        opened = bot.harness.propose(source=RULE, stop_loss=90.0, take_profit=150.0, trailing=0.2)
        bot.harness.quote(110.0, after=1_000)
        found = await do(bot.ground, "desk.positions")
    (held,) = found["positions"]
    assert (held["symbol"], held["side"], held["amount"], held["average"]) == (BTC, "long", "10", "100")
    assert (held["price"], held["value"], held["unrealised"]) == (110.0, "1100", "100")
    assert held["share"] == pytest.approx(1_100 / 10_100)
    assert (held["stop_loss"], held["take_profit"], held["trailing_stop"]) == (90.0, 150.0, pytest.approx(88.0))
    assert (held["opener"], held["decision"]) == (RULE, opened.id)
    (lot,) = held["lots"]
    assert (lot["amount"], lot["opened"], lot["source"], lot["tier_name"]) == ("10", T0, RULE, "traditional")
    assert found["equity"] == "10100"


async def test_reading_changes_nothing_of_the_desk(tmp_path: Path) -> None:
    async with desk_bot(tmp_path, config=a_config(limits=RiskLimits(stale_after_ms=None))) as bot:
        bot.harness.quote(100.0)
        bot.harness.propose(source=RULE)
        bot.harness.quote(101.0, after=120_000)
        before = encode_snapshot(bot.harness.desk.snapshot())
        for name in ("desk.queue", "desk.sources", "desk.positions", "risk.state", "risk.assess"):
            await do(bot.ground, name)
        assert encode_snapshot(bot.harness.desk.snapshot()) == before


def test_every_one_is_quick_and_asks_the_bot() -> None:
    cases = [case for room in ROOMS for case in room_of(room).values()]
    assert [case.name for case in cases if not case.quick or case.reads] == []
