"""What the nautilus_trader scripts share: a venue, an instrument and an engine.

The engine is set up as its own examples do: it logs errors only. Its closing analysis is part of a run, as the statistics of
backtesting.py are.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig  # type: ignore[import-not-found, unused-ignore]
from nautilus_trader.config import LoggingConfig  # type: ignore[import-not-found, unused-ignore]
from nautilus_trader.model.currencies import BTC, USDT  # type: ignore[import-not-found, unused-ignore]
from nautilus_trader.model.enums import AccountType, OmsType  # type: ignore[import-not-found, unused-ignore]
from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue  # type: ignore[import-not-found, unused-ignore]
from nautilus_trader.model.instruments import CurrencyPair  # type: ignore[import-not-found, unused-ignore]
from nautilus_trader.model.objects import Money, Price, Quantity  # type: ignore[import-not-found, unused-ignore]

FEE = Decimal("0.001")


def pair() -> Any:
    return CurrencyPair(
        instrument_id=InstrumentId.from_str("BTCUSDT.SIM"),
        raw_symbol=Symbol("BTCUSDT"),
        base_currency=BTC,
        quote_currency=USDT,
        price_precision=2,
        size_precision=3,
        price_increment=Price.from_str("0.01"),
        size_increment=Quantity.from_str("0.001"),
        ts_event=0,
        ts_init=0,
        maker_fee=FEE,
        taker_fee=FEE,
    )


def engine(instrument: Any, events: list[Any]) -> Any:
    made = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(log_level="ERROR")))
    made.add_venue(
        venue=Venue("SIM"),
        oms_type=OmsType.NETTING,
        account_type=AccountType.CASH,
        starting_balances=[Money(1_000_000, USDT), Money(0, BTC)],
    )
    made.add_instrument(instrument)
    made.add_data(events)
    return made
