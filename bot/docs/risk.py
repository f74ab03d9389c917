"""The risk checks, in the order in which they are asked, from the classes that make them."""

from __future__ import annotations

import inspect
import re
from typing import get_type_hints

from bot.core.decision import Denial
from bot.core.risk import AllowedSymbols, RiskLimits, may_send
from bot.docs import markdown as md

_INTRO = """
The gate asks each check in this order; the first refusal ends it. A check shrinks an order or refuses it and never makes it
larger, so the order of the checks cannot undo a limit. Orders that lower |position| pass every limit that exists to stop
entries. The limits are configured in `risk.yaml` ([configuration](configuration.md#risk)); [risk](../explanation/risk.md)
explains why it is so.
"""
_EVERYTHING = RiskLimits(max_order_notional=1.0, symbol_cool_down_ms=1, live_quote=True, allowed_symbols=("BTC/USDT",))


def page() -> str:
    """The reference of the risk gate."""
    rows = [[str(number), md.code(name), what, denials] for number, (name, what, denials) in enumerate(_checks(), 1)]
    sent = f"{md.paragraph(may_send.__doc__)} The answer cancels the order before the venue hears of it."
    return md.page("Risk checks", _INTRO, md.table(["", "check", "law", "refuses with"], rows), "## Before the send", sent)


def _checks() -> list[tuple[str, str, str]]:
    found = []
    for check in _EVERYTHING.checks():
        kind = type(check)
        fields = ", ".join(get_type_hints(kind)) if kind is not AllowedSymbols else "symbols"
        name = f"{kind.__name__}({fields})"
        denials = re.findall(r"Denial\.([A-Z_]+)", inspect.getsource(kind))
        found.append(
            (name, md.paragraph(kind.__doc__), ", ".join(md.code(Denial[each].value) for each in dict.fromkeys(denials)))
        )
    return found
