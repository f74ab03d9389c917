"""What a person sees of a run."""

from __future__ import annotations

import io
from dataclasses import replace
from decimal import Decimal

import pytest

from bot.cli.screen import BANNER_LINES, Ink, badge, banner, fact_line, minute_line, summary_table
from bot.cli.session import Screen
from bot.core.decision import Action, Decision, Denial, Fate, Tier
from bot.core.facts import (
    DecisionFate,
    DecisionSeen,
    EquitySampled,
    Fact,
    FillBooked,
    HealthChanged,
    OverrideClosed,
    RiskChanged,
    Verdict,
)
from bot.core.inputs import TradingState
from bot.core.market import Health, Side
from bot.core.orders import Fill
from bot.settings import BannerFacts, MinuteFacts, RunMode, RunSummary, SourceFacts

AT = 1_700_000_000_000
BANNER = BannerFacts(
    version="0.1.0",
    run="r1",
    mode=RunMode.PAPER,
    simulated=True,
    balance=Decimal(10_000),
    currency="USDT",
    fees="0.1 % maker and taker",
    venue="binance",
    symbols=("BTC/USDT", "ETH/USDT"),
    market_data="simulated, the venue cannot be reached",
    sources=(SourceFacts("rules:sma", "traditional", True), SourceFacts("llm:claude", "llm", False, "no ANTHROPIC_API_KEY")),
    limits={"drawdown": "20 %", "exposure": "95 %"},
    paths={"config": "config", "data": "data"},
    notices=("Redis is off: nothing answers on this machine",),
)
SUMMARY = RunSummary(
    run="r1",
    mode=RunMode.DEMO,
    simulated=True,
    symbols=("BTC/USDT",),
    currency="USDT",
    started=AT,
    ended=AT + 60_000,
    market_events=1_200,
    decisions_by_source={"rules:sma": 4, "llm:claude": 1},
    decisions_by_fate={"executed": 2, "outranked": 3},
    orders=2,
    fills=3,
    fees=Decimal("1.5"),
    equity_start=Decimal(10_000),
    equity_end=Decimal("9990.25"),
    pnl={"rules:sma": Decimal("-9.75")},
    shadow_pnl={"rules:sma": Decimal(3), "llm:claude": Decimal(-1)},
    latency_ms={"p50": 0.12, "p99": 0.9},
)


def _decision(reasoning: str = "fast above slow") -> Decision:
    return Decision("d1", "rules:sma", Tier.TRADITIONAL, "BTC/USDT", Action.BUY, 0.7, AT, AT + 1, 50_000.0, reasoning=reasoning)


def _fill() -> FillBooked:
    fill = Fill("f1", "o1", "BTC/USDT", Side.SELL, Decimal("0.0100"), Decimal("50000.5"), Decimal("0.5"), "USDT", AT)
    return FillBooked(AT, fill, "rules:sma", Tier.TRADITIONAL, 0.7, "d1", Decimal("-3.25"), Decimal("0.5"), 0.0001)


FACTS: list[tuple[Fact, tuple[str, ...]]] = [
    (DecisionSeen(AT, _decision()), ("22:13:20", "rules:sma says BUY BTC/USDT at 50,000.00", "0.70", "fast above slow")),
    (
        DecisionFate(AT, "d1", "rules:sma", Tier.TRADITIONAL, "BTC/USDT", Fate.DENIED, Denial.MAX_EXPOSURE, reason="9 of 9 used"),
        ("denied (max-exposure)", "9 of 9 used"),
    ),
    (
        Verdict("v", AT, "BTC/USDT", "priority", "d1", "llm:claude", Tier.LLM, Action.BUY, 0.7, ("d2",), "llm first",
                Decimal("0.020"), Decimal(0)),
        ("llm:claude wins, overruling 1", "target 0.02, held 0"),
    ),
    (_fill(), ("sell 0.01 BTC/USDT at 50,000.50", "fee 0.5000", "realised -3.25")),
    (OverrideClosed(AT, "BTC/USDT", "rules:sma", "llm:claude", "d", "v", AT, 5.0, 2.0, 3.0), ("cost 3.00",)),
    (RiskChanged(AT, TradingState.HALTED, "cli", "drill"), ("HALTED by cli: drill",)),
    (HealthChanged(AT, "BTC/USDT", Health.STALE, "no trade for 30 s"), ("BTC/USDT is stale: no trade for 30 s",)),
]  # fmt: skip


@pytest.mark.parametrize(("fact", "parts"), FACTS, ids=lambda value: type(value).__name__)
def test_a_fact_is_one_plain_line(fact: Fact, parts: tuple[str, ...]) -> None:
    line = fact_line(fact)
    assert line is not None
    assert all(part in line for part in parts), line
    assert "\n" not in line
    assert "\x1b" not in line
    assert "\x1b[" in (fact_line(fact, Ink(colour=True)) or "")


