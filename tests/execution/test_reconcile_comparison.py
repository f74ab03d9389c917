"""The laws of comparison: whatever is listed explains what is held, and whatever is not is found."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.market import Side
from bot.core.orders import Leg, client_order_id
from execution.account import TradeReport, TransferReport
from execution.comparison import Ledger, Looks, Owner, Window, differences, effect_of, owner_of, sentence

CURRENCIES = ("BTC", "ETH", "USDT", "BNB")
SYMBOLS = ("BTC/USDT", "ETH/USDT", "ETH/BTC")
T0 = 1_000_000
NONE: dict[str, Decimal] = {}

amounts = st.decimals("0.00000001", "1000000", places=8)
prices = st.decimals("0.00000001", "10000000", places=8)
fees = st.decimals("-10", "10", places=12)


@st.composite
def trades(draw: st.DrawFn) -> TradeReport:
    """A trade of whomever: the ledger does not ask."""
    side, symbol = draw(st.sampled_from(Side)), draw(st.sampled_from(SYMBOLS))
    fee_currency = draw(st.sampled_from(CURRENCIES))
    return TradeReport("", "", symbol, side, draw(amounts), draw(prices), draw(fees), fee_currency, 0)


transfers = st.builds(
    TransferReport, st.just(""), st.sampled_from(CURRENCIES), st.decimals("-1000", "1000", places=18), st.just(0)
)
events = st.lists(trades() | transfers, max_size=30)


@dataclass(slots=True)
class Venue:
    """Keeps balances as fractions, which never round; each event gets an id and a time of its own."""

    held: dict[str, Fraction]
    trades: list[TradeReport]
    transfers: list[TransferReport]
    now: int = T0

    def happen(self, event: TradeReport | TransferReport) -> None:
        self.now += 1_000
        if isinstance(event, TransferReport):
            self.transfers.append(replace(event, id=f"m{self.now}", ts=self.now))
            self._take(event.currency, event.amount)
            return
        self.trades.append(replace(event, id=f"t{self.now}", ts=self.now))
        base, quote = event.symbol.split("/")
        cost = Fraction(event.amount) * Fraction(event.price)
        bought = event.side is Side.BUY
        self._take(base, event.amount if bought else -event.amount)
        self.held[quote] = self.held.get(quote, Fraction(0)) + (-cost if bought else cost)
        self._take(event.fee_currency, -event.fee)

    def totals(self) -> dict[str, Decimal]:
        """Every figure has a finite number of digits; here they are, all of them."""
        scaled = {name: total * 10**40 for name, total in self.held.items()}
        assert all(total.denominator == 1 for total in scaled.values())
        return {name: Decimal((total < 0, _digits(total), -40)) for name, total in scaled.items()}

    def _take(self, currency: str, amount: Decimal) -> None:
        self.held[currency] = self.held.get(currency, Fraction(0)) + Fraction(amount)


def _digits(total: Fraction) -> tuple[int, ...]:
    return tuple(int(digit) for digit in str(abs(total.numerator)))


def a_venue() -> tuple[Venue, Ledger]:
    venue = Venue({"USDT": Fraction(10_000), "BTC": Fraction(2)}, [], [])
    ledger = Ledger(T0, {}, T0)
    ledger.restate(venue.totals(), T0)
    for symbol in SYMBOLS:
        ledger.window(symbol)
    return venue, ledger


def follow(venue: Venue, ledger: Ledger) -> None:
    """List as the venue would: from each window's beginning on, what was counted before included."""
    for symbol in SYMBOLS:
        since = ledger.window(symbol).since
        ledger.count(trade for trade in venue.trades if trade.symbol == symbol and trade.ts >= since)
    ledger.count_transfers(move for move in venue.transfers if move.ts >= ledger.transfers.since)


@given(events, st.sets(st.integers(0, 30)), st.integers(0, 5_000))
def test_any_interleaving_of_trades_and_transfers_is_explained(
    happened: list[TradeReport | TransferReport], passes: set[int], overlap: int
) -> None:
    venue, ledger = a_venue()
    for index, event in enumerate(happened):
        venue.happen(event)
        if index in passes:
            follow(venue, ledger)
            assert differences(venue.totals(), ledger.totals, NONE) == {}
            ledger.settle(venue.now, overlap, 3_000, 10_000)
    follow(venue, ledger)
    assert differences(venue.totals(), ledger.totals, NONE) == {}


@given(events, st.integers(0, 30), st.sampled_from(CURRENCIES), st.decimals("-10", "10", places=12).filter(bool))
def test_any_single_unrecorded_change_is_found(
    happened: list[TradeReport | TransferReport], when: int, currency: str, change: Decimal
) -> None:
    venue, ledger = a_venue()
    for index, event in enumerate(happened):
        if index == when:
            venue._take(currency, change)
        venue.happen(event)
    if when >= len(happened):
        venue._take(currency, change)
    follow(venue, ledger)
    assert differences(venue.totals(), ledger.totals, NONE) == {currency: change}


