"""Writes what a backtest gave into a directory: everything as JSON, trades and equity as CSV, the algorithm, and a tear sheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import numpy as np
import orjson

from bot.services.quantconnect.conversion import CloudResult, CloudTrade
from bot.services.reporting import ReportError, write_page
from bot.services.tearsheet.sheet import ClosedTrade, Mark, TearSheet, World
from bot.services.use_case import UseCaseError
from sources.quantconnect.models_trade import OrderDirection

RESULT, TRADES, EQUITY, PAGE, ALGORITHM = "result.json", "trades.csv", "equity.csv", "tear-sheet.html", "algorithm"

_TRADE_HEAD = (
    "symbol", "side", "opened", "closed", "entry", "exit", "amount", "fees", "pnl", "return", "mae", "mfe",
)  # fmt: skip
_ABOUT_CLOUD = "run at QuantConnect, by its own fills and data"


def write_result(result: CloudResult, directory: Path) -> tuple[Path, ...]:
    """The files of a result; files of these names are overwritten. `UseCaseError` where they cannot be written."""
    body = orjson.dumps(result.as_json(), option=orjson.OPT_INDENT_2) + b"\n"
    written = [
        write_file(directory, RESULT, body),
        write_file(directory, TRADES, trades_csv(result.trades).encode()),
        write_file(directory, EQUITY, equity_csv(result).encode()),
        *write_files(directory / ALGORITHM, result.files),
    ]
    sheet = sheet_of_cloud(result)
    if sheet is not None:
        try:
            written.append(write_page(sheet, directory / PAGE))
        except ReportError as error:
            raise UseCaseError(str(error)) from error
    return tuple(written)


def write_files(directory: Path, files: Mapping[str, str]) -> list[Path]:
    """Texts by name, folders in the names included; a name that leads out of the directory is refused before any is written."""
    for name in files:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.name or "\\" in name or "\0" in name:
            message = f"{name!r} is no name of a file below {directory}; rename it in the project"
            raise UseCaseError(message)
    return [write_file(directory, name, text.encode()) for name, text in files.items()]


def write_file(directory: Path, name: str, content: bytes) -> Path:
    """One file, whole or not at all."""
    path = directory / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        message = f"{path} cannot be written ({error.strerror or error}): name a directory that is yours"
        raise UseCaseError(message) from error
    return path


def trades_csv(trades: Iterable[CloudTrade]) -> str:
    """Closed trades, times in ISO 8601 UTC, money in the account's currency, `return` on the notional as a fraction."""
    rows = [
        (
            trade.symbol, trade.side, _iso(trade.opened), _iso(trade.closed), trade.entry, trade.exit, trade.amount, trade.fees,
            trade.pnl, trade.profit, trade.mae, trade.mfe,
        )
        for trade in trades
    ]  # fmt: skip
    return _csv(_TRADE_HEAD, rows)


def equity_csv(result: CloudResult) -> str:
    """The equity curve and how far it stood below its peak (a fraction)."""
    rows = zip(map(_iso, result.at), result.equity, result.drawdown, strict=True)
    return _csv(("time", "equity", "drawdown"), list(rows))


def sheet_of_cloud(result: CloudResult) -> TearSheet | None:
    """The tear sheet of a result; None where it has no figures."""
    if result.statistics is None:
        return None
    about = [("run", _ABOUT_CLOUD), ("backtest", result.reference)]
    if result.config is not None:
        about.append(("strategy", result.config.strategy.kind))
    return TearSheet(
        world=World.BACKTEST,
        title=_title(result),
        start=result.began,
        end=result.until,
        currency=result.currency,
        statistics=result.statistics,
        at=np.asarray(result.at, np.int64),
        equity=np.asarray(result.equity, np.float64),
        about=tuple(about),
        marks=_marks(result),
        trades=tuple(_closed(trade, _strategy(result)) for trade in result.trades),
        notices=result.notices,
    )


def _title(result: CloudResult) -> str:
    config = result.config
    return result.name if config is None else f"{config.strategy.kind} on {config.symbol}, {config.timeframe} candles"


def _strategy(result: CloudResult) -> str:
    return "quantconnect" if result.config is None else f"quantconnect:{result.config.strategy.kind}"


def _marks(result: CloudResult) -> tuple[Mark, ...]:
    """Every fill; one at the moment a trade closed ended it."""
    closing = {trade.closed for trade in result.trades}
    source = _strategy(result)
    return tuple(
        Mark(
            event.time,
            order.symbol.value if result.config is None else result.config.symbol,
            "sell" if event.direction is OrderDirection.SELL or event.fill_quantity < 0 else "buy",
            "exit" if event.time in closing else "entry",
            source,
            event.fill_price,
            str(abs(event.fill_quantity)),
        )
        for order in result.orders
        for event in order.events
        if event.fill_quantity and event.fill_price and event.time is not None
    )


def _closed(trade: CloudTrade, source: str) -> ClosedTrade:
    return ClosedTrade(
        trade.symbol, "buy" if trade.side == "long" else "sell", trade.opened, trade.closed, trade.entry, trade.exit,
        str(trade.amount), source, source, "exit", trade.fees, trade.pnl,
    )  # fmt: skip


def _iso(at: int) -> str:
    return datetime.fromtimestamp(at / 1_000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _csv(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Lines that a spreadsheet takes for text and numbers only: no cell begins like a formula."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(head)
    for row in rows:
        writer.writerow(["" if cell is None else _cell(cell) for cell in row])
    return out.getvalue()


def _cell(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in {"=", "+", "-", "@", "\t"} else cell
