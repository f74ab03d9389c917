"""Everything about a symbol in one report: for a person in words, for a prompt as a flat mapping of evidence.

Each figure has an id that says where it comes from, such as `ta.1h.rsi_14`, so that a reply can name what it rests on and be
checked. The report's score joins technical 0.7 and sentiment 0.3 (times its coverage), of what is known; fundamentals and the
book are told beside it and do not move it: a coin that is dear may rise for years. These weights are choices.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bot.core.market import Candle
from sources.analysis.fundamental import FundamentalAnalysis, Fundamentals, fundamental
from sources.analysis.portfolio import PortfolioAnalysis, PortfolioInputs, portfolio
from sources.analysis.sentiment import DEFAULT_POLICY, ScoredItem, Sentiment, SentimentPolicy, SentimentState, sentiment
from sources.analysis.technical import Stance, TechnicalAnalysis, TimeframeReading, stance_of, technical
from sources.analysis.values import Told, brief, clip

Figure = float | int | str
_TECHNICAL, _SENTIMENT = 0.7, 0.3


@dataclass(frozen=True, slots=True, eq=False)
class AnalysisInputs:
    """What there is to analyse about a symbol at `at` (ms UTC). What is None is not to be had, which is not the same as empty.

    `candles` are by timeframe; `items` are scored news, of this symbol or not; `book` may be analysed already.
    """

    symbol: str
    at: int
    candles: Mapping[str, Sequence[Candle]] | None = None
    items: Sequence[ScoredItem] | None = None
    fundamentals: Fundamentals | None = None
    peers: Sequence[Fundamentals] = ()
    book: PortfolioInputs | PortfolioAnalysis | None = None
    policy: SentimentPolicy = field(default=DEFAULT_POLICY)


@dataclass(frozen=True, slots=True)
class Analysis(Told):
    """The report on a symbol at `at` (ms UTC). `score` is -1..1; `unknown` names what is missing and why.

    `evidence` maps ids to figures, rounded to five significant digits; `words` is for people, one line per subject.
    """

    symbol: str
    at: int
    score: float | None
    stance: Stance
    technical: TechnicalAnalysis | None
    sentiment: Sentiment
    fundamental: FundamentalAnalysis | None
    portfolio: PortfolioAnalysis | None
    evidence: Mapping[str, Figure]
    unknown: Mapping[str, str]
    words: tuple[str, ...]

    def compact(self) -> dict[str, object]:
        """What a prompt needs: the stance, the evidence with its ids, what is unknown, and the words."""
        return {
            "symbol": self.symbol,
            "at": self.at,
            "stance": self.stance.value,
            "score": None if self.score is None else brief(self.score, 3),
            "evidence": dict(self.evidence),
            "unknown": dict(self.unknown),
            "words": list(self.words),
        }

    def text(self) -> str:
        """The words as a person reads them."""
        score = "" if self.score is None else f" ({self.score:+.2f})"
        return "\n".join([f"{self.symbol}: {self.stance.value}{score}", *(f"- {line}" for line in self.words)])


def analyse(inputs: AnalysisInputs) -> Analysis:
    """Everything that can be told about a symbol from what is given. Raises `AnalysisError` if an input contradicts itself."""
    symbol, at = inputs.symbol, inputs.at
    charts = None if inputs.candles is None else technical(symbol, inputs.candles, at)
    mood = sentiment(symbol, inputs.items, at, inputs.policy)
    worth = None if inputs.fundamentals is None else fundamental(inputs.fundamentals, inputs.peers)
    book = portfolio(inputs.book) if isinstance(inputs.book, PortfolioInputs) else inputs.book
    score = _score(charts, mood)
    evidence = dict((*_technical(charts), *_sentiment(mood), *_fundamental(worth), *_book(book, symbol)))
    unknown = _unknown(charts, mood, worth, book)
    words = _words(charts, mood, worth, book)
    return Analysis(symbol, at, score, stance_of(score), charts, mood, worth, book, evidence, unknown, words)


def analyse_batch(inputs: Sequence[AnalysisInputs]) -> dict[str, Analysis]:
    """A report on each of several symbols. Their fundamentals are one another's peers; a shared book is analysed once."""
    peers = [each.fundamentals for each in inputs if each.fundamentals is not None]
    books: dict[int, PortfolioAnalysis] = {}
    found = {}
    for each in inputs:
        book = each.book
        if isinstance(book, PortfolioInputs):
            if id(book) not in books:
                books[id(book)] = portfolio(book)
            book = books[id(book)]
        own = {peer.symbol for peer in each.peers}
        near = (*each.peers, *(peer for peer in peers if peer.symbol not in own))
        found[each.symbol] = analyse(
            AnalysisInputs(each.symbol, each.at, each.candles, each.items, each.fundamentals, near, book, each.policy)
        )
    return found


def _score(charts: TechnicalAnalysis | None, mood: Sentiment) -> float | None:
    """The weighted mean of what is known; without a technical score there is none."""
    if charts is None or charts.score is None:
        return None
    if mood.score is None or mood.state is not SentimentState.AVAILABLE:
        return charts.score
    weight = _SENTIMENT * mood.coverage
    return clip((_TECHNICAL * charts.score + weight * mood.score) / (_TECHNICAL + weight))