@given(events.filter(lambda happened: any(isinstance(one, TradeReport) for one in happened)), st.data())
def test_any_trade_that_is_not_listed_is_found(happened: list[TradeReport | TransferReport], data: st.DataObject) -> None:
    venue, ledger = a_venue()
    for event in happened:
        venue.happen(event)
    hidden = data.draw(st.sampled_from(venue.trades))
    venue.trades.remove(hidden)
    follow(venue, ledger)
    assert differences(venue.totals(), ledger.totals, NONE) == {
        currency: amount for currency, amount in sorted(effect_of(hidden).items()) if amount
    }


@given(events)
def test_counting_twice_counts_once(happened: list[TradeReport | TransferReport]) -> None:
    venue, ledger = a_venue()
    for event in happened:
        venue.happen(event)
    follow(venue, ledger)
    before = dict(ledger.totals)
    assert ledger.count(venue.trades) == []
    assert ledger.count_transfers(venue.transfers) == []
    assert ledger.totals == before


@given(st.lists(st.integers(0, 100_000), max_size=30), st.integers(0, 50_000), st.integers(0, 50_000), st.integers(0, 200_000))
def test_a_window_rolls_forward_only_and_forgets_nothing_it_still_lists(
    times: list[int], overlap: int, quiet: int, at: int
) -> None:
    window = Window(1_000)
    added = {str(index): ts for index, ts in enumerate(times) if window.add(str(index), ts)}
    window.roll(overlap, quiet, at)
    assert window.since >= 1_000
    for entry, ts in added.items():
        assert not window.add(entry, ts)


def test_a_fee_in_the_bought_currency_is_taken_from_it() -> None:
    trade = TradeReport("1", "v", "BTC/USDT", Side.BUY, Decimal("0.1"), Decimal(50_000), Decimal("0.0001"), "BTC", T0)
    assert effect_of(trade) == {"BTC": Decimal("0.0999"), "USDT": Decimal(-5_000)}
    assert effect_of(replace(trade, side=Side.SELL, fee=Decimal("-0.5"), fee_currency="USDT")) == {
        "BTC": Decimal("-0.1"),
        "USDT": Decimal("5000.5"),
    }


def test_no_figure_is_ever_rounded() -> None:
    amount, price = Decimal("123456789012.123456789012"), Decimal("987654321098.987654321098")
    ledger = Ledger(T0, {"USDT": Decimal("1E+20"), "BTC": Decimal("1E-20")}, T0)
    trade = TradeReport("1", "v", "BTC/USDT", Side.BUY, amount, price, Decimal("1E-20"), "USDT", T0)
    ledger.count([trade, replace(trade, id="2", side=Side.SELL)])
    assert ledger.totals == {"USDT": Decimal("99999999999999999999.99999999999999999998"), "BTC": Decimal("1E-20")}
    cost = Fraction(amount) * Fraction(price) + Fraction(trade.fee)
    assert Fraction(effect_of(trade)["USDT"]) == -cost


@pytest.mark.parametrize(
    ("found", "confirmed", "restless"),
    [
        ([{}], {}, {}),
        ([{"BTC": 1}], {}, {"BTC": 1}),
        ([{"BTC": 1}, {}], {}, {}),
        ([{"BTC": 1}, {"BTC": 1}], {"BTC": 1}, {}),
        ([{"BTC": 1}, {"BTC": 2}], {}, {"BTC": 2}),
        ([{"BTC": 1}, {"BTC": 2}, {"BTC": 2}], {"BTC": 2}, {}),
        ([{"BTC": 1}, {"BTC": 1, "ETH": 3}, {"BTC": 1, "ETH": 3}], {"BTC": 1, "ETH": 3}, {}),
        ([{"BTC": 1}, {"BTC": 1, "ETH": 3}, {"ETH": 4}], {}, {"ETH": 4}),
    ],
)
def test_only_what_two_looks_in_a_row_agree_on_is_confirmed(
    found: list[dict[str, int]], confirmed: dict[str, int], restless: dict[str, int]
) -> None:
    looks = Looks()
    for one in found:
        looks.look({currency: Decimal(amount) for currency, amount in one.items()})
    assert looks.confirmed == confirmed
    assert looks.restless == restless
    assert looks.settled is not bool(restless)


def test_an_id_is_ours_by_the_whole_of_its_prefix() -> None:
    def made(prefix: str) -> str:
        return client_order_id(prefix, "main", "bot", "cause", Leg.ENTRY, 0)

    sisters = ("arba", "b")
    assert owner_of(made("arb"), "arb", sisters) is Owner.OURS
    assert owner_of(made("arba"), "arb", sisters) is Owner.SISTER  # "arb" begins it, the longer prefix wins
    assert owner_of(made("b"), "arb", sisters) is Owner.SISTER
    assert owner_of(made("arbiter"), "arbiter", ()) is Owner.OURS  # an id holds four letters of a prefix
    for strange in (None, "", "arb", made(""), made("zz"), made("arb")[:-1], made("arb") + "0", made("arb").upper()):
        assert owner_of(strange, "arb", sisters) is Owner.FOREIGN


def test_sentences_give_plain_figures() -> None:
    assert sentence("BTC", Decimal("1E-8"), transfers_listed=True) == ("BTC: 0.00000001 more than orders and transfers explain")
    assert sentence("USDT", Decimal("-1.2E+3"), transfers_listed=False) == (
        "USDT: 1200 less than orders explain; perhaps a withdrawal, of which this venue has no list"
    )
