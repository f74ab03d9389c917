"""The desk of the running bot, as its use cases see it, and how they write figures.

Amounts and money are digit strings, prices of the market and fractions are numbers, times milliseconds UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from bot.core.decision import Decision
from bot.core.desk import TradingDesk
from bot.runtime.hosting import SourceHost
from bot.services.running import Running, running
from bot.services.use_case import Ground, Missing, UseCaseError

_PLACES = 8


class NoBot(UseCaseError):  # noqa: N818 - it says what is the case
    """No bot runs here, and without one there is no desk."""


@dataclass(frozen=True, slots=True)
class AtDesk:
    """The desk and its sources at `now`: the clock's time, or the desk's own where that is ahead."""

    desk: TradingDesk
    host: SourceHost
    now: int
    bot: Running


def at_desk(ground: Ground) -> AtDesk:
    """Where the desk is; `NoBot` in a command that stands alone."""
    bot = running(ground)
    if bot is None or bot.desk is None or bot.host is None:
        message = "no bot runs here: start one with `python -m bot`, or name its data directory"
        raise NoBot(message)
    return AtDesk(bot.desk, bot.host, max(bot.desk.state.now, bot.port.now()), bot)


def listed(desk: TradingDesk, symbol: str) -> str:
    """A symbol that the venue lists; `UseCaseError` names those there are."""
    if symbol not in desk.state.instruments:
        there = ", ".join(sorted(desk.state.instruments)) or "none yet"
        message = f"the bot does not trade {symbol!r}; there are {there}"
        raise Missing(message)
    return symbol


def digits(value: Decimal | float) -> str:
    """An amount without an exponent and without trailing zeros; a float to 8 places."""
    text = f"{value:f}" if isinstance(value, Decimal) else f"{value:.{_PLACES}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def fraction(part: float, whole: float) -> float:
    """`part` of `whole`, zero where there is nothing to be part of."""
    return part / whole if whole > 0 else 0.0


def told(decision: Decision, price: float | None, words: int = 300) -> dict[str, object]:
    """What a decision says; `price` is the newest of its symbol, `words` bounds its reasoning."""
    return {
        "id": decision.id,
        "source": decision.source,
        "tier": int(decision.tier),
        "tier_name": decision.tier.label,
        "symbol": decision.symbol,
        "action": decision.action.value,
        "confidence": decision.confidence,
        "created": decision.created,
        "expires": decision.expires,
        "reference": decision.price,
        "price": price,
        "stop_loss": decision.stop_loss,
        "take_profit": decision.take_profit,
        "trailing": decision.trailing,
        "reasoning": decision.reasoning[:words],
    }
