"""Reading a file of candles: every way in which it can be wrong has one clear line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

_PRICES = ("open", "high", "low", "close")
_NUMBERS = (*_PRICES, "volume")
_COLUMNS = ("symbol", "ts", *_NUMBERS)
# Milliseconds of the years 1990 and 2100: a number outside is in another unit.
_EARLIEST, _LATEST = 631_152_000_000, 4_102_444_800_000


class RecordedDataError(ValueError):
    """A recorded market file cannot be used; the message names the file, row, column and remedy."""


def read_frame(
    path: Path,
    *,
    wanted: Callable[[Sequence[str]], dict[str, str]],
    start: int | None,
    end: int | None,
) -> dict[str, pl.DataFrame]:
    """Read, validate and split a file by its symbols, in the order `wanted` gives.

    Each frame has `ts` (int64 ms UTC, strictly rising), five float64 columns, and `row` (1 is the first row after the header).
    """
    import polars as pl  # noqa: PLC0415 - heavy, and not needed for --help

    table = _with_columns(path, _load(path)).with_row_index("row", offset=1)
    table = table.with_columns(_milliseconds(path, table), pl.col("row").cast(pl.Int64), *_floats(path, table))
    available = table["symbol"].unique(maintain_order=True).to_list()
    if None in available:
        _fail(path, table, pl.col("symbol").is_null(), "symbol", "is empty", "name the symbol in every row")
    try:
        chosen = wanted(available)
    except LookupError as error:
        message = f"{path}, column symbol: {error.args[0]}"
        raise RecordedDataError(message) from None
    if set(chosen.values()) != set(available):
        table = table.filter(pl.col("symbol").is_in(list(chosen.values())))
    _validate(path, table)
    if start is not None:
        table = table.filter(pl.col("ts") >= start)
    if end is not None:
        table = table.filter(pl.col("ts") < end)
    if table.is_empty():
        message = f"{path}: no candle of {', '.join(chosen) or 'any symbol'} in the chosen range: widen --from/--to"
        raise RecordedDataError(message)
    parts = {str(key[0]): part for key, part in table.partition_by("symbol", as_dict=True).items()}
    return {name: parts[name] for name in chosen.values() if name in parts}


def _load(path: Path) -> pl.DataFrame:
    import polars as pl  # noqa: PLC0415 - heavy, and not needed for --help

    if not path.is_file():
        message = f"{path}: there is no such file: give a Parquet or CSV file with columns {', '.join(_COLUMNS)}"
        raise RecordedDataError(message)
    try:
        if path.suffix == ".parquet":
            return pl.read_parquet(path)
        if path.suffix == ".csv":
            return pl.read_csv(path, try_parse_dates=True, infer_schema_length=None)
    except (pl.exceptions.PolarsError, OSError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        message = f"{path}: cannot be read as {path.suffix[1:]} ({first}): write it again as Parquet or CSV"
        raise RecordedDataError(message) from error
    message = f"{path}: {path.suffix or 'no suffix'} is not understood: name the file .parquet or .csv"
    raise RecordedDataError(message)


def _with_columns(path: Path, table: pl.DataFrame) -> pl.DataFrame:
    missing = [name for name in _COLUMNS if name not in table.columns]
    if missing:
        message = (
            f"{path}: column {missing[0]} is missing (it has {', '.join(table.columns)}): "
            f"the columns must be {', '.join(_COLUMNS)}"
        )
        raise RecordedDataError(message)
    return table.select(_COLUMNS)


def _milliseconds(path: Path, table: pl.DataFrame) -> pl.Expr:
    """The column `ts` as int64 milliseconds UTC."""
    import polars as pl  # noqa: PLC0415 - heavy, and not needed for --help

    kind = table.schema["ts"]
    if isinstance(kind, pl.Datetime):
        ts = pl.col("ts").dt.epoch("ms")
    elif kind == pl.Date:
        ts = pl.col("ts").cast(pl.Datetime("ms")).dt.epoch("ms")
    elif kind.is_integer():
        ts = pl.col("ts").cast(pl.Int64)
    else:
        message = f"{path}, column ts: {kind} is neither whole milliseconds UTC nor a datetime: write one of those"
        raise RecordedDataError(message)
    _fail(path, table, pl.col("ts").is_null(), "ts", "is empty", "give every candle its start")
    outside = ~ts.is_between(_EARLIEST, _LATEST)
    _fail(path, table, outside, "ts", "is not a time in milliseconds UTC", "convert it to milliseconds")
    return ts.alias("ts")


def _floats(path: Path, table: pl.DataFrame) -> list[pl.Expr]:
    import polars as pl  # noqa: PLC0415 - heavy, and not needed for --help

    for name in _NUMBERS:
        if not table.schema[name].is_numeric():
            unreadable = pl.col(name).cast(pl.String).cast(pl.Float64, strict=False).is_null()
            _fail(path, table, unreadable, name, "is not a number", "correct or remove the row")
    return [pl.col(name).cast(pl.String if table.schema[name] == pl.String else pl.Float64).cast(pl.Float64) for name in _NUMBERS]


def _validate(path: Path, table: pl.DataFrame) -> None:
    """Every number finite and possible, every candle consistent, every symbol strictly rising in time."""
    import polars as pl  # noqa: PLC0415 - heavy, and not needed for --help

    for name in _NUMBERS:
        column = pl.col(name)
        _fail(path, table, column.is_null() | ~column.is_finite(), name, "is not a finite number", "correct or remove the row")
    for name in _PRICES:
        _fail(path, table, pl.col(name) <= 0, name, "is not a positive price", "correct or remove the row")
    _fail(path, table, pl.col("volume") < 0, "volume", "is negative", "correct or remove the row")
    low, high = pl.min_horizontal("open", "close"), pl.max_horizontal("open", "close")
    _fail(path, table, pl.col("high") < high, "high", "is below open or close", "correct or remove the row")
    _fail(path, table, pl.col("low") > low, "low", "is above open or close", "correct or remove the row")
    step = pl.col("ts").diff().over("symbol")
    _fail(path, table, step == 0, "ts", "repeats the candle before it", "remove the duplicate row")
    _fail(path, table, step < 0, "ts", "is earlier than the candle before it", "sort the file by symbol and ts")


def _fail(path: Path, table: pl.DataFrame, bad: pl.Expr, column: str, fault: str, remedy: str) -> None:
    """Raise for the first row where `bad` holds."""
    rows = table.lazy().filter(bad).head(1).collect()
    if not rows.is_empty():
        row = rows.row(0, named=True)
        message = f"{path}, row {row['row']}, column {column}: {row[column]!r} of {row['symbol']} {fault}: {remedy}"
        raise RecordedDataError(message)