def test_what_everyone_has_already_seen_needs_no_line() -> None:
    assert fact_line(DecisionFate(AT, "d1", "s", Tier.LLM, "BTC/USDT", Fate.SUPERSEDED)) is None
    assert fact_line(EquitySampled(AT, Decimal(1), 1.0, 0.0, Decimal(0), Decimal(0), 1.0, 0.0, 0.0)) is None


def test_text_from_outside_cannot_command_the_terminal() -> None:
    line = fact_line(DecisionSeen(AT, _decision("\x1b[2J\x1b]0;owned\x07 buy\r\nnow")), Ink(colour=False)) or ""
    assert line.isprintable()


def test_the_banner_says_everything_in_at_most_25_lines() -> None:
    text = "\n".join(banner(BANNER))
    for part in (
        "PAPER · SIMULATED", "10,000.00 USDT", "0.1 % maker", "BTC/USDT, ETH/USDT", "the venue cannot be reached",
        "on  rules:sma", "off llm:claude", "no ANTHROPIC_API_KEY", "drawdown 20 %", "Redis is off", "Ctrl-C", "kill --flatten",
    ):  # fmt: skip
        assert part in text, part
    assert "\x1b" not in text


@pytest.mark.parametrize("sources", [0, 1, 12, 15, 200])
@pytest.mark.parametrize("notices", [0, 3, 40])
def test_the_banner_never_grows_beyond_25_lines(sources: int, notices: int) -> None:
    many = tuple(SourceFacts(f"rules:{n}", "traditional", n % 2 == 0) for n in range(sources))
    lines = banner(replace(BANNER, sources=many, notices=("something",) * notices))
    assert len(lines) <= BANNER_LINES
    assert "Ctrl-C" in lines[-1]
    if sources == 200:
        assert any("more (" in line for line in lines)


def test_sources_that_are_on_are_shown_first() -> None:
    off = tuple(SourceFacts(f"off:{n}", "llm", False, "no key") for n in range(30))
    text = "\n".join(banner(replace(BANNER, sources=(*off, SourceFacts("rules:last", "traditional", True)))))
    assert "on  rules:last" in text


@pytest.mark.parametrize(
    ("mode", "simulated", "word"),
    [
        (RunMode.PAPER, False, "[ PAPER ]"),
        (RunMode.PAPER, True, "[ PAPER · SIMULATED ]"),
        (RunMode.DEMO, True, "[ DEMO · SIMULATED ]"),
        (RunMode.LIVE, False, "[ LIVE: REAL MONEY ]"),
    ],
)
def test_the_badge_tells_the_world(mode: RunMode, simulated: bool, word: str) -> None:
    assert badge(mode, simulated) == word


def test_a_minute_is_one_line() -> None:
    facts = MinuteFacts(AT, 1, 2, 0, 1, 9_999.5, -0.5, 0.0123, 1, "USDT", "reducing")
    line = minute_line(facts)
    assert (
        "equity 9,999.50 USDT (-0.50) · drawdown 1.23% · 1 position · 1 event, 2 decisions, 0 orders, 1 fill · REDUCING" in line
    )


def test_the_summary_sums_up() -> None:
    text = "\n".join(summary_table(replace(SUMMARY, halted=True, reason="drawdown 20 %")))
    for part in (
        "ended after 60 s",
        "-9.75",
        "outranked 3 · executed 2",
        "p99 0.900 ms",
        "llm:claude",
        "halted by risk: drawdown",
    ):
        assert part in text, part


def test_the_summary_as_json_has_what_the_issue_names() -> None:
    found = SUMMARY.as_json()
    assert {
        "mode", "simulated", "symbols", "market_events", "decisions", "orders", "fills", "fees", "equity_start", "equity_end",
        "pnl", "shadow_pnl", "latency_ms",
    } <= set(found)  # fmt: skip
    assert found["decisions"] == {"by_source": {"rules:sma": 4, "llm:claude": 1}, "by_fate": {"executed": 2, "outranked": 3}}
    assert found["fees"] == "1.5"


def test_a_screen_whose_reader_went_away_does_not_stop_the_run() -> None:
    stream = io.StringIO()
    screen = Screen(stream, Ink(), clock=lambda: AT)
    screen.started(BANNER)
    screen.noticed("Redis came back")
    assert "notice   Redis came back" in stream.getvalue()
    stream.close()
    screen.saw(_fill())
    screen.minute(MinuteFacts(AT, 1, 2, 0, 1, 1.0, 0.0, 0.0, 0, "USDT"))
    screen.ended(SUMMARY)
    assert screen.lost > 2