def _technical(charts: TechnicalAnalysis | None) -> Iterator[tuple[str, Figure]]:
    if charts is None:
        return
    if charts.score is not None:
        yield "ta.score", brief(charts.score)
    if charts.agreement is not None:
        yield "ta.agreement", brief(charts.agreement)
    for reading in charts.timeframes:
        yield from _timeframe(reading, f"ta.{reading.timeframe}")


def _timeframe(reading: TimeframeReading, prefix: str) -> Iterator[tuple[str, Figure]]:
    for name, value in reading.indicators.known().items():
        yield f"{prefix}.{name}", value
    state = reading.regime
    if state.score is not None:
        yield f"{prefix}.trend", state.trend.value
        yield f"{prefix}.trend_score", brief(state.score)
    if state.rank is not None:
        yield f"{prefix}.volatility", state.volatility.value
    for kind, found in (("support", reading.levels.supports), ("resistance", reading.levels.resistances)):
        for number, level in enumerate(found[:2], 1):
            yield f"{prefix}.{kind}_{number}", brief(level.price, 6)
            yield f"{prefix}.{kind}_{number}_strength", brief(level.strength, 2)
    for chart in reading.charts[:3]:
        yield f"{prefix}.chart.{chart.name}", f"{_side(chart.direction)} {chart.stage.value} {chart.confidence:.2f}"
    for pattern in reading.candles:
        ago = reading.count - 1 - pattern.index
        yield f"{prefix}.candle.{pattern.name}", f"{_side(pattern.direction)} {ago} candles ago"


def _side(direction: int) -> str:
    return "bullish" if direction > 0 else "bearish" if direction < 0 else "neutral"


def _sentiment(mood: Sentiment) -> Iterator[tuple[str, Figure]]:
    yield "news.state", mood.state.value
    if mood.score is not None:
        yield "news.score", brief(mood.score)
        yield "news.coverage", brief(mood.coverage)
        yield "news.items", mood.count
    if mood.disagreement is not None:
        yield "news.disagreement", brief(mood.disagreement)


def _fundamental(worth: FundamentalAnalysis | None) -> Iterator[tuple[str, Figure]]:
    if worth is None:
        return
    for name, value in worth.measures.known().items():
        yield f"fund.{name}", value
    for name, value in worth.percentiles.items():
        yield f"fund.{name}.percentile", brief(value)
    yield "fund.valuation", worth.valuation.value


def _book(book: PortfolioAnalysis | None, symbol: str) -> Iterator[tuple[str, Figure]]:
    if book is None:
        return
    held = book.concentration
    yield "book.gross", brief(held.gross)
    yield "book.cash", brief(held.cash)
    yield "book.share", brief(held.shares.get(symbol, 0.0) * held.gross)
    if held.index is not None:
        yield "book.concentration", brief(held.index)
    if book.tails:
        yield "book.var.level", book.tails[0].level
        yield "book.var.hours", brief(book.tails[0].horizon * book.period / 3_600_000)
    for tail in book.tails:
        if tail.value_at_risk is not None and tail.expected_shortfall is not None:
            yield f"book.var.{tail.method.value}", brief(tail.value_at_risk)
            yield f"book.es.{tail.method.value}", brief(tail.expected_shortfall)
    if book.book_beta is not None:
        yield "book.beta", brief(book.book_beta.beta)
    if book.correlation is not None and book.correlation.mean is not None:
        yield "book.correlation", brief(book.correlation.mean)
    if book.drawdown is not None:
        yield "book.drawdown", brief(book.drawdown.now)


def _unknown(
    charts: TechnicalAnalysis | None,
    mood: Sentiment,
    worth: FundamentalAnalysis | None,
    book: PortfolioAnalysis | None,
) -> dict[str, str]:
    found: dict[str, str] = {}
    if charts is None or not charts.timeframes:
        found["technical"] = "no candles were given"
    else:
        found |= {f"ta.{each.timeframe}": each.words for each in charts.timeframes if each.score is None}
    if mood.score is None:
        found["news"] = mood.words
    if worth is None:
        found["fundamental"] = "no fundamentals were given"
    else:
        found |= {f"fund.{name}": reason for name, reason in worth.unknown.items()}
    if book is None:
        found["portfolio"] = "no book was given"
    else:
        found |= {f"book.{name}": reason for name, reason in book.unknown.items()}
    return found


def _words(
    charts: TechnicalAnalysis | None,
    mood: Sentiment,
    worth: FundamentalAnalysis | None,
    book: PortfolioAnalysis | None,
) -> tuple[str, ...]:
    lines: list[str] = []
    if charts is not None:
        lines += [charts.words, *(each.words for each in charts.timeframes)]
    lines.append(mood.words)
    if worth is not None:
        lines.append(worth.words)
    if book is not None:
        lines += [book.words, *book.suggestions]
    return tuple(lines)
