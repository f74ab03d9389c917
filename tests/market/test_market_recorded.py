"""A recorded market is trusted whole or refused with the file, row, column and remedy."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from bot.market.recorded import RecordedDataError, RecordedMarket, unified_symbol

T0 = 1_700_000_100_000
MINUTE = 60_000
NUMBERS = ("open", "high", "low", "close", "volume")


def rows(symbol: str, count: int, start: int = T0, step: int = MINUTE, price: float = 100.0) -> list[dict[str, object]]:
    return [
        {
            "symbol": symbol,
            "ts": start + n * step,
            "open": price + n,
            "high": price + n + 2,
            "low": price + n - 2,
            "close": price + n + 1,
            "volume": 1.5,
        }
        for n in range(count)
    ]


def write(path: Path, table: list[dict[str, object]]) -> Path:
    frame = pl.DataFrame(table, infer_schema_length=None)
    if path.suffix == ".csv":
        frame.write_csv(path)
    else:
        frame.write_parquet(path)
    return path


@pytest.mark.parametrize("name", ["market.parquet", "market.csv"])
def test_both_formats_give_the_same_closed_candles(tmp_path: Path, name: str) -> None:
    market = RecordedMarket.read(write(tmp_path / name, rows("BTC/USDT", 3)))
    candles = list(market)
    assert market.feeds == (("BTC/USDT", "1m"),)
    assert [candle.ts for candle in candles] == [T0, T0 + MINUTE, T0 + 2 * MINUTE]
    assert all(candle.at == candle.end and candle.fault() is None for candle in candles)
    assert (candles[1].open, candles[1].high, candles[1].low, candles[1].close, candles[1].volume) == (101, 103, 99, 102, 1.5)
    assert type(candles[0].ts) is int
    assert type(candles[0].open) is float
    assert market.span == (T0, T0 + 3 * MINUTE)


@pytest.mark.parametrize("name", ["market.parquet", "market.csv"])
def test_datetimes_are_read_as_utc(tmp_path: Path, name: str) -> None:
    table = rows("BTC/USDT", 3)
    for row in table:
        row["ts"] = datetime.fromtimestamp(int(str(row["ts"])) / 1000, UTC)
    assert next(iter(RecordedMarket.read(write(tmp_path / name, table)))).ts == T0


def test_symbols_and_timeframes_merge_in_the_order_in_which_candles_close(tmp_path: Path) -> None:
    table = rows("ETH/USDT", 10) + rows("BTC/USDT", 2, start=T0, step=5 * MINUTE)
    market = RecordedMarket.read(write(tmp_path / "m.parquet", table), symbols=["BTC/USDT", "ETH/USDT"])
    merged = [(candle.at, candle.symbol) for candle in market]
    assert [at for at, _ in merged] == sorted(at for at, _ in merged)
    assert [symbol for at, symbol in merged if at == T0 + 5 * MINUTE] == ["BTC/USDT", "ETH/USDT"]
    assert market.feeds == (("BTC/USDT", "5m"), ("ETH/USDT", "1m"))
    assert len(market) == 12


def test_a_range_keeps_what_begins_inside_it(tmp_path: Path) -> None:
    path = write(tmp_path / "m.parquet", rows("BTC/USDT", 10))
    market = RecordedMarket.read(path, start=T0 + MINUTE, end=T0 + 3 * MINUTE)
    assert [candle.ts for candle in market] == [T0 + MINUTE, T0 + 2 * MINUTE]
    with pytest.raises(RecordedDataError, match="widen --from/--to"):
        RecordedMarket.read(path, start=T0 + 100 * MINUTE)


def test_symbols_are_found_by_either_spelling(tmp_path: Path) -> None:
    path = write(tmp_path / "m.parquet", rows("BTCUSDT", 3) + rows("ETHBTC", 3))
    assert RecordedMarket.read(path).symbols == ("BTCUSDT", "ETHBTC")
    assert RecordedMarket.read(path, symbols=["ETH/BTC"], rename=unified_symbol).symbols == ("ETH/BTC",)
    assert RecordedMarket.read(path, symbols=["ETHBTC", "BTCUSDT"], rename=unified_symbol).symbols == ("ETH/BTC", "BTC/USDT")
    with pytest.raises(RecordedDataError, match=r"XRP/USDT.*not in the file, which has BTCUSDT, ETHBTC"):
        RecordedMarket.read(path, symbols=["XRP/USDT"], rename=unified_symbol)


@pytest.mark.parametrize(
    ("written", "unified"),
    [
        ("BTCUSDT", "BTC/USDT"),
        ("btc-usdc", "BTC/USDC"),
        ("ETH_BTC", "ETH/BTC"),
        ("BTC/USDT", "BTC/USDT"),
        ("BNBFDUSD", "BNB/FDUSD"),
        ("USDT", "USDT"),
        ("whatever", "whatever"),
    ],
)
def test_well_known_quotes_are_recognised(written: str, unified: str) -> None:
    assert unified_symbol(written) == unified


def test_holes_are_reported_and_no_error(tmp_path: Path) -> None:
    table = rows("BTC/USDT", 10)
    del table[3:6]
    (gap,) = RecordedMarket.read(write(tmp_path / "m.parquet", table)).gaps()
    assert (gap.first, gap.last, gap.count) == (T0 + 3 * MINUTE, T0 + 5 * MINUTE, 3)


def broken(change: dict[str, object], index: int = 3) -> list[dict[str, object]]:
    table = rows("BTC/USDT", 6)
    table[index] = table[index] | change
    return table


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        (broken({"close": float("nan")}), r"row 4, column close: nan of BTC/USDT is not a finite number"),
        (broken({"volume": float("inf")}), r"row 4, column volume: inf .* is not a finite number"),
        (broken({"open": None}), r"row 4, column open: None .* is not a finite number"),
        (broken({"low": -1.0}), r"row 4, column low: -1.0 .* is not a positive price"),
        (broken({"volume": -1.0}), r"row 4, column volume: -1.0 .* is negative"),
        (broken({"high": 50.0}), r"row 4, column high: 50.0 .* is below open or close"),
        (broken({"low": 500.0}), r"row 4, column low: 500.0 .* is above open or close"),
        (broken({"ts": T0 + 2 * MINUTE}), r"row 4, column ts: .* repeats the candle before it: remove the duplicate row"),
        (broken({"ts": T0}), r"row 4, column ts: .* is earlier than the candle before it: sort the file"),
        (broken({"ts": T0 + 3 * MINUTE + 7}, 3), r"column ts"),
        (broken({"ts": None}), r"row 4, column ts: None .* is empty"),
        (broken({"ts": T0 // 1000}), r"row 4, column ts: .* is not a time in milliseconds UTC"),
        (broken({"symbol": None}), r"row 4, column symbol: None"),
        ([row | {"ts": str(row["ts"]) + "x"} for row in rows("A/B", 3)], r"column ts: String is neither whole milliseconds"),
        ([{k: v for k, v in row.items() if k != "volume"} for row in rows("A/B", 3)], r"column volume is missing"),
        ([row | {"close": "abc"} for row in rows("A/B", 3)], r"row 1, column close: 'abc' of A/B is not a number"),
        (rows("A/B", 3, step=61_001), r"are 61001 ms apart, which is no known timeframe"),
        (rows("A/B", 1), r"A/B has 1 candle"),
    ],
)
def test_a_bad_file_is_refused_with_row_column_and_remedy(tmp_path: Path, table: list[dict[str, object]], complaint: str) -> None:
    path = write(tmp_path / "market.parquet", table)
    with pytest.raises(RecordedDataError, match=complaint) as caught:
        list(RecordedMarket.read(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_candle_off_the_grid_is_named(tmp_path: Path) -> None:
    table = rows("BTC/USDT", 4) + rows("BTC/USDT", 2, start=T0 + 10 * MINUTE + 7)
    with pytest.raises(RecordedDataError, match=r"row 5, column ts: .* does not fall on the 1m grid"):
        RecordedMarket.read(write(tmp_path / "m.parquet", table))


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("absent.parquet", None, "there is no such file"),
        ("broken.parquet", b"not parquet", "cannot be read as parquet"),
        ("market.txt", b"symbol,ts", "name the file .parquet or .csv"),
        ("empty.csv", b"", "cannot be read as csv"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, name: str, content: bytes | None, complaint: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RecordedDataError, match=complaint):
        RecordedMarket.read(path)
