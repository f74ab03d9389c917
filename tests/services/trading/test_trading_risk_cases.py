"""`risk.*`: how full the limits are, what an order would meet, what a size would be; and that asking changes nothing."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.facts import RiskChanged
from bot.core.inputs import InstrumentChanged, MarketHealth, Reconciled, TradingState
from bot.core.market import Health, Side
from bot.core.orders import Leg
from bot.core.risk import Refusal, RiskGate, RiskLimits
from bot.core.sizing import CappedKelly, ConfidenceScaled, FixedFraction, Sizing, VolatilityTarget
from bot.core.targets import TargetRules
from bot.journal.codec import encode_snapshot
from bot.journal.journal import Journal
from bot.journal.run import BookKey, RunStart
from bot.journal.writer import Watch
from bot.services.trading.assess import LEAST_RETURNS, assess_json, herfindahl
from bot.services.trading.copies import copied
from bot.services.trading.limits import limits_of
from bot.services.trading.size import Idea, size_json
from bot.services.trading.validate import Wish, drafted, validate_json
from bot.services.use_case import UseCaseError
from tests.factories import BTC, ETH, LLM, NO_LIMITS, RULE, T0, DeskHarness, a_config, a_model, a_source, an_instrument
from tests.services.asking_ground import do
from tests.services.trading.trading_desk import desk_bot

EVERYTHING = RiskLimits(
    max_position=0.25,
    max_exposure=0.50,
    max_order_notional=2_000.0,
    max_open_orders=3,
    max_orders_per_minute=4,
    loss_streak=1,
    symbol_cool_down_ms=60_000,
)


def a_desk(limits: RiskLimits = EVERYTHING, share: float = 0.10, **changes: Any) -> DeskHarness:
    """A desk on paper without fees, with a price of 100 for BTC and 50 for ETH."""
    desk = DeskHarness(a_config(limits, FixedFraction(share), fills=a_model(), **changes), paper=True)
    desk.quote(100.0)
    desk.quote(50.0, symbol=ETH)
    return desk


def limit_of(desk: DeskHarness, name: str, subject: str | None = None) -> dict[str, object]:
    """The row of a limit."""
    rows = [each for each in limits_of(desk.desk, copied(desk.desk, desk.now)) if each.name == name]
    (row,) = [each for each in rows if subject is None or each.subject == subject]
    return row.as_json()


def validate(desk: DeskHarness, side: Side = Side.BUY, **wish: Any) -> dict[str, Any]:
    """The answer to a wish on BTC."""
    return validate_json(desk.desk, desk.now, Wish(wish.pop("symbol", BTC), side, **wish))


def size(desk: DeskHarness, *idea: Any, **more: Any) -> dict[str, Any]:
    """What a buy of BTC would be."""
    return size_json(desk.desk, desk.now, Idea(BTC, *idea, **more))


def answers(found: dict[str, Any]) -> dict[str, str]:
    """What each check said."""
    return {each["name"]: each["answer"] for each in found["checks"]}


def test_limits_say_how_full_they_are_of_what_is_held() -> None:
    desk = a_desk()
    desk.propose(source=RULE)
    assert limit_of(desk, "max_position", BTC)["used"] == pytest.approx(0.10)
    assert limit_of(desk, "max_position", BTC)["share"] == pytest.approx(0.40)
    assert limit_of(desk, "max_exposure")["share"] == pytest.approx(0.20)
    assert limit_of(desk, "source_capital", RULE)["used"] == pytest.approx(0.10)
    assert limit_of(desk, "max_orders_per_minute")["used"] == 1
    assert limit_of(desk, "max_open_orders")["used"] == 0
    assert limit_of(desk, "cash_buffer")["used"] == pytest.approx(0.10)
    desk.wait(60_000)
    assert limit_of(desk, "max_orders_per_minute")["used"] == 0


def test_every_limit_that_is_configured_has_a_row_and_every_other_is_named_as_off() -> None:
    desk = a_desk()
    names = {each.name for each in limits_of(desk.desk, copied(desk.desk, desk.now))}
    assert names == {
        "max_position", "max_exposure", "max_order_notional", "max_open_orders", "max_orders_per_minute", "max_daily_loss",
        "max_drawdown", "loss_streak", "symbol_cool_down", "price_collar", "stale_after", "cash_buffer", "source_capital",
    }  # fmt: skip
    bare = a_desk(NO_LIMITS)
    assert {each.name for each in limits_of(bare.desk, copied(bare.desk, bare.now))} == {"cash_buffer", "source_capital"}


def test_a_limit_that_is_hit_is_the_one_that_denies_the_next_entry() -> None:
    desk = a_desk()
    desk.propose(source=RULE, stop_loss=95.0)
    desk.quote(90.0, after=1_000)
    assert not desk.position()
    assert limit_of(desk, "loss_streak")["hit"]
    assert limit_of(desk, "symbol_cool_down", BTC)["hit"]
    found = validate(desk, amount=Decimal(1))
    assert (answers(found)["LossStreak"], answers(found)["SymbolCoolDown"]) == ("denied", "denied")
    desk.quote(90.0, after=900_000)
    assert not limit_of(desk, "loss_streak")["hit"]
    assert not limit_of(desk, "symbol_cool_down")["hit"]
    assert validate(desk, amount=Decimal(1))["admitted"]


def test_daily_loss_and_drawdown_are_told_as_the_gate_counts_them() -> None:
    desk = a_desk(RiskLimits(stale_after_ms=None), share=0.25)
    desk.propose(source=RULE)
    desk.quote(70.0, after=1_000)
    daily, drawdown = limit_of(desk, "max_daily_loss"), limit_of(desk, "max_drawdown")
    assert (daily["used"], daily["hit"]) == (pytest.approx(0.075), True)
    assert (drawdown["used"], drawdown["hit"]) == (pytest.approx(0.075), False)
    assert answers(validate(desk, amount=Decimal(1), symbol=ETH))["MaxDailyLoss"] == "denied"


def test_old_prices_are_told_by_the_clock_though_the_desk_hears_nothing() -> None:
    desk = a_desk()
    desk.now += 31_000
    assert limit_of(desk, "stale_after", BTC) | {"about": ""} == {
        "name": "stale_after", "about": "", "unit": "ms", "used": 31_000, "limit": 30_000, "share": 1.0, "hit": True,
        "setting": "risk.stale_after", "subject": BTC, "detail": None, "until": None,
    }  # fmt: skip
    assert validate(desk, amount=Decimal(1))["denial"] == "stale-data"


async def test_the_state_says_since_when_by_the_journal_and_not_by_loss_limits(tmp_path: Path) -> None:
    async with desk_bot(tmp_path) as bot:
        book = BookKey("arbiter", "paper", "binance", "real")
        journal = Journal.open(bot.ground.loaded.settings.database_url, tmp_path / "data")
        journal.begin(RunStart("run-1", book, T0, False, {}, "1.0"), Watch(lambda trouble: None, lambda: None))
        bot.ground.run = "run-1"
        await journal.flush()
        assert (await do(bot.ground, "risk.state"))["since"] == T0
        bot.harness.now += 1_000
        bot.harness.command(TradingState.HALTED)
        journal.append(RiskChanged(bot.harness.now, TradingState.HALTED, "operator", "a test"))
        journal.append(RiskChanged(bot.harness.now + 500, TradingState.HALTED, "risk", "daily-loss: much"))
        await journal.flush()
        assert (await do(bot.ground, "risk.state"))["since"] == T0 + 1_000
        await journal.close(bot.harness.now)


async def test_the_state_is_told_though_the_journal_cannot_be_read(tmp_path: Path) -> None:
    async with desk_bot(tmp_path) as bot:
        bot.ground.run = "run-1"
        (tmp_path / "data" / "arbiter.db").write_bytes(b"no database")
        found = await do(bot.ground, "risk.state")
    assert (found["state"], found["since"]) == ("active", None)


async def test_the_state_names_what_is_wrong(tmp_path: Path) -> None:
    async with desk_bot(tmp_path, a_config(EVERYTHING), paper=False) as bot:
        desk = bot.harness
        desk.quote(100.0)
        desk.propose(source=RULE)
        desk.accept()
        desk.lose()
        desk.turn(MarketHealth(desk.now, ETH, Health.GAP, "3 candles"))
        desk.turn(Reconciled(desk.now, True, unexplained=("2 BTC too many",)))
        desk.command(TradingState.REDUCING)
        found = await do(bot.ground, "risk.state")
    assert (found["state"], found["reason"], found["since"]) == ("reducing", "operator: a test", None)
    assert found["frozen"] == [{"symbol": BTC, "order": desk.order.id}]
    assert {each["symbol"]: each["health"] for each in found["health"]} == {BTC: "fresh", ETH: "gap"}
    assert found["unexplained"] == ["2 BTC too many"]
    assert found["off"] == []
    assert {each["subject"] for each in found["limits"] if each["name"] == "stale_after" and each["hit"]} == {ETH}


def test_an_order_that_fits_passes_every_check_and_tells_what_it_would_do() -> None:
    desk = a_desk(RiskLimits())
    found = validate(desk, amount=Decimal("1.23456"))
    assert set(answers(found).values()) == {"passed", "shrunk"}
    assert answers(found)["Shape"] == "shrunk"
    assert (found["admitted"], found["amount"], found["denial"]) == (True, "1.2345", None)
    assert found["exposure"]["after"] == "123.45"
    assert found["exposure"]["after_share"] == pytest.approx(0.012345)
    assert found["position"] == {"before": "0", "after": "1.2345"}
    assert found["fee"] == {"amount": "0", "currency": "USDT"}


def test_an_order_that_is_too_large_is_shrunk_by_each_limit_in_turn() -> None:
    desk = a_desk()
    found = validate(desk, notional=Decimal(9_000))
    sizes = {each["name"]: (each["answer"], each["notional"]) for each in found["checks"]}
    assert sizes["MaxPosition"] == ("shrunk", "2500")
    assert sizes["MaxExposure"][0] == "passed"
    assert sizes["MaxOrderNotional"] == ("shrunk", "2000")
    assert (found["amount"], Decimal(found["notional"])) == ("20", Decimal(2_000))


def test_the_first_denial_decides_and_the_later_checks_are_asked_all_the_same() -> None:
    desk = a_desk()
    desk.command(TradingState.HALTED)
    found = validate(desk, amount=Decimal("0.00001"), price=200.0)
    denied = [(each["name"], each["decides"]) for each in found["checks"] if each["answer"] == "denied"]
    assert denied == [("States", True), ("PriceCollar", False), ("Shape", False)]
    assert (found["admitted"], found["denial"], found["amount"], found["fee"]) == (False, "halted", None, None)


def test_a_source_that_is_paused_or_without_the_symbol_is_not_heard() -> None:
    desk = DeskHarness(a_config(NO_LIMITS), [a_source(RULE, paused=True), a_source(LLM, symbols=(ETH,))])
    desk.quote(100.0)
    assert validate(desk, amount=Decimal(1), source=RULE)["denial"] == "source-paused"
    assert validate(desk, amount=Decimal(1), source=LLM)["denial"] == "symbol-not-allowed"
    with pytest.raises(UseCaseError, match=r"no source is called 'rules:none'; there are llm:claude, rules:sma-cross"):
        validate(desk, amount=Decimal(1), source="rules:none")


def test_no_more_is_sold_than_is_held() -> None:
    desk = a_desk()
    assert validate(desk, Side.SELL, amount=Decimal(1))["denial"] == "nothing-to-sell"
    desk.propose(source=RULE)
    found = validate(desk, Side.SELL, amount=Decimal(50))
    assert (found["admitted"], found["reduces"], found["amount"]) == (True, True, "10")
    assert found["asked"] == {"amount": "50", "notional": "5000"}
    assert answers(found)["Held"] == "shrunk"
    assert (found["position"]["after"], found["exposure"]["after"]) == ("0", "0")


def test_what_cannot_be_said_names_the_remedy() -> None:
    desk = DeskHarness(a_config())
    with pytest.raises(UseCaseError, match="the bot does not trade 'DOGE/USDT'; there are BTC/USDT, ETH/USDT"):
        validate(desk, amount=Decimal(1), symbol="DOGE/USDT")
    with pytest.raises(UseCaseError, match="no price of BTC/USDT has come yet"):
        validate(desk, amount=Decimal(1))
    with pytest.raises(UseCaseError, match="no price of BTC/USDT has come yet"):
        size(desk, 0.5)


@pytest.mark.parametrize(
    "args",
    [
        {},
        {"amount": "1", "notional": "100"},
        {"amount": "0"},
        {"amount": "-1"},
        {"amount": "NaN"},
        {"notional": "Infinity"},
        {"amount": "1e-400"},
        {"amount": "1e400"},
        {"amount": "1." + "0" * 5_000 + "1"},
        {"amount": "1", "side": "hold"},
        {"amount": "1", "price": 0},
        {"amount": "1", "leverage": 3},
    ],
)
async def test_absurd_orders_are_refused_in_one_line(args: dict[str, object], tmp_path: Path) -> None:
    async with desk_bot(tmp_path) as bot:
        bot.harness.quote(100.0)
        wish: Any = {"symbol": BTC, "side": "buy", **args}
        with pytest.raises(UseCaseError, match=r"^risk.validate: [^\n]+$"):
            await do(bot.ground, "risk.validate", **wish)


@given(
    held=st.booleans(),
    side=st.sampled_from(Side),
    amount=st.decimals("0.00001", "500", places=5),
    reference=st.floats(90.0, 110.0),
    later=st.integers(0, 120_000),
)
@settings(max_examples=60, deadline=None)
def test_asking_changes_nothing_and_says_what_the_gate_says(
    held: bool, side: Side, amount: Decimal, reference: float, later: int
) -> None:
    desk = a_desk()
    if held:
        desk.propose(source=RULE, stop_loss=50.0)
    desk.now += later
    before = encode_snapshot(desk.desk.snapshot())
    wish = Wish(BTC, side, amount, None, reference, RULE)
    found: Any = validate_json(desk.desk, desk.now, wish)
    size(desk, 0.5, RULE)
    assess_json(desk.desk, desk.now)
    assert encode_snapshot(desk.desk.snapshot()) == before
    book = copied(desk.desk, desk.now)
    draft, _ = drafted(desk.desk, book, wish)
    if side is Side.SELL and held:
        draft = replace(draft, amount=min(draft.amount, desk.position()), reduces=True)
    said = RiskGate(desk.config.limits.checks()).judge(draft, book)
    if side is Side.SELL and not held:
        assert found["denial"] == "nothing-to-sell"
    elif isinstance(said, Refusal):
        assert (found["denial"], found["reason"], found["amount"]) == (said.denial.value, said.detail, None)
    else:
        assert (found["admitted"], Decimal(found["amount"])) == (True, said.amount)


@pytest.mark.parametrize("notional", [100, 3_000])
def test_what_is_admitted_is_what_the_desk_then_sends(notional: int) -> None:
    desk = a_desk(share=notional / 10_000)
    found = validate(desk, notional=Decimal(notional), source=RULE)
    desk.propose(source=RULE)
    assert desk.order.leg is Leg.ENTRY
    assert Decimal(found["amount"]) == desk.order.amount


SIZINGS: dict[str, Sizing] = {
    "fixed": FixedFraction(0.1),
    "confident": ConfidenceScaled(0.02, 0.20),
    "volatility": VolatilityTarget(0.005, 2.0, 3, 0.05),
    "kelly": CappedKelly(),
}


def test_each_policy_says_what_it_would_hold_and_which_one_is_used() -> None:
    targets = TargetRules(SIZINGS, "fixed")
    desk = DeskHarness(a_config(RiskLimits(), targets=targets), [a_source(RULE, sizing="confident", capital=Decimal("0.5"))])
    desk.quote(100.0)
    found = size(desk, 1.0, RULE, stop_loss=90.0)
    by_name = {each["name"]: each for each in found["policies"]}
    assert found["used"] == "confident"
    assert [name for name, each in by_name.items() if each["used"]] == ["confident"]
    assert found["capital"] == "5000"
    assert by_name["fixed"]["fraction"] == pytest.approx(0.05)
    assert (by_name["confident"]["notional"], by_name["confident"]["amount"]) == ("1000", "10")
    assert by_name["confident"]["at_stop"] == "100"
    assert by_name["volatility"]["basis"] == "0 candles of 1m, 4 are needed: the fallback, 5.00% of the capital"
    assert by_name["kelly"]["basis"] == "0 closed shadow trades, 30 are needed: the fallback, 5.00% of the capital"
    assert by_name["confident"]["order"]["amount"] == "10"


def test_a_size_after_risk_is_what_is_missing_and_allowed() -> None:
    desk = a_desk(RiskLimits(max_position=0.05))
    found = size(desk, 0.5)
    (policy,) = found["policies"]
    assert (policy["amount"], policy["order"]["amount"]) == ("10", "5")
    desk.command(TradingState.HALTED)
    (policy,) = size(desk, 0.5)["policies"]
    assert (policy["order"]["amount"], policy["order"]["denial"]) == ("0", "halted")


def test_a_size_for_what_is_held_already_orders_nothing() -> None:
    desk = a_desk(NO_LIMITS)
    desk.propose(source=RULE)
    found = size(desk, 0.5, RULE)
    (policy,) = found["policies"]
    assert (policy["order"]["amount"], policy["order"]["fate"]) == ("0", "already-at-target")


def test_a_size_of_who_would_not_be_heard_is_denied_as_the_desk_denies_it() -> None:
    desk = DeskHarness(a_config(NO_LIMITS), [a_source(LLM, symbols=(ETH,)), a_source(RULE, paused=True)])
    desk.quote(100.0)
    for source, denial in ((LLM, "symbol-not-allowed"), (RULE, "source-paused")):
        found = size(desk, 0.9, source)
        (policy,) = found["policies"]
        assert (found["heard"], policy["order"]["amount"], policy["order"]["denial"]) == (False, "0", denial)


@pytest.mark.parametrize("adds", [False, True])
def test_a_size_counts_what_works_already_as_the_desk_does(adds: bool) -> None:
    desk = DeskHarness(a_config(NO_LIMITS), [a_source(RULE, adds=adds)])
    desk.quote(100.0)
    desk.propose(source=RULE)
    assert [order.remaining for order in desk.desk.state.working.values()] == [Decimal(10)], (
        "it works, and nothing of it is filled"
    )
    (policy,) = size(desk, 0.6, RULE)["policies"]
    wanted = ("10", None) if adds else ("0", "already-at-target")
    assert (policy["order"]["amount"], policy["order"]["fate"]) == wanted


@given(share=st.floats(0.9, 1.0), fee=st.sampled_from(["0", "0.001", "0.01"]), least=st.sampled_from(["1", "5", "300"]))
@settings(max_examples=60, deadline=None)
def test_the_cash_limit_is_hit_when_no_entry_can_be_paid_any_more_and_not_before(share: float, fee: str, least: str) -> None:
    desk = DeskHarness(a_config(NO_LIMITS, FixedFraction(share), fills=a_model()), paper=True, symbols=(BTC,))
    desk.turn(InstrumentChanged(desk.now, an_instrument(taker_fee=Decimal(fee), min_cost=Decimal(least))))
    desk.quote(100.0)
    desk.propose(source=RULE)
    limit, found = limit_of(desk, "cash_buffer"), validate(desk, notional=Decimal(5_000))
    assert limit["hit"] is (found["denial"] is not None), (limit, found["reason"])


def test_a_stop_above_the_price_is_no_stop() -> None:
    desk = a_desk()
    with pytest.raises(UseCaseError, match="stop_loss 100 is not below the price 100"):
        size(desk, 0.5, None, 100.0)


def test_an_empty_book_has_nothing_at_risk() -> None:
    found = assess_json(a_desk().desk, T0)
    assert (found["gross_exposure"], found["cash_share"], found["symbols"]) == ("0", 1.0, [])
    assert found["concentration"] == {"largest": None, "largest_share": 0.0, "herfindahl": 0.0}
    at_risk: Any = found["at_risk"]
    assert (at_risk["var"], at_risk["reason"]) == ("0", "nothing is held")
    assert found["warnings"] == []


def test_the_book_is_assessed_by_its_shares_and_its_stops() -> None:
    desk = a_desk(NO_LIMITS)
    desk.propose(source=RULE, stop_loss=95.0)
    desk.propose(source=RULE, symbol=ETH)
    desk.quote(110.0, after=1_000)
    found: Any = assess_json(desk.desk, desk.now)
    assert (found["gross_exposure"], found["day_pnl"]) == ("2100", "100")
    assert found["concentration"]["largest"] == BTC
    assert found["concentration"]["herfindahl"] == pytest.approx((1_100**2 + 1_000**2) / 2_100**2)
    # Ten from 110 to 95, and the fee of the instrument, 0.1 %, on 950.
    assert found["stops"]["loss"] == "150.95"
    assert found["stops"]["guarded"] == [BTC]
    assert found["stops"]["unguarded"] == [{"symbol": ETH, "value": "1000"}]
    assert "no stop guards ETH/USDT, worth 1000.00 USDT" in found["warnings"]


def test_value_at_risk_is_the_deviation_of_what_was_held_and_says_from_how_many_returns() -> None:
    desk = a_desk(NO_LIMITS)
    desk.propose(source=RULE)
    closes = [100.0 * (1.01 if count % 2 else 1.0) for count in range(LEAST_RETURNS + 1)]
    for close in closes:
        desk.candle(close)
    found: Any = assess_json(desk.desk, desk.now)["at_risk"]
    returns = [0.1 * (after / before - 1.0) for before, after in itertools.pairwise(closes)]
    mean = sum(returns) / len(returns)
    deviation = math.sqrt(sum((each - mean) ** 2 for each in returns) / (len(returns) - 1)) * math.sqrt(1_440)
    assert (found["returns"], found["timeframe"], found["reason"]) == (LEAST_RETURNS, "1m", "")
    assert found["var_share"] == pytest.approx(1.645 * deviation, rel=1e-3)
    assert found["expected_shortfall_share"] > found["var_share"]


def test_too_few_or_broken_candles_are_said_to_be_too_few() -> None:
    desk = a_desk(NO_LIMITS)
    desk.propose(source=RULE)
    for _ in range(LEAST_RETURNS):
        desk.candle(100.0)
    desk.candle(100.0, after=180_000)
    found: Any = assess_json(desk.desk, desk.now)["at_risk"]
    assert (found["var"], found["returns"]) == (None, LEAST_RETURNS - 1)
    assert found["reason"] == f"{LEAST_RETURNS - 1} returns that all held symbols share, {LEAST_RETURNS} are needed"


@pytest.mark.parametrize(("other", "warned"), [(0.10, False), (0.02, False), (0.01, True)])
def test_a_book_is_called_concentrated_only_where_one_position_outweighs_the_others(other: float, warned: bool) -> None:
    desk = a_desk(NO_LIMITS)
    desk.propose(source=RULE)
    desk.propose(source=RULE, symbol=ETH, size_fraction=other / 0.10)
    said: Any = assess_json(desk.desk, desk.now)["warnings"]
    assert any("one is too large" in each for each in said) is warned


@given(st.lists(st.floats(0.01, 1e6), min_size=1, max_size=20))
def test_the_herfindahl_index_is_between_equal_parts_and_one(values: list[float]) -> None:
    assert 1.0 / len(values) - 1e-9 <= herfindahl(values) <= 1.0 + 1e-9


def test_a_day_that_began_since_the_last_input_has_its_own_baseline() -> None:
    desk = a_desk(NO_LIMITS)
    desk.propose(source=RULE)
    desk.quote(110.0, after=1_000)
    assert assess_json(desk.desk, desk.now)["day_pnl"] == "100"
    assert assess_json(desk.desk, desk.now + 86_400_000)["day_pnl"] == "0"
