"""How LEAN writes figures: which have a currency, a comma, a percent sign, a blank before it, and how many digits."""

from __future__ import annotations

from datetime import timedelta

CURRENCIES = {"USD": "$", "USDT": "₮", "EUR": "€", "BTC": "₿", "GBP": "£", "JPY": "¥"}


def symbol_of(currency: str) -> str:
    """`$`; nothing for a currency that has no sign."""
    return CURRENCIES.get(currency, "")


def plain(number: float | None, digits: int = 3) -> str:
    """At most so many decimals, no trailing zeros: `0.412`, `-0.2`, `112345.67`; nothing known is `0`."""
    text = f"{number or 0.0:.{digits}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def percent(fraction: float | None, digits: int = 3) -> str:
    """All decimals kept: `45.000%`; a plain zero is `0%`."""
    number = 100.0 * (fraction or 0.0)
    return "0%" if abs(number) < 0.5 * 10**-digits else f"{number:.{digits}f}%"


def money(amount: float, sign: str) -> str:
    """With commas, the minus after the symbol: `$12,345.67`, `$-4.94`."""
    return f"{sign}{amount:,.2f}"


def two_significant(amount: float, sign: str) -> str:
    """`$6300000`."""
    return f"{sign}{float(f'{amount:.1e}'):.0f}"


def span(length: timedelta) -> str:
    """A .NET TimeSpan: `[d.]hh:mm:ss`."""
    seconds = max(0, int(length.total_seconds()))
    days, rest = divmod(seconds, 86_400)
    clock = f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    return f"{days}.{clock}" if days else clock
