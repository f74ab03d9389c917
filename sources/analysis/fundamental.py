"""Fundamentals of a coin: supply, capitalisation, turnover, funding, open interest, age, and how these stand among peers.

Formulas: market cap = price * circulating supply; fully diluted value = price * maximum (else total) supply; dilution =
circulating / maximum; turnover = 24 h volume / market cap; NVT = market cap / value transferred on the chain in 24 h (W. Woo
2017, D. Kalichkin 2018), and where the chain is not known its like with the traded volume (NVT of trading), which is the inverse
of turnover. Funding a year = rate * intervals a year, not compounded. A percentile is the share of peers below, equal ones
counted half; among fewer than three peers there is none.

The valuation is the mean percentile of NVT, NVT of trading and the inverse of dilution, of those that are known: rich above 0.7,
cheap below 0.3. A choice, and a comparison with peers, not a price.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum

from sources.analysis.values import Told, brief, ratio

_DAY_MS = 86_400_000
_LEAST_PEERS = 3
RICH, CHEAP = 0.7, 0.3
_VALUED = ("nvt", "nvt_traded", "dilution_ahead")


@dataclass(frozen=True, slots=True)
class Fundamentals(Told):
    """What is known of a symbol at `at` (ms UTC), by whoever `origin` is. Money is in the quote currency; None is not known.

    `funding_rate` is a fraction per `funding_hours`; `open_interest` and volumes are values, not amounts; `transferred_24h` is
    what moved on the chain. `first_listed` is in ms UTC. `missing` says why a field is None.
    """

    symbol: str
    at: int
    origin: str
    price: float | None = None
    circulating_supply: float | None = None
    total_supply: float | None = None
    max_supply: float | None = None
    market_cap: float | None = None
    volume_24h: float | None = None
    transferred_24h: float | None = None
    funding_rate: float | None = None
    funding_hours: float | None = None
    open_interest: float | None = None
    first_listed: int | None = None
    missing: Mapping[str, str] = field(default_factory=dict)


class Valuation(StrEnum):
    """How a coin is priced among its peers."""

    CHEAP = "cheap"
    FAIR = "fair"
    RICH = "rich"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Measures(Told):
    """What follows from the figures; None where they are not known.

    `dilution` is circulating over maximum supply, `dilution_ahead` its inverse; `turnover`, `interest_to_cap` and
    `interest_to_volume` are ratios; `funding_year` is a fraction; `age_days` counts from the first listing.
    """

    market_cap: float | None = None
    fully_diluted: float | None = None
    dilution: float | None = None
    dilution_ahead: float | None = None
    volume_24h: float | None = None
    turnover: float | None = None
    nvt: float | None = None
    nvt_traded: float | None = None
    funding_year: float | None = None
    open_interest: float | None = None
    interest_to_cap: float | None = None
    interest_to_volume: float | None = None
    age_days: float | None = None

    def known(self) -> dict[str, float]:
        """What is known, by name, rounded to five significant digits."""
        values = ((each.name, getattr(self, each.name)) for each in fields(self))
        return {name: brief(value) for name, value in values if value is not None}


@dataclass(frozen=True, slots=True)
class FundamentalAnalysis(Told):
    """The measures of a symbol, their percentiles (0..1) among `peers` others, and what is unknown and why."""

    symbol: str
    at: int
    origin: str
    measures: Measures
    percentiles: Mapping[str, float]
    peers: int
    valuation: Valuation
    unknown: Mapping[str, str]
    words: str


def fundamental(of: Fundamentals, peers: Sequence[Fundamentals] = ()) -> FundamentalAnalysis:
    """Analyse one symbol against its peers; itself and what was known only later are left out of them."""
    found = measures(of)
    others = [measures(peer) for peer in peers if peer.symbol != of.symbol and peer.at <= of.at]
    percentiles = _percentiles(found, others)
    valued = [percentiles[name] for name in _VALUED if name in percentiles]
    place = sum(valued) / len(valued) if valued else None
    valuation = _valuation(place)
    unknown = _unknown(of, found)
    words = _words(of.symbol, found, valuation, place, len(others))
    return FundamentalAnalysis(of.symbol, of.at, of.origin, found, percentiles, len(others), valuation, unknown, words)


def fundamental_batch(inputs: Sequence[Fundamentals]) -> dict[str, FundamentalAnalysis]:
    """Analyse several symbols, each with the others as its peers."""
    return {each.symbol: fundamental(each, inputs) for each in inputs}


def measures(of: Fundamentals) -> Measures:
    """What follows from the figures of one symbol. Figures that are negative or not finite are not known."""
    price, circulating, volume = _positive(of.price), _positive(of.circulating_supply), _positive(of.volume_24h)
    cap = _positive(of.market_cap) or _product(price, circulating)
    most = _positive(of.max_supply) or _positive(of.total_supply)
    interest = _positive(of.open_interest)
    hours = _positive(of.funding_hours)
    rate = of.funding_rate if of.funding_rate is not None and math.isfinite(of.funding_rate) else None
    return Measures(
        market_cap=cap,
        fully_diluted=_product(price, most),
        dilution=ratio(circulating, most),
        dilution_ahead=ratio(most, circulating),
        volume_24h=volume,
        turnover=ratio(volume, cap),
        nvt=ratio(cap, _positive(of.transferred_24h)),
        nvt_traded=ratio(cap, volume),
        funding_year=None if rate is None or hours is None else rate * 24 * 365 / hours,
        open_interest=interest,
        interest_to_cap=ratio(interest, cap),
        interest_to_volume=ratio(interest, volume),
        age_days=None if of.first_listed is None or of.first_listed > of.at else (of.at - of.first_listed) / _DAY_MS,
    )


def _positive(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) and number > 0 else None


def _product(one: float | None, other: float | None) -> float | None:
    found = None if one is None or other is None else one * other
    return _positive(found)


def _percentiles(found: Measures, others: Sequence[Measures]) -> dict[str, float]:
    percentiles = {}
    for each in fields(found):
        own = getattr(found, each.name)
        theirs = [value for other in others if (value := getattr(other, each.name)) is not None]
        if own is not None and len(theirs) >= _LEAST_PEERS:
            below = sum(value < own for value in theirs) + 0.5 * sum(value == own for value in theirs)
            percentiles[each.name] = below / len(theirs)
    return percentiles


def _valuation(place: float | None) -> Valuation:
    if place is None:
        return Valuation.UNKNOWN
    return Valuation.RICH if place > RICH else Valuation.CHEAP if place < CHEAP else Valuation.FAIR


def _unknown(of: Fundamentals, found: Measures) -> dict[str, str]:
    """Every input and measure that is not known, and why."""
    inputs = {
        each.name: of.missing.get(each.name, f"{of.origin} does not tell")
        for each in fields(of)
        if each.name != "missing" and getattr(of, each.name) is None
    }
    derived = {each.name: "its inputs are unknown" for each in fields(found) if getattr(found, each.name) is None}
    return {**derived, **inputs}


def _words(symbol: str, found: Measures, valuation: Valuation, place: float | None, peers: int) -> str:
    parts = []
    if found.market_cap is not None:
        parts.append(f"market cap {_short(found.market_cap)}")
    if found.volume_24h is not None:
        parts.append(f"24 h volume {_short(found.volume_24h)}")
    if found.dilution is not None:
        parts.append(f"{found.dilution:.0%} of the supply is out")
    if found.funding_year is not None:
        payer = "longs pay" if found.funding_year > 0 else "shorts pay" if found.funding_year < 0 else "nobody pays"
        parts.append(f"funding {found.funding_year:+.1%} a year ({payer})")
    if found.open_interest is not None:
        parts.append(f"open interest {_short(found.open_interest)}")
    if found.age_days is not None:
        parts.append(
            f"listed for {found.age_days / 365:.1f} years" if found.age_days >= 365 else f"listed {found.age_days:.0f} days"
        )
    if place is not None:
        parts.append(f"{valuation.value} among {peers} peers ({place:.0%})")
    return f"{symbol}: " + (", ".join(parts) or "no fundamentals are known")


def _short(number: float) -> str:
    for size, name in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{name}"
    return f"{number:.3g}"
