"""What a call costs, and what it may cost at most.

The shipped table is `prices.yaml`; the configuration may add to it or overrule it. A model without a price is not asked: an
unpriced call would escape every budget. Where a price is not known in part, the dearer one holds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from importlib.resources import files
from typing import Any

from sources.llm.asking import Usage
from sources.llm.models import Capabilities, Effort, Model, Price, Rate, Structured

_FILE = "prices.yaml"
_DATED = re.compile(r"-(\d{8}|\d{4}-\d{2}-\d{2})$")
_PREFIX = "models/"  # as Gemini lists its names
_SIMPLE = ("sampling", "effort", "thinks_always", "tools", "context", "max_output", "cache_min_tokens", "cache_key")


class PriceError(ValueError):
    """A price table or an entry of it is wrong; the message names the model and the key."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What the table says of a model."""

    price: Price
    capabilities: Capabilities


@dataclass(frozen=True, slots=True)
class PriceTable:
    """Prices and capabilities by model name."""

    entries: Mapping[str, Entry] = field(default_factory=dict)
    as_of: date | None = None

    def entry(self, name: str) -> Entry | None:
        """What is known of a model; a dated name (`...-2026-10-01`) is known by its undated one."""
        plain = name.removeprefix(_PREFIX)
        return self.entries.get(plain) or self.entries.get(_DATED.sub("", plain))

    def model(self, provider: str, name: str, price: Price | None = None) -> Model:
        """A model at a provider, with a price of one's own or that of the table, or none."""
        known = self.entry(name)
        if known is None:
            return Model(provider, name, price)
        return Model(provider, name, price or known.price, known.capabilities)


def shipped() -> PriceTable:
    """The table that comes with the bot."""
    return read_table(files("sources.llm").joinpath(_FILE).read_text(encoding="utf-8"), _FILE)


def read_table(text: str, origin: str) -> PriceTable:
    """A table from YAML; `PriceError` names `origin`, the model and the key that is wrong."""
    import yaml  # noqa: PLC0415 - only who asks for prices pays for it

    try:
        document = yaml.safe_load(text)
        rows: Mapping[str, Mapping[str, Any]] = document["models"]
        as_of = document["as_of"]
    except (yaml.YAMLError, KeyError, TypeError) as error:
        message = f"{origin}: give `as_of` and `models`: {error}"
        raise PriceError(message) from error
    return PriceTable({name: _entry(f"{origin}: {name}", row, as_of) for name, row in rows.items()}, as_of)


def _entry(where: str, row: Mapping[str, Any], as_of: date) -> Entry:
    try:
        long: Mapping[str, Any] = row.get("long") or {}
        price = Price(
            rate=rate_of(row["rate"]),
            long=rate_of(long["rate"]) if long else None,
            long_above=int(long["above"]) if long else None,
            later={day: rate_of(rate) for day, rate in (row.get("later") or {}).items()},
            as_of=as_of,
            verified=bool(row.get("verified", True)),
        )
        simple = {name: row[name] for name in _SIMPLE if name in row}
        efforts = tuple(Effort(name) for name in row.get("efforts", ()))
        structured = Structured(row.get("structured", Structured.SCHEMA))
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        message = f"{where}: {error!r} is missing or wrong"
        raise PriceError(message) from error
    return Entry(price, Capabilities(structured=structured, efforts=efforts, **simple))


def rate_of(numbers: list[Any]) -> Rate:
    """A rate from a row of the table: input, output, cached, cache write, cache write for an hour; `ValueError` if below zero."""
    given = [None if number is None else Decimal(str(number)) for number in numbers]
    if len(given) < 2 or any(number is not None and not (number.is_finite() and number >= 0) for number in given):
        message = f"{numbers} is no rate: give input, output and what is known of the rest, at least 0"
        raise ValueError(message)
    of = dict(zip(("input", "output", "cached", "cache_write", "cache_write_1h"), given, strict=False))
    if of["input"] is None or of["output"] is None:
        message = f"{numbers}: input and output must be there"
        raise ValueError(message)
    return Rate(of["input"], of["output"], of.get("cached"), of.get("cache_write"), of.get("cache_write_1h"))


def rate_at(price: Price, prompt_tokens: int, at: int) -> Rate:
    """The rate of a request with that many prompt tokens, at a time in ms UTC; of several that may hold, the dearer."""
    day = datetime.fromtimestamp(at / 1000, UTC).date()
    begun = [start for start in price.later if start <= day]
    rate = price.later[max(begun)] if begun else price.rate
    if price.long is None or price.long_above is None or prompt_tokens <= price.long_above:
        return rate
    return max(price.long, rate, key=lambda one: (one.output, one.input))


def cost(usage: Usage, price: Price, at: int) -> Decimal:
    """What it costs in USD, exactly."""
    rate = rate_at(price, usage.input, at)
    hour = min(usage.cache_write_1h, usage.cache_write)
    fresh = max(0, usage.input - usage.cached - usage.cache_write)
    write = rate.input if rate.cache_write is None else rate.cache_write
    total = (
        fresh * rate.input
        + usage.cached * (rate.input if rate.cached is None else rate.cached)
        + (usage.cache_write - hour) * write
        + hour * _hour_rate(rate)
        + usage.output * rate.output
    )
    return total.scaleb(-6)


def most(prompt_tokens: int, output_tokens: int, price: Price, at: int, *, caches: bool) -> Decimal:
    """The most that a request may cost in USD: nothing cached, all the output used and, if it `caches`, all of it written."""
    rate = rate_at(price, prompt_tokens, at)
    dearest = max(rate.input, rate.cache_write or rate.input, _hour_rate(rate) if caches else rate.input)
    return (prompt_tokens * dearest + output_tokens * rate.output).scaleb(-6)


def _hour_rate(rate: Rate) -> Decimal:
    if rate.cache_write_1h is not None:
        return rate.cache_write_1h
    return 2 * rate.input if rate.cache_write is not None else rate.input
