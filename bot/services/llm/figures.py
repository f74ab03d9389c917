"""Money, rates and usage of language models as plain JSON values: USD as text, so that no digit is lost."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sources.llm.asking import Usage
    from sources.llm.models import Capabilities, Price, Rate


def usd(amount: Decimal | None) -> str | None:
    """An amount without an exponent."""
    return None if amount is None else f"{amount:f}"


def usage_json(usage: Usage) -> dict[str, int]:
    """Tokens."""
    return {
        "input": usage.input,
        "cached": usage.cached,
        "cache_write": usage.cache_write,
        "output": usage.output,
        "reasoning": usage.reasoning,
    }


def rate_json(rate: Rate) -> dict[str, str | None]:
    """USD for one million tokens; null costs as input does."""
    return {
        "input": usd(rate.input),
        "cached": usd(rate.cached),
        "cache_write": usd(rate.cache_write),
        "cache_write_1h": usd(rate.cache_write_1h),
        "output": usd(rate.output),
    }


def price_json(price: Price | None) -> dict[str, object] | None:
    """A price, with the rate of long prompts and those that come later."""
    if price is None:
        return None
    later: Mapping[str, object] = {day.isoformat(): rate_json(rate) for day, rate in sorted(price.later.items())}
    return {
        "rate": rate_json(price.rate),
        "long": None if price.long is None else rate_json(price.long),
        "long_above": price.long_above,
        "later": dict(later),
        "as_of": None if price.as_of is None else price.as_of.isoformat(),
        "verified": price.verified,
    }


def capabilities_json(can: Capabilities) -> dict[str, object]:
    """What a model takes; sizes are tokens."""
    return {
        "structured": can.structured.value,
        "sampling": can.sampling,
        "effort": can.effort,
        "efforts": [effort.value for effort in can.efforts],
        "thinks_always": can.thinks_always,
        "tools": can.tools,
        "context": can.context,
        "max_output": can.max_output,
    }
