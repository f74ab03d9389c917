"""A recording says every line on time, in the name and tier it was made in, with a clock or without."""

from __future__ import annotations

import asyncio
import json
from itertools import islice
from pathlib import Path

import pytest

from bot.core.decision import Action, Tier
from bot.core.inputs import Abstained, Claimed, Proposed
from bot.core.market import MarketView
from sources.config import SourceConfigError
from sources.recorded import CLAIM_SLACK_MS, RecordedSource, read_recording, recorded_sources
from tests.sources.source_factories import BTC, ROOT, START, Port

DEMO = ROOT / "config/demo/decisions.jsonl"
LINE: dict[str, object] = {
    "offset_ms": 2_000,
    "source": "llm:a",
    "tier": "llm",
    "symbol": BTC,
    "action": "buy",
    "confidence": 0.7,
    "horizon": "30s",
}
ABSTAIN: dict[str, object] = {"action": None, "confidence": None, "horizon": None, "abstain": "no-edge"}


def record(folder: Path, *changes: dict[str, object]) -> Path:
    """A recording of one line for each change; a value of None leaves the key out."""
    rows = [{key: value for key, value in (LINE | change).items() if value is not None} for change in changes]
    file = folder / "tape.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n", encoding="utf-8")
    return file


def only(file: Path, port: Port | None = None, repeat_ms: int | None = None) -> RecordedSource:
    (source,) = recorded_sources(file)
    entries = read_recording(file)[source.spec.name]
    return RecordedSource(source.spec, entries, repeat_ms, *([] if port is None else [port.sleep]))


async def test_every_line_is_said_on_time_in_the_order_of_time(tmp_path: Path) -> None:
    port = Port(prices={BTC: 50.0})
    source = only(record(tmp_path, {"offset_ms": 9_000, "claim_ms": 3_000}, {}, ABSTAIN | {"offset_ms": 4_000}), port)
    await source.run(port)
    assert [(type(said), said.at - START) for said in port.heard] == [
        (Proposed, 2_000),
        (Abstained, 4_000),
        (Claimed, 6_000),
        (Proposed, 9_000),
    ]


async def test_live_and_synchronous_forms_say_the_same(tmp_path: Path) -> None:
    port = Port(prices={BTC: 50.0})
    source = only(record(tmp_path, {}, {"offset_ms": 2_500, "action": "sell", "claim_ms": 1_000}, ABSTAIN), port)
    await source.run(port)
    assert list(source.inputs(START, port.view)) == port.heard


def test_a_line_becomes_the_decision_it_describes(tmp_path: Path) -> None:
    change: dict[str, object] = {
        "price": 200.0,
        "protection": {"stop_loss": 0.1, "take_profit": 0.5, "trailing": 0.05},
        "size": 0.5,
        "reasoning": "because",
        "evidence": {"rsi": 12.5},
        "cost": 0.01,
        "external_id": "x-1",
    }
    (said,) = only(record(tmp_path, change)).inputs(START, MarketView())
    assert isinstance(said, Proposed)
    made = said.decision
    assert (made.source, made.tier, made.symbol, made.action, made.confidence) == ("llm:a", Tier.LLM, BTC, Action.BUY, 0.7)
    assert (made.created, made.expires, made.price) == (START + 2_000, START + 32_000, 200.0)
    assert (made.stop_loss, made.take_profit, made.trailing, made.size_fraction) == pytest.approx((180.0, 300.0, 0.05, 0.5))
    assert (made.reasoning, made.evidence, str(made.cost), made.external_id) == ("because", {"rsi": 12.5}, "0.01", "x-1")


def test_a_claim_lasts_until_its_decision_has_arrived(tmp_path: Path) -> None:
    claimed, _ = only(record(tmp_path, {"claim_ms": 500})).inputs(START, MarketView(prices={BTC: 1.0}))
    assert isinstance(claimed, Claimed)
    assert (claimed.at, claimed.claim.until) == (START + 1_500, START + 2_000 + CLAIM_SLACK_MS)


def test_a_price_left_open_is_the_market_s_when_the_line_comes_due(tmp_path: Path) -> None:
    view = MarketView()
    inputs = only(record(tmp_path, {}, {"offset_ms": 3_000})).inputs(START, view)
    first = next(inputs)
    view.prices[BTC] = 77.0
    second = next(inputs)
    assert isinstance(first, Abstained)
    assert first.abstention.reason == "no-price"
    assert isinstance(second, Proposed)
    assert second.decision.price == 77.0


