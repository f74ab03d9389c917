"""`data fetch` as a shell sees it, killed in the middle and run again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from tests.app.worlds import a_configuration, an_exchange, switch

Cli = Callable[..., tuple[int, str, str]]
HISTORY = 11_000


@pytest.fixture
def exchange(home: Path) -> Iterator[str]:
    """An exchange with more than two pieces of history, and a configuration that points at it."""
    with an_exchange("--history", str(HISTORY), "--symbols", "BTC/USDT") as url:
        a_configuration(home / "config", url)
        yield url


def ago(seconds: int) -> str:
    return (datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=seconds)).isoformat()


def asking(start: str, end: str, *more: str) -> tuple[str, ...]:
    return (
        "data",
        "fetch",
        "--config",
        "config",
        "--symbols",
        "btc/usdt",
        "--timeframe",
        "1s",
        "--from",
        start,
        "--to",
        end,
        *more,
    )


def test_a_fetch_that_was_killed_goes_on_and_ends_the_same(exchange: str, home: Path, cli: Cli) -> None:
    start, end = ago(HISTORY - 60), ago(60)
    switch(exchange, fault="latency", delay=0.5, path="/api/v3/klines")
    command = [sys.executable, "-m", "bot", *asking(start, end, "--out", "killed")]
    with subprocess.Popen(command, cwd=home, env=os.environ.copy(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        pieces = home / "killed" / "binance" / "BTC-USDT-1s.pieces"
        deadline = time.monotonic() + 40
        while not list(pieces.glob("[0-9]*.parquet")) and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.01)
        process.kill()
        _, said = process.communicate(timeout=10)
    kept = sorted(path.name for path in pieces.glob("[0-9]*.parquet"))
    assert kept, said.decode()
    assert not pieces.with_suffix(".parquet").exists(), "it was killed before its end"
    switch(exchange, fault="latency", delay=0, path="/api/v3/klines")
    code, out, err = cli(*asking(start, end, "--out", "killed", "--json"))
    assert code == 0, err
    (file,) = json.loads(out)["files"]
    assert file["pieces_kept"] >= len(kept)
    assert (file["candles"], file["gaps"]) == (HISTORY - 120, [])
    assert "BTC/USDT: 10,880 of 10,880 (100%)" in err, "lines where there is no terminal"
    assert cli(*asking(start, end, "--out", "whole"))[0] == 0
    resumed, whole = (home / name / "binance" / "BTC-USDT-1s.parquet" for name in ("killed", "whole"))
    assert pl.read_parquet(resumed).equals(pl.read_parquet(whole))
    assert not pieces.exists()


def test_the_backtest_runs_on_what_was_fetched(exchange: str, home: Path, cli: Cli) -> None:
    code, out, err = cli(*asking(ago(900), ago(300)))
    assert code == 0, err
    path = Path("data") / "candles" / "binance" / "BTC-USDT-1s.parquet"
    assert out == f"BTC/USDT: 600 candles, 600 of them new, no gap: {path}\n"
    code, out, err = cli("backtest", "--data", str(path), "--config", "config", "--timeframe", "1s", "--json")
    assert code == 0, err
    assert json.loads(out)["bars"] == 600


def test_gaps_are_listed_and_an_empty_history_fails(exchange: str, home: Path, cli: Cli) -> None:
    code, out, _ = cli(*asking(ago(HISTORY + 100), ago(HISTORY - 100)))
    assert code == 0
    assert "missing in 1 gap" in out
    assert "  gap  " in out
    code, out, _ = cli(*asking(ago(HISTORY + 900), ago(HISTORY + 800), "--out", "none"))
    assert code == 1
    assert "has no 1s candles in that time; nothing was written" in out


def test_a_command_line_that_cannot_be_is_refused(home: Path, cli: Cli) -> None:
    for arguments, said in (
        (("--from", "2024-01-02", "--to", "2024-01-01"), "is not before"),
        (("--from", "yesterday"), "is not a date"),
    ):
        code, _, err = cli("data", "fetch", "--symbols", "BTC/USDT", "--timeframe", "1m", *arguments)
        assert code == 2
        assert said in " ".join(err.split())
    code, _, err = cli("data", "fetch", "--exchange", "binanze", "--symbols", "A/B", "--timeframe", "1m", "--from", "2024-01-01")
    assert code == 4
    assert "did you mean" in err
