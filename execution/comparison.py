"""Comparison: what an account holds, against what explains it. Plain values in, findings out.

A ledger begins with the totals an account held at one moment and follows every trade and every transfer listed since, whoever
made it, each once by the venue's own id. What the account holds must then equal the ledger to the last digit; whatever does not
is a difference, and a difference that two looks in a row agree on has no explanation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from enum import StrEnum

from bot.core.market import Side
from bot.core.orders import ZERO
from execution.account import TradeReport, TransferReport

_DIGITS = 100
"""Significant digits of the sums here: enough that no venue's figures are ever rounded."""

_TAIL = 24
_HEX = frozenset("0123456789abcdef")

Totals = Mapping[str, Decimal]
"""Free and locked together, by currency; a currency that is missing is zero."""


class Owner(StrEnum):
    """Whose an order is, by its client order id."""

    OURS = "ours"
    SISTER = "sister"
    FOREIGN = "foreign"


def owner_of(client_id: str | None, prefix: str, sisters: Iterable[str]) -> Owner:
    """Whose order carries this id: a prefix, and 24 hex digits after it and nothing else.

    The whole of what stands before the digits must be the prefix, so of two prefixes that begin alike the longer one wins.
    """
    if client_id is None or len(client_id) <= _TAIL or not _HEX.issuperset(client_id[-_TAIL:]):
        return Owner.FOREIGN
    head = client_id[:-_TAIL]
    if head == prefix[:4]:
        return Owner.OURS
    return Owner.SISTER if any(head == sister[:4] for sister in sisters) else Owner.FOREIGN


def effect_of(trade: TradeReport) -> dict[str, Decimal]:
    """What a trade did to the totals, by currency: what was bought came, what was paid went, and the fee in its own currency."""
    base, _, rest = trade.symbol.partition("/")
    quote = rest.partition(":")[0]
    with localcontext(prec=_DIGITS):
        sign = 1 if trade.side is Side.BUY else -1
        moved: dict[str, Decimal] = {}
        for currency, amount in (
            (base, sign * trade.amount),
            (quote, -sign * trade.amount * trade.price),
            (trade.fee_currency, -trade.fee),
        ):
            if amount:
                moved[currency] = moved.get(currency, ZERO) + amount
        return moved


def entry_of(transfer: TransferReport) -> str:
    """What tells a transfer from all others: deposits and withdrawals are numbered apart, at some venues by currency."""
    return f"{'in' if transfer.amount > ZERO else 'out'}:{transfer.currency}:{transfer.id}"


@dataclass(slots=True)
class Window:
    """Which entries of one list of the venue have been counted: all before `since` (ms), and from there on these (id to time)."""

    since: int
    ids: dict[str, int] = field(default_factory=dict)

    def add(self, entry: str, ts: int) -> bool:
        """Count an entry; False if it has been counted before."""
        if ts < self.since or entry in self.ids:
            return False
        self.ids[entry] = ts
        return True

    def roll(self, overlap_ms: int, quiet_ms: int, at: int) -> None:
        """Everything so far is explained: begin later from now on.

        The venue's own times decide where there are any (an overlap before the newest, for those that are listed late); where
        nothing happened the bot's clock does, and is trusted no further than `quiet_ms`.
        """
        newest = max(self.ids.values(), default=self.since)
        since = max(self.since, newest - overlap_ms, at - quiet_ms)
        if since > self.since:
            self.since = since
            self.ids = {entry: ts for entry, ts in self.ids.items() if ts >= since}


@dataclass(slots=True)
class Ledger:
    """What an account must hold. `began` is when its first totals were taken (ms); `totals` follow from them.

    `explained` is when everything was last explained: a symbol that joins later begins there.
    """

    began: int
    totals: dict[str, Decimal]
    explained: int
    trades: dict[str, Window] = field(default_factory=dict)
    transfers: Window = field(default_factory=lambda: Window(0))

    def window(self, symbol: str) -> Window:
        """What is counted of a symbol's trades."""
        found = self.trades.get(symbol)
        if found is None:
            found = self.trades[symbol] = Window(self.explained)
        return found

    def count(self, trades: Iterable[TradeReport]) -> list[TradeReport]:
        """Follow these trades of any symbols; those that were new."""
        fresh = [trade for trade in trades if self.window(trade.symbol).add(trade.id, trade.ts)]
        for trade in fresh:
            self._move(effect_of(trade))
        return fresh

    def count_transfers(self, transfers: Iterable[TransferReport]) -> list[TransferReport]:
        """Follow these deposits and withdrawals; those that were new."""
        fresh = [transfer for transfer in transfers if self.transfers.add(entry_of(transfer), transfer.ts)]
        for transfer in fresh:
            self._move({transfer.currency: transfer.amount})
        return fresh

    def restate(self, totals: Totals, at: int) -> None:
        """Begin anew from these totals; whatever has been counted is part of them."""
        self.began = self.explained = at
        self.totals = {currency: total for currency, total in totals.items() if total}

    def settle(self, at: int, overlap_ms: int, quiet_ms: int, transfer_ms: int) -> None:
        """Everything was explained at this time."""
        self.explained = at
        for window in self.trades.values():
            window.roll(overlap_ms, quiet_ms, at)
        self.transfers.roll(transfer_ms, transfer_ms, at)

    def _move(self, amounts: Totals) -> None:
        with localcontext(prec=_DIGITS):
            for currency, amount in amounts.items():
                total = self.totals.get(currency, ZERO) + amount
                if total:
                    self.totals[currency] = total
                else:
                    self.totals.pop(currency, None)


def differences(held: Totals, expected: Totals, tolerance: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """What is held beyond what is expected (negative: what lacks), where that is more than the currency's tolerance."""
    with localcontext(prec=_DIGITS):
        found = {
            currency: held.get(currency, ZERO) - expected.get(currency, ZERO)
            for currency in sorted(held.keys() | expected.keys())
        }
        return {currency: amount for currency, amount in found.items() if abs(amount) > tolerance.get(currency, ZERO)}


@dataclass(slots=True)
class Looks:
    """Looks at the same balances, one after another: what they agree on, and what they do not."""

    confirmed: dict[str, Decimal] = field(default_factory=dict)
    restless: dict[str, Decimal] = field(default_factory=dict)
    taken: int = 0

    def look(self, found: Mapping[str, Decimal]) -> None:
        """One more look found these differences: the very same as the look before confirms, anything else needs another."""
        seen = {**self.restless, **self.confirmed}
        self.confirmed = {currency: amount for currency, amount in found.items() if seen.get(currency) == amount}
        self.restless = {currency: amount for currency, amount in found.items() if currency not in self.confirmed}
        self.taken += 1

    @property
    def settled(self) -> bool:
        """Whether no further look is needed."""
        return self.taken > 0 and not self.restless


def plain(amount: Decimal) -> str:
    """An amount in digits, without trailing zeros."""
    with localcontext(prec=_DIGITS):
        return format(amount.normalize(), "f")


def sentence(currency: str, amount: Decimal, transfers_listed: bool) -> str:
    """A difference in words."""
    more = "more" if amount > ZERO else "less"
    if transfers_listed:
        return f"{currency}: {plain(abs(amount))} {more} than orders and transfers explain"
    kind = "deposit" if amount > ZERO else "withdrawal"
    return f"{currency}: {plain(abs(amount))} {more} than orders explain; perhaps a {kind}, of which this venue has no list"