async def test_an_absolute_line_that_is_over_is_counted_and_not_said(tmp_path: Path) -> None:
    port = Port(prices={BTC: 1.0})
    iso = "2023-11-14T22:14:05Z"
    lines: list[dict[str, object]] = [{"offset_ms": None, "at": START - 1}, {"offset_ms": None, "at": iso}]
    source = only(record(tmp_path, *lines), port)
    await source.run(port)
    assert source.missed == 1
    assert [said.at for said in port.heard] == [1_700_000_045_000]


def test_a_repeating_recording_begins_again_with_new_decisions(tmp_path: Path) -> None:
    source = only(record(tmp_path, {}), repeat_ms=10_000)
    said = list(islice(source.inputs(START, MarketView(prices={BTC: 1.0})), 3))
    assert [each.at - START for each in said] == [2_000, 12_000, 22_000]
    assert len({each.decision.id for each in said if isinstance(each, Proposed)}) == 3


async def test_a_recorded_source_ends_when_it_is_cancelled(tmp_path: Path) -> None:
    file = record(tmp_path, {"offset_ms": 3_600_000})
    (source,) = recorded_sources(file)
    async with asyncio.timeout(20):
        task = asyncio.create_task(source.run(Port()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def test_several_names_in_one_file_are_several_sources(tmp_path: Path) -> None:
    sources = recorded_sources(record(tmp_path, {}, {"source": "quantconnect:b", "tier": "quantconnect"}, {}))
    assert [(source.spec.name, source.spec.tier) for source in sources] == [
        ("llm:a", Tier.LLM),
        ("quantconnect:b", Tier.QUANTCONNECT),
    ]


FAULTS: list[tuple[dict[str, object], str]] = [
    ({"nope": 1}, ":2: nope = '1': unknown key"),
    ({"confidence": 1.5}, ":2: confidence = '1.5': Input should be less than or equal to 1"),
    ({"action": "short"}, ":2: action = 'short': Input should be 'buy', 'sell' or 'hold'"),
    ({"horizon": "soon"}, ":2: horizon = 'soon': 'soon' is not a timeframe"),
    ({"horizon": None}, ":2: an action needs confidence and horizon"),
    ({"offset_ms": None}, ":2: give either offset_ms or at"),
    ({"at": 5}, ":2: give either offset_ms or at"),
    ({"at": "2026-01-01T00:00:00", "offset_ms": None}, ":2: at = '2026-01-01T00:00:00': a time needs its zone"),
    ({"abstain": "x"}, ":2: give either action or abstain"),
    ({"claim_ms": 2_001}, ":2: claim_ms reaches back before the start"),
    ({"symbol": "BTCUSDT"}, ":2: symbol = 'BTCUSDT': String should match pattern"),
    ({"price": float("nan")}, ":2: not a line of JSON: NaN is not a number"),
    ({"price": 0}, ":2: price = '0': Input should be greater than 0"),
    ({"tier": "traditional"}, ":2: tier = 'traditional': line 1 says llm; a source has one tier"),
    ({"protection": {"stop": 1}}, ":2: protection.stop = '1': unknown key"),
]


@pytest.mark.parametrize(("change", "expected"), FAULTS, ids=[expected[4:] for _, expected in FAULTS])
def test_a_wrong_line_is_named_by_its_number(tmp_path: Path, change: dict[str, object], expected: str) -> None:
    with pytest.raises(SourceConfigError) as caught:
        read_recording(record(tmp_path, {}, change))
    assert f"tape.jsonl{expected}" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["{", "[]", "1"])
def test_a_line_that_is_no_object_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "tape.jsonl"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SourceConfigError, match=r"tape\.jsonl:1: (not a line of JSON|must be a JSON object)"):
        read_recording(file)


def test_a_recording_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceConfigError, match="cannot be read"):
        read_recording(tmp_path / "none.jsonl")


def test_the_demonstration_says_that_it_is_one_and_shows_what_it_should() -> None:
    view = MarketView(prices={BTC: 1.0, "ETH/USDT": 1.0})
    said = sorted((each for source in recorded_sources(DEMO) for each in source.inputs(0, view)), key=lambda each: each.at)
    proposed = [each.decision for each in said if isinstance(each, Proposed)]
    assert all(decision.reasoning.startswith("Recorded demonstration:") for decision in proposed)
    assert said[-1].at < 25_000
    assert {decision.tier for decision in proposed} == {Tier.TRADITIONAL}
    assert {Action.BUY, Action.SELL} == {decision.action for decision in proposed}
    assert {decision.symbol for decision in proposed} == {BTC, "ETH/USDT"}
    first = {decision.source: decision.action for each, decision in zip(said, proposed, strict=True) if each.at == said[0].at}
    assert first == {"rules:demo": Action.BUY, "rules:doubter": Action.SELL}, "two contradict each other at one moment"
