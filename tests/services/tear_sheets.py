"""Runs to report on, made row by row, and a reader of the page they become."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path

from bot.core import facts as f
from bot.core.decision import Action, Decision, Fate, Tier
from bot.core.market import Candle, Quote, Side
from bot.core.orders import Fill, Leg, OrderRequest, OrderState, OrderType
from bot.journal.journal import Journal
from bot.journal.run import BookKey, RunStart
from bot.journal.writer import Watch

BTC = "BTC/USDT"
AT = 1_700_000_000_000
MINUTE = 60_000
EVIL = "rules:<script>alert(1)</script>"
"""A source with a name that nobody should give."""


def start_of(mode: str = "paper", world: str = "real", run: str = "run-1") -> RunStart:
    config = {"paper": {"currency": "USDT", "starting_balance": "10000", "slippage": 0.001, "latency_ms": 50}}
    book = BookKey("arbiter", mode, "binance", world)
    return RunStart(run, book, AT, simulated=world == "simulated", config=config, code_version="1", seed=7)


def opened(data_dir: Path, url: str | None = None) -> Journal:
    data_dir.mkdir(parents=True, exist_ok=True)
    return Journal.open(url or f"sqlite:///{data_dir / 'arbiter.db'}", data_dir)


async def an_empty_run(data_dir: Path, start: RunStart) -> None:
    """A run that ended before anything happened."""
    journal = opened(data_dir)
    journal.begin(start, Watch(lambda _: None, lambda: None))
    await journal.flush()
    await journal.close(AT + MINUTE, final={})


async def a_run(data_dir: Path, start: RunStart, source: str = EVIL, more: Sequence[f.Fact] = (), url: str | None = None) -> None:
    """Bought at 101 when the desk saw 100 and the ask was 100.5; sold at 110 by a stop: a gain of 9 less 0.2 of fees."""
    journal = opened(data_dir, url)
    journal.begin(start, Watch(lambda _: None, lambda: None))
    journal.input(Candle(BTC, "1m", AT, AT - MINUTE, 99.0, 101.0, 98.0, 100.0, 5.0))
    journal.input(Quote.of(BTC, AT, 99.5, 100.5))
    for number in range(1, 4):
        journal.input(Quote.of(BTC, AT + 100 * number, 110.0, 111.0))
    for fact in (*_facts(source), *more):
        journal.append(fact)
    await journal.flush()
    await journal.close(AT + 90 * MINUTE, final={})


def _facts(source: str) -> list[f.Fact]:
    reasoning = "</script><script>alert(2)</script> & more"
    decision = Decision("d1", source, Tier.LLM, BTC, Action.BUY, 0.8, AT, AT + MINUTE, 100.0, reasoning=reasoning)
    buy, sell = _request("o1", Side.BUY, Leg.ENTRY, source, AT + 1), _request("o2", Side.SELL, Leg.STOP_LOSS, source, AT + 200)
    lot = f.LotClosed(
        AT + 300, BTC, Side.BUY, Decimal(1), Decimal(101), Decimal(110), AT + 60, source, Tier.LLM, "d1", source, "stop-loss",
        Decimal("0.2"), Decimal("8.8"),
    )  # fmt: skip
    return [
        f.DecisionSeen(AT, decision),
        f.DecisionFate(AT, "d1", source, Tier.LLM, BTC, Fate.EXECUTED, verdict_id="v1"),
        f.Verdict(
            "v1", AT, BTC, "priority", "d1", source, Tier.LLM, Action.BUY, 0.8, (), "<b>outranks</b>", Decimal(1), Decimal(0)
        ),
        f.OrderChanged(AT + 60, buy, OrderState.FILLED, Decimal(1), Decimal(101)),
        _fill("t1", buy, "101", AT + 60),
        f.PositionChanged(AT + 60, BTC, Decimal(1), Decimal(101), 101.0, Decimal(0), 0.0, source, 95.0, None, 97.0),
        f.OrderChanged(AT + 300, sell, OrderState.FILLED, Decimal(1), Decimal(110)),
        _fill("t2", sell, "110", AT + 300),
        f.PositionChanged(AT + 300, BTC, Decimal(0), None, 110.0, Decimal("8.8"), 0.0, None),
        lot,
        *(_worth(AT + number * 20 * MINUTE, worth) for number, worth in enumerate((10_000.0, 9_900.0, 10_008.8), 1)),
        f.ShadowSampled(AT + 60 * MINUTE, source, Tier.LLM, 10_012.0, Decimal(12), 0.0, Decimal("0.2"), 1, 1),
        f.OverrideClosed(AT + 300, BTC, "rules:loser", source, "d0", "v1", AT, 5.0, 2.0, 3.0),
    ]  # fmt: skip


def _request(order: str, side: Side, leg: Leg, source: str, at: int) -> OrderRequest:
    return OrderRequest(order, BTC, side, OrderType.MARKET, Decimal(1), leg, "d1", 1, source, Tier.LLM, 0.8, 100.0, at)


def _fill(name: str, request: OrderRequest, price: str, at: int) -> f.FillBooked:
    fill = Fill(name, request.id, BTC, request.side, Decimal(1), Decimal(price), Decimal("0.1"), "USDT", at, evidence="quote")
    return f.FillBooked(at, fill, request.source, Tier.LLM, 0.8, "d1", Decimal(0), Decimal("0.1"), 0.01)


def _worth(at: int, equity: float) -> f.EquitySampled:
    return f.EquitySampled(at, Decimal(10_000), equity, 0.0, Decimal(0), Decimal(0), 10_000.0, 0.0, 0.0)


@dataclass
class Page(HTMLParser):
    """A page as a browser takes it apart: elements with attributes, the text, and the scripts."""

    html: str
    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    scripts: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    inside: str = ""

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside == "script":
            self.scripts[-1] += data
        elif self.inside != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        """What a person reads."""
        return " ".join(" ".join(self.words).split())

    @property
    def figures(self) -> dict[str, dict[str, list[dict[str, object]]]]:
        """What plotly is given, by the id of the host."""
        found: dict[str, dict[str, list[dict[str, object]]]] = json.loads(self.scripts[0])
        return found
