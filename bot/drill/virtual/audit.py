"""The auditor: the venue's own ledger against the rows on the disk, with arithmetic of its own and nothing of the bot's.

Nothing lost: every order of the bot at the venue was meant, and every trade of it is in the books. Nothing doubled: no order is
twice at the venue, no trade twice in the books. And all sums agree to the last digit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal

from bot.core.facts import EquitySampled, FillBooked, PositionChanged
from bot.core.orders import OrderState
from bot.drill.virtual.journal import Disk
from bot.drill.virtual.process import PREFIX, Setting
from bot.drill.virtual.venue import VirtualVenue
from simulators.exchange.orders import Fill, Status, VenueOrder

_ZERO = Decimal(0)
_SAME = {
    Status.NEW: OrderState.OPEN,
    Status.PARTIALLY_FILLED: OrderState.OPEN,
    Status.FILLED: OrderState.FILLED,
    Status.CANCELED: OrderState.CANCELLED,
    Status.EXPIRED: OrderState.EXPIRED,
    Status.REJECTED: OrderState.REJECTED,
}
_NEVER_LIVED = frozenset({OrderState.REJECTED, OrderState.CANCELLED})


@dataclass(frozen=True, slots=True)
class Audit:
    """The venue and the disk after a run, and how the books began."""

    venue: VirtualVenue
    disk: Disk
    setting: Setting

    def findings(self) -> list[str]:
        """Everything that is not as it must be, in words."""
        return [*self._venue_whole(), *self._orders(), *self._fills(), *self._sums()]

    def _ours(self) -> list[VenueOrder]:
        return self.venue.orders_of(PREFIX)

    def _venue_whole(self) -> Iterator[str]:
        """All balances, fees and what the market holds are what was transferred, or the drill itself is wrong."""
        account, accounts = self.venue.account, self.venue.engine.accounts
        held: dict[str, Decimal] = {asset: balance.total for asset, balance in account.balances.items()}
        for side in (accounts.fees, accounts.house):
            for asset, amount in side.items():
                held[asset] = held.get(asset, _ZERO) + amount
        for transfer in account.transfers:
            held[transfer.asset] = held.get(transfer.asset, _ZERO) - transfer.amount
        for asset, amount in held.items():
            if amount:
                yield f"the venue's books are not whole: {amount} {asset}"

    def _orders(self) -> Iterator[str]:
        """Each order at the venue was meant once; each that was meant has the end that the venue says."""
        meant = Counter(intent.request.id for intent in self.disk.intents())
        ours = self._ours()
        at_venue = {order.client_id: order for order in ours}
        for client_id, times in Counter(order.client_id for order in ours).items():
            if times > 1:
                yield f"order {client_id} is at the venue {times} times"
            if client_id not in meant:
                yield f"order {client_id} is at the venue and was never meant"
        for client_id, times in meant.items():
            if times > 1:
                yield f"order {client_id} was meant {times} times"
            state, order = self.disk.orders[client_id][1].state, at_venue.get(client_id)
            if order is None and state not in _NEVER_LIVED:
                yield f"order {client_id} never was at the venue, and the books say {state}"
            elif order is not None and state is not _SAME[order.status]:
                yield f"order {client_id} is {order.status} at the venue, and the books say {state}"
        for client_id, (_, fact) in self.disk.orders.items():
            # Without an intent on the disk nothing was sent, and that is what the books must come to.
            if client_id not in meant and fact.state not in _NEVER_LIVED:
                yield f"order {client_id} is {fact.state} in the books and was never meant"

    def _fills(self) -> Iterator[str]:
        """Each trade of ours is booked once, and is the same."""
        names = {order.id: order.client_id for order in self._ours()}
        traded = {(fill.symbol, str(fill.id)): fill for order in self._ours() for fill in order.fills}
        booked = [fact for fact in self.disk.facts() if isinstance(fact, FillBooked)]
        for key, times in Counter((fact.fill.symbol, fact.fill.id) for fact in booked).items():
            if times > 1:
                yield f"trade {key[1]} of {key[0]} is booked {times} times"
        rows = {(fact.fill.symbol, fact.fill.id): fact for fact in booked}
        for key, fill in traded.items():
            row = rows.pop(key, None)
            if row is None:
                yield f"trade {key[1]} of {key[0]} ({fill.side} {fill.amount} at {fill.price}) is not booked"
            elif told(fill, names[fill.order_id]) != booked_as(row):
                yield f"trade {key[1]} of {key[0]} is {told(fill, names[fill.order_id])}, booked as {booked_as(row)}"
        for key in rows:
            yield f"trade {key[1]} of {key[0]} is booked and never was"

    def _sums(self) -> Iterator[str]:
        """Positions and cash, from the venue's fills alone."""
        positions: dict[str, Decimal] = {}
        cash = self.setting.balance
        for fill in (fill for order in self._ours() for fill in order.fills):
            base, _, quote = fill.symbol.partition("/")
            positions[fill.symbol] = positions.get(fill.symbol, _ZERO) + fill.side.sign * fill.amount
            cash -= fill.side.sign * fill.cost
            if fill.fee_asset == base:
                positions[fill.symbol] -= fill.fee
            elif fill.fee_asset == quote:
                cash -= fill.fee
        if self.setting.owns:
            # The first one is what the account began with.
            cash += sum((transfer.amount for transfer in self.venue.account.transfers[1:] if transfer.asset == "USDT"), _ZERO)
        told_positions = {fact.symbol: fact.amount for fact in self._newest(PositionChanged)}
        for symbol in sorted(positions.keys() | told_positions.keys()):
            is_, says = positions.get(symbol, _ZERO), told_positions.get(symbol, _ZERO)
            if is_ != says:
                yield f"the position of {symbol} is {is_}, and the books say {says}"
        samples = [fact for fact in self.disk.facts() if isinstance(fact, EquitySampled)]
        if samples and samples[-1].cash != cash:
            yield f"the cash is {cash}, and the books say {samples[-1].cash}"

    def _newest(self, kind: type[PositionChanged]) -> Iterable[PositionChanged]:
        newest: dict[str, PositionChanged] = {}
        for fact in self.disk.facts():
            if isinstance(fact, kind):
                newest[fact.symbol] = fact
        return newest.values()


def told(fill: Fill, client_id: str) -> str:
    """A trade as the venue has it."""
    return f"{client_id} {fill.side} {fill.amount} at {fill.price}, fee {fill.fee.normalize()} {fill.fee_asset}"


def booked_as(fact: FillBooked) -> str:
    """A trade as the books have it."""
    fill = fact.fill
    return f"{fill.order_id} {fill.side} {fill.amount} at {fill.price}, fee {fill.fee.normalize()} {fill.fee_currency}"
