"""The report: everything that is known, each figure with its id, and what is not known with its reason."""

from __future__ import annotations

import numpy as np
import orjson
import pytest

from sources.analysis.fundamental import Fundamentals
from sources.analysis.portfolio import PortfolioInputs, portfolio
from sources.analysis.report import AnalysisInputs, analyse, analyse_batch
from sources.analysis.returns import ReturnTable
from sources.analysis.sentiment import ScoredItem, SentimentState
from sources.analysis.technical import Stance
from tests.sources.analysis.analysis_factories import BTC, walked

CANDLES = walked(300, sigma=0.004, drift=0.003)
AT = CANDLES[-1].at


def news(score: float, count: int = 3) -> list[ScoredItem]:
    return [ScoredItem(f"n{n}", f"s{n}", AT, score, (BTC,)) for n in range(count)]


def worth(symbol: str, volume: float = 1e6) -> Fundamentals:
    return Fundamentals(symbol, AT, "ccxt:x", price=10.0, volume_24h=volume, missing={"max_supply": "ccxt does not tell it"})


def book() -> PortfolioInputs:
    table = ReturnTable((BTC,), np.random.default_rng(1).normal(0, 0.02, (200, 1)), 86_400_000)
    return PortfolioInputs(AT, "USDT", 1_000.0, {BTC: 0.3}, table)


def test_a_report_joins_what_there_is() -> None:
    found = analyse(AnalysisInputs(BTC, AT, {"1h": CANDLES}, news(0.4), worth(BTC), [], book()))
    assert found.stance is Stance.BULLISH
    assert found.evidence["ta.1h.trend"] == "up"
    assert found.evidence["news.score"] == 0.4
    assert found.evidence["fund.volume_24h"] == 1e6
    assert found.evidence["book.share"] == 0.3
    assert (found.evidence["book.var.level"], found.evidence["book.var.hours"]) == (0.95, 24.0)
    assert found.unknown["fund.max_supply"] == "ccxt does not tell it"
    assert found.text().startswith(f"{BTC}: bullish (+")
    assert len(found.words) >= 4


def test_what_a_prompt_gets_is_flat_small_and_json() -> None:
    found = analyse(
        AnalysisInputs(BTC, AT, {"1h": CANDLES, "4h": walked(300, timeframe="4h")}, news(0.4), worth(BTC), [], book())
    )
    compact = found.compact()
    evidence = compact["evidence"]
    assert isinstance(evidence, dict)
    assert all(isinstance(figure, str | int | float) for figure in evidence.values())
    assert orjson.loads(orjson.dumps(compact)) == compact
    assert len(orjson.dumps(compact)) < 8_000
    assert orjson.loads(found.as_json())["technical"]["timeframes"][0]["indicators"]["rsi_14"] is not None
    assert "nan" not in repr(found).replace("financ", "")


def test_nothing_given_is_nothing_known_and_each_gap_has_its_reason() -> None:
    found = analyse(AnalysisInputs(BTC, AT))
    assert (found.score, found.stance) == (None, Stance.UNKNOWN)
    assert set(found.unknown) == {"technical", "news", "fundamental", "portfolio"}
    assert found.evidence == {"news.state": "unavailable"}
    assert found.sentiment.state is SentimentState.UNAVAILABLE


def test_news_moves_the_score_by_its_coverage_and_cannot_make_one_alone() -> None:
    alone = analyse(AnalysisInputs(BTC, AT, None, news(1.0)))
    assert alone.score is None
    without = analyse(AnalysisInputs(BTC, AT, {"1h": CANDLES}))
    good, bad = (analyse(AnalysisInputs(BTC, AT, {"1h": CANDLES}, news(score))) for score in (1.0, -1.0))
    assert without.score is not None
    assert good.score is not None
    assert bad.score is not None
    assert bad.score < without.score < good.score
    weight = 0.3 * good.sentiment.coverage
    assert good.score == pytest.approx((0.7 * without.score + weight) / (0.7 + weight))
    assert analyse(AnalysisInputs(BTC, AT, {"1h": CANDLES}, news(-1.0, 1))).score == without.score


def test_the_future_is_not_in_the_report() -> None:
    then = CANDLES[200].at
    later = [*news(1.0), ScoredItem("old", "s", then, -0.5, (BTC,))]
    found = analyse(AnalysisInputs(BTC, then, {"1h": CANDLES}, later))
    assert found == analyse(AnalysisInputs(BTC, then, {"1h": CANDLES[:201]}, later))
    assert found.sentiment.ids == ("old",)


def test_a_batch_makes_peers_of_its_symbols_and_analyses_the_book_once() -> None:
    shared = book()
    symbols = [BTC, "ETH/USDT", "SOL/USDT", "XRP/USDT", "ADA/USDT"]
    found = analyse_batch(
        [AnalysisInputs(each, AT, None, None, worth(each, n + 1.0), [], shared) for n, each in enumerate(symbols)]
    )
    assert list(found) == symbols
    assert found["ADA/USDT"].evidence["fund.volume_24h.percentile"] == 1.0
    assert found[BTC].portfolio is found["ETH/USDT"].portfolio
    assert found[BTC].portfolio == portfolio(shared)


def test_one_input_twice_is_one_report_byte_for_byte() -> None:
    inputs = AnalysisInputs(BTC, AT, {"1h": CANDLES}, news(0.4), worth(BTC), [], book())
    assert analyse(inputs).as_json() == analyse(inputs).as_json()
