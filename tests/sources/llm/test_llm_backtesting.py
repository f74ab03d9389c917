"""A source of language models as a pure step: it looks, asks the records, and keeps nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bot.core.decision import Tier
from bot.core.market import MarketView
from bot.core.protocols import StepSource
from sources.config import SourceConfig
from sources.llm.backtesting import BacktestMind, Rooms, from_the_records, open_rooms
from sources.llm.params import LlmParams
from sources.llm.settings import AccessSettings, CandidateSettings
from tests.sources.llm.llm_source_world import NOW, SYMBOL, DeskPort, candles, fill

CONFIG = SourceConfig(source="llm:main", kind="llm", timeframe="5m", expiry="4h")
PARAMS = LlmParams(candidates=(CandidateSettings(provider="openai", model="gpt-6-luna"),), timeframes=("5m", "1h"))
HOUR = 3_600_000


@pytest.fixture
def rooms(tmp_path: Path) -> Iterator[Callable[[int | None], Rooms]]:
    """Rooms over an empty database, with the moment up to which models know."""
    url = f"sqlite:///{tmp_path / 'arbiter.db'}"
    with open_rooms(lambda: from_the_records(AccessSettings(), url, lambda: NOW, None)) as opened:
        yield lambda cutoff: Rooms(opened.minds, opened.run, cutoff=cutoff)


def test_it_is_a_step_source_of_its_tier_that_wants_every_timeframe_of_its_snapshots(
    rooms: Callable[[int | None], Rooms],
) -> None:
    source: StepSource = rooms(None).source(CONFIG, PARAMS, (SYMBOL, "ETH/USDT"))
    assert source.spec.tier is Tier.LLM
    assert list(source.feeds) == [(symbol, name) for symbol in (SYMBOL, "ETH/USDT") for name in ("5m", "1h")]
    assert source.snapshot() == {}
    source.restore({})
    with pytest.raises(ValueError, match="keeps nothing"):
        source.restore({"a": 1})


def test_nobody_recorded_is_an_abstention_of_its_own_kind(rooms: Callable[[int | None], Rooms]) -> None:
    source, port = rooms(None).source(CONFIG, PARAMS, (SYMBOL,)), DeskPort()
    source.books = port.briefing
    newest = fill(port, ("5m", "1h"))
    assert source.on_candle(newest, port.view) is None
    assert source.told == {"not-recorded": 1}
    (hourly,) = candles(SYMBOL, "1h", NOW, count=1)
    assert source.on_candle(hourly, port.view) is None, "it is asked by the candles of its own timeframe alone"
    assert source.told == {"not-recorded": 1}


def test_without_books_it_says_what_is_missing(rooms: Callable[[int | None], Rooms]) -> None:
    source = rooms(None).source(CONFIG, PARAMS, (SYMBOL,))
    assert isinstance(source, BacktestMind)
    (candle,) = candles(SYMBOL, "5m", NOW, count=1)
    with pytest.raises(RuntimeError, match="books"):
        source.on_candle(candle, MarketView())


@pytest.mark.parametrize(
    ("cutoff", "at", "answered", "leaks"),
    [
        (None, NOW, NOW + 1_000, False),
        (None, NOW, NOW + 2 * HOUR, True),
        (None, NOW, None, True),
        (NOW, NOW, NOW + 2 * HOUR, True),
        (NOW - 1, NOW, NOW + 2 * HOUR, False),
    ],
)
def test_only_an_answer_in_hindsight_about_what_a_model_may_know_is_a_leak(
    rooms: Callable[[int | None], Rooms], cutoff: int | None, at: int, answered: int | None, leaks: bool
) -> None:
    assert rooms(cutoff).leaks(at, answered) is leaks
