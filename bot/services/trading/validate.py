"""What risk would say of an order now, without asking for it: every check's answer, and what the order would do to the books.

The same checks as the desk's, on copies. The gate ends at the first refusal; here the later checks are asked too, so that a
person sees everything that stands in the way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal

from bot.core.decision import Denial, Fate, SourceSpec
from bot.core.desk import TradingDesk
from bot.core.market import Side
from bot.core.matching import fee_of
from bot.core.orders import ZERO
from bot.core.risk import Check, OrderDraft, Refusal, RiskContext
from bot.core.targets import touch
from bot.services.trading.at_desk import digits, fraction, listed
from bot.services.trading.copies import copied
from bot.services.use_case import Missing, UseCaseError


@dataclass(frozen=True, slots=True)
class Wish:
    """A hypothetical order: of `amount` and `notional` one is given; `price` is what its decision saw, None the live one."""

    symbol: str
    side: Side
    amount: Decimal | None = None
    notional: Decimal | None = None
    price: float | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Spoken:
    """One check's answer to a draft: what it made of it, or its denial and the reason."""

    name: str
    about: str
    before: OrderDraft
    after: OrderDraft | None
    denial: str | None = None
    permanent: bool | None = None
    reason: str = ""

    def as_json(self, *, decides: bool) -> dict[str, object]:
        """Plain values; the amount is the one after the check, `decides` marks the denial at which the gate ends."""
        after = self.after
        said = "denied" if after is None else "shrunk" if after.amount < self.before.amount else "passed"
        return {
            "name": self.name,
            "about": self.about,
            "answer": said,
            "amount": None if after is None else digits(after.amount),
            "notional": None if after is None else digits(after.notional),
            "denial": self.denial,
            "permanent": self.permanent,
            "reason": self.reason,
            "decides": decides,
        }


def validate_json(desk: TradingDesk, now: int, wish: Wish) -> dict[str, object]:
    """The answer; `UseCaseError` for a symbol or source that the desk does not know, or one without a price."""
    book = copied(desk, now)
    draft, spec = drafted(desk, book, wish)
    spoken = list(_spoken(desk, book, draft, spec))
    denied = next((each for each in spoken if each.after is None), None)
    final = None if denied is not None else spoken[-1].after
    return {
        "now": now,
        "symbol": wish.symbol,
        "side": wish.side.value,
        "source": wish.source,
        "price": draft.price,
        "reference": draft.reference,
        "asked": {"amount": digits(draft.amount), "notional": digits(draft.notional)},
        "reduces": draft.reduces if final is None else final.reduces,
        "checks": [each.as_json(decides=each is denied) for each in spoken],
        "admitted": final is not None,
        "denial": None if denied is None else denied.denial,
        "reason": "" if denied is None else denied.reason,
        **_outcome(desk, book, draft, final),
    }


def drafted(desk: TradingDesk, book: RiskContext, wish: Wish) -> tuple[OrderDraft, SourceSpec | None]:
    """The order as the desk would draft it, and the settings of its source, if it has one."""
    symbol = listed(desk, wish.symbol)
    if symbol not in book.market.prices:
        message = f"no price of {symbol} has come yet: ask again when its feed is up"
        raise UseCaseError(message)
    spec = source_of(desk, wish.source)
    price = touch(book.market, symbol, wish.side)
    amount = wish.amount if wish.amount is not None else (wish.notional or ZERO) / Decimal(repr(price))
    held = book.portfolio.amount(symbol)
    capital = 1.0 if spec is None else float(spec.capital)
    draft = OrderDraft(
        symbol,
        wish.side,
        amount,
        price,
        price if wish.price is None else wish.price,
        wish.source or "",
        capital,
        held * wish.side.sign < 0 and amount <= abs(held),
        desk.state.instruments[symbol],
    )
    return draft, spec


def source_of(desk: TradingDesk, name: str | None) -> SourceSpec | None:
    """The settings of a source; `UseCaseError` names those there are."""
    if name is None:
        return None
    if name not in desk.state.sources:
        message = f"no source is called {name!r}; there are {', '.join(sorted(desk.state.sources)) or 'none'}"
        raise Missing(message)
    return desk.state.sources[name]


def _spoken(desk: TradingDesk, book: RiskContext, draft: OrderDraft, spec: SourceSpec | None) -> Iterator[Spoken]:
    """Everything that is asked, in order; after a denial the draft goes on as it was."""
    if spec is not None:
        yield _heard(draft, spec)
    if draft.side is Side.SELL and not desk.config.targets.allow_short:
        sold = _sold(draft, book)
        yield sold
        draft = sold.after or draft
    for check in desk.config.limits.checks():
        answer, name, about = check(draft, book), type(check).__name__, _law(check)
        if isinstance(answer, Refusal):
            yield Spoken(name, about, draft, None, answer.denial.value, answer.denial.permanent, answer.detail)
        else:
            yield Spoken(name, about, draft, answer)
            draft = answer


def _law(check: Check) -> str:
    """What a check says of itself, in plain text."""
    return " ".join((type(check).__doc__ or "").replace("`", "").split())


def _heard(draft: OrderDraft, spec: SourceSpec) -> Spoken:
    name, about = "Source", "A source that is paused, or may not trade the symbol, is not heard."
    silenced = unheard(spec, draft.symbol)
    if silenced is None:
        return Spoken(name, about, draft, draft)
    return Spoken(name, about, draft, None, silenced.denial.value, silenced.denial.permanent, silenced.detail)


def unheard(spec: SourceSpec, symbol: str) -> Refusal | None:
    """Why the desk would not hear a source on a symbol, whatever it says; None if it would."""
    if spec.paused:
        return Refusal(Denial.SOURCE_PAUSED, f"{spec.name} is paused")
    if spec.symbols and symbol not in spec.symbols:
        return Refusal(Denial.SYMBOL_NOT_ALLOWED, f"{spec.name} may not trade {symbol}")
    return None


def _sold(draft: OrderDraft, book: RiskContext) -> Spoken:
    name, about = "Held", "Only what is held is sold; nothing is sold short."
    held = book.portfolio.amount(draft.symbol)
    if held > ZERO:
        return Spoken(name, about, draft, replace(draft, amount=min(draft.amount, held), reduces=True))
    return Spoken(name, about, draft, None, Fate.NOTHING_TO_SELL.value, True, f"nothing of {draft.symbol} is held")


def _outcome(desk: TradingDesk, book: RiskContext, draft: OrderDraft, final: OrderDraft | None) -> dict[str, object]:
    """The order that would leave, and the books before and after it traded whole at the live price."""
    amount = ZERO if final is None else final.amount
    price = Decimal(repr(draft.price))
    fee, currency = fee_of(draft.side, amount, price, draft.instrument, desk.config.fills, False)
    signed, books = amount * draft.side.sign, book.portfolio
    held, equity = books.amount(draft.symbol), books.equity
    mark = book.market.prices[draft.symbol]
    after = books.exposure + (abs(float(held + signed)) - abs(float(held))) * mark
    return {
        "amount": None if final is None else digits(amount),
        "notional": None if final is None else digits(amount * price),
        "fee": None if final is None else {"amount": digits(fee), "currency": currency},
        "position": {"before": digits(held), "after": digits(held + signed)},
        "exposure": {
            "before": digits(books.exposure),
            "after": digits(after),
            "before_share": fraction(books.exposure, equity),
            "after_share": fraction(after, equity),
        },
        "cash": {"before": digits(books.cash), "after": digits(books.cash - signed * price - fee)},
    }
