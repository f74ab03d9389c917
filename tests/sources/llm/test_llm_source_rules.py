"""What is made of an answer: every rule by its name, every clamp with its trace, and no text that gets through otherwise."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.decision import Action
from sources.llm.answer import Answer, Unusable, decision_schema, in_words, read_fields
from sources.llm.deciding import RULES, Refused, Scene, Wanted, confident, judge, reward_risk
from sources.llm.params import BoundsParams, WithoutPosition
from sources.llm.schemas import check_portable, fault_of

SYMBOL = "BTC/USDT"
SCENE = Scene(SYMBOL, 99.99, 100.01, 0.001, 0.0, frozenset({"rsi14@5m", "p1"}), 1_000_000, 100.0, 1_005_000, 7_200_000)
BUY: dict[str, Any] = {
    "symbol": SYMBOL,
    "action": "buy",
    "confidence": 0.7,
    "size_fraction": 0.5,
    "stop_loss": 97.0,
    "take_profit": 106.0,
    "horizon_minutes": 60,
    "invalidation": "A close below 97.",
    "reasoning": "The trend is up.",
    "evidence": ["rsi14@5m"],
}
SELL = BUY | {"action": "sell", "stop_loss": None, "take_profit": None, "size_fraction": 1.0}
HOLD = SELL | {"action": "hold", "size_fraction": 0.0}
BOUNDS = BoundsParams()


def judged(fields: dict[str, Any], scene: Scene = SCENE, bounds: BoundsParams = BOUNDS) -> Wanted:
    return judge(read_fields(fields), scene, bounds)


def clamped(fields: dict[str, Any], scene: Scene = SCENE, bounds: BoundsParams = BOUNDS) -> dict[object, tuple[object, object]]:
    return {one["name"]: (one["given"], one["used"]) for one in judged(fields, scene, bounds).clamps}


def test_a_sound_buy_passes_untouched() -> None:
    wanted = judged(BUY)
    assert (wanted.action, wanted.confidence, wanted.size) == (Action.BUY, 0.7, 0.5)
    assert (wanted.stop_loss, wanted.take_profit, wanted.stands_ms) == (97.0, 106.0, 3_600_000)
    assert (wanted.evidence, wanted.clamps) == (("rsi14@5m",), ())


BROKEN: list[tuple[str, dict[str, Any]]] = [
    ("symbol", BUY | {"symbol": "ETH/USDT"}),
    ("evidence", BUY | {"evidence": ["rsi14@5m", "made-up"]}),
    ("no-position", SELL),
    ("size", BUY | {"size_fraction": 0.0}),
    ("stop-missing", BUY | {"stop_loss": None}),
    ("stop-side", BUY | {"stop_loss": 100.5}),
    ("stop-side", BUY | {"stop_loss": 0.0}),
    ("stop-side", BUY | {"stop_loss": -1e308}),
    ("stop-side", BUY | {"stop_loss": 1e308}),
    ("stop-near", BUY | {"stop_loss": 99.9}),
    ("stop-far", BUY | {"stop_loss": 1.0}),
    ("target-side", BUY | {"take_profit": 99.0}),
    ("reward-risk", BUY | {"take_profit": 101.0}),
    ("reward-risk", BUY | {"take_profit": None}),
]


@pytest.mark.parametrize(("rule", "fields"), BROKEN)
def test_a_broken_rule_refuses_by_its_name(rule: str, fields: dict[str, Any]) -> None:
    with pytest.raises(Refused) as caught:
        judged(fields)
    assert (caught.value.rule, caught.value.reason) == (rule, f"semantic:{rule}")


def test_every_rule_is_tried_here() -> None:
    assert {rule for rule, _ in BROKEN} == set(RULES)


def test_the_live_price_counts_and_not_the_one_that_was_asked_about() -> None:
    gone = replace(SCENE, bid=96.0, ask=96.1, asked_price=96.5)
    with pytest.raises(Refused, match="not below the live price") as caught:
        judged(BUY, gone)
    assert caught.value.rule == "stop-side"


def test_reward_to_risk_pays_the_spread_and_both_fees() -> None:
    free = replace(SCENE, bid=100.0, ask=100.0, fee=0.0)
    assert reward_risk(free, 98.0, 104.0) == pytest.approx(2.0)
    dear = replace(SCENE, bid=99.9, ask=100.1, fee=0.001)
    paid, got, lost = 100.1 * 1.001, 104.0 * 0.999, 98.0 * 0.999
    assert reward_risk(dear, 98.0, 104.0) == pytest.approx((got - paid) / (paid - lost))
    assert reward_risk(dear, 98.0, 104.0) < 1.8


@pytest.mark.parametrize(
    "scene", [replace(SCENE, now=1_061_000), replace(SCENE, bid=102.0, ask=102.1), replace(SCENE, asked_price=95.0)]
)
@pytest.mark.parametrize("fields", [BUY, HOLD])
def test_an_answer_to_another_market_is_stale(scene: Scene, fields: dict[str, Any]) -> None:
    with pytest.raises(Unusable) as caught:
        judged(fields, scene)
    assert caught.value.reason == "stale"


def test_a_sell_needs_a_position_and_is_of_all_of_it() -> None:
    held = replace(SCENE, share=0.2)
    wanted = judged(SELL | {"stop_loss": 1.0, "take_profit": 1e300}, held)
    assert (wanted.action, wanted.size, wanted.stop_loss, wanted.take_profit) == (Action.SELL, None, None, None)
    assert clamped(SELL | {"size_fraction": 0.25}, held) == {"size_fraction": (0.25, 1.0)}


def test_a_sell_of_nothing_becomes_a_hold_only_where_that_is_configured_and_says_so() -> None:
    bounds = BoundsParams(sell_without_position=WithoutPosition.HOLD)
    assert judged(SELL, bounds=bounds).action is Action.HOLD
    assert clamped(SELL, bounds=bounds) == {"action": ("sell", "hold")}


def test_every_clamp_leaves_a_trace() -> None:
    bounds = BoundsParams(size=0.3, stop_farthest=0.02, target_farthest=0.05, reward_risk=1.0)
    fields = BUY | {"size_fraction": 4.0, "horizon_minutes": 10**12, "reasoning": "x" * 700, "invalidation": "y" * 300}
    done = clamped(fields | {"evidence": ["p1", "p1", "rsi14@5m"]}, bounds=bounds)
    stop, target = 99.99 * 0.98, 100.01 * 1.05
    assert done["size_fraction"] == (4.0, 0.3)
    assert done["stop_loss"] == (97.0, pytest.approx(stop))
    assert done["take_profit"] == (106.0, pytest.approx(target))
    assert done["horizon_minutes"] == (1e9, 120.0)
    assert done["evidence"] == (3.0, 2.0)
    assert (done["reasoning"], done["invalidation"]) == ((700.0, 600.0), (300.0, 200.0))
    assert clamped(BUY | {"horizon_minutes": 0}) == {"horizon_minutes": (0.0, 1.0)}


def test_a_clamp_never_moves_a_stop_away_and_never_makes_a_bad_trade_good() -> None:
    bounds = BoundsParams(stop_farthest=0.02, reward_risk=2.5)
    with pytest.raises(Refused) as caught:  # 3 % away it is no trade, though it would be one at the clamped 2 %
        judged(BUY, bounds=bounds)
    assert caught.value.rule == "reward-risk"


def test_only_a_buy_needs_confidence() -> None:
    confident(0.1, Action.SELL, 0.5)
    confident(0.1, Action.HOLD, 0.5)
    confident(0.5, Action.BUY, 0.5)
    with pytest.raises(Refused) as caught:
        confident(0.49, Action.BUY, 0.5)
    assert caught.value.reason == "semantic:confidence"


@pytest.mark.parametrize(
    "change",
    [
        {"confidence": math.nan},
        {"confidence": 1.01},
        {"confidence": -0.1},
        {"confidence": "0.7"},
        {"confidence": True},
        {"stop_loss": math.inf},
        {"stop_loss": "null"},
        {"size_fraction": 1e308},
        {"size_fraction": -1},
        {"action": "open_long"},
        {"action": "BUY"},
        {"horizon_minutes": 1.5},
        {"horizon_minutes": -1},
        {"evidence": "rsi14@5m"},
        {"evidence": [1]},
        {"leverage": 10},
        {"reasoning": None},
        {"reasoning": "x" * 30_000},
    ],
)
def test_what_is_not_in_the_form_is_a_schema_fault(change: dict[str, Any]) -> None:
    with pytest.raises(Unusable) as caught:
        read_fields(BUY | change)
    assert caught.value.reason == "schema"


def test_a_missing_field_is_a_schema_fault_and_a_whole_float_is_an_integer() -> None:
    with pytest.raises(Unusable, match="stop_loss"):
        read_fields({name: value for name, value in BUY.items() if name != "stop_loss"})
    assert read_fields(BUY | {"horizon_minutes": 60.0}).horizon_minutes == 60


def test_the_schema_is_portable_flat_and_told_in_words() -> None:
    schema = decision_schema((SYMBOL,))
    check_portable(schema.body)
    assert fault_of(BUY, schema.body) == ""
    assert set(schema.body["properties"]) == set(Answer.model_fields)
    assert schema.body["properties"]["symbol"]["enum"] == [SYMBOL]
    assert all(name in in_words(schema) for name in Answer.model_fields)


def test_words_of_a_model_become_plain_text() -> None:
    wanted = judged(BUY | {"reasoning": "\x1b[31mbuy\u202e <b>now</b>\n[go](http://x.y) sk-abcdefghijklmnop1234"})
    assert "\x1b" not in wanted.reasoning
    assert "\u202e" not in wanted.reasoning
    assert "<b>" not in wanted.reasoning
    assert "sk-abcdefghijklmnop1234" not in wanted.reasoning


_NUMBERS = st.one_of(st.floats(), st.integers(), st.none(), st.booleans(), st.text(max_size=5))
_FIELDS = st.fixed_dictionaries(
    {
        "symbol": st.sampled_from([SYMBOL, "ETH/USDT", "", "\ud800"]),
        "action": st.sampled_from(["buy", "sell", "hold", "close", ""]),
        "confidence": _NUMBERS,
        "size_fraction": _NUMBERS,
        "stop_loss": _NUMBERS | st.floats(90, 101),
        "take_profit": _NUMBERS | st.floats(99, 130),
        "horizon_minutes": _NUMBERS,
        "invalidation": st.text(max_size=300),
        "reasoning": st.text(max_size=700),
        "evidence": st.lists(st.sampled_from(["rsi14@5m", "p1", "x"]) | st.text(max_size=4), max_size=20),
    }
)


@given(_FIELDS, st.floats(0, 1))
def test_whatever_passes_is_within_every_bound(fields: dict[str, Any], share: float) -> None:
    scene = replace(SCENE, share=share)
    try:
        wanted = judged(fields, scene)
    except Unusable:
        return
    assert 0 <= wanted.confidence <= 1
    assert 0 < wanted.stands_ms <= scene.longest_ms
    assert len(wanted.reasoning) <= 600
    assert set(wanted.evidence) <= scene.ids
    if wanted.action is Action.BUY:
        assert wanted.size is not None
        assert 0 < wanted.size <= BOUNDS.size
        assert wanted.stop_loss is not None
        assert BOUNDS.stop_nearest <= 1 - wanted.stop_loss / scene.bid <= BOUNDS.stop_farthest + 1e-9
        assert wanted.take_profit is not None
        assert scene.ask < wanted.take_profit <= 2 * scene.ask
        assert reward_risk(scene, wanted.stop_loss, wanted.take_profit) >= BOUNDS.reward_risk
    else:
        assert (wanted.size, wanted.stop_loss, wanted.take_profit) == (None, None, None)
        assert wanted.action is Action.HOLD or share > 0
