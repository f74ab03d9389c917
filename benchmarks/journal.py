"""The journal on SQLite: rows of telemetry a second, and how long an intent takes to be durable (synchronous FULL)."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import statistics
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from decimal import Decimal
from pathlib import Path
from time import perf_counter

from benchmarks.made import START, SYMBOL
from benchmarks.peering import Peers
from benchmarks.report import Effort, Goal, Result, percentile, spread_of
from benchmarks.rig import run_loop
from bot.core.decision import Tier
from bot.core.facts import PositionChanged
from bot.core.market import Side
from bot.core.orders import Leg, OrderRequest, OrderType
from bot.journal.journal import Journal, JournalLimits
from bot.journal.rows import rows_by_table
from bot.journal.run import BookKey, RunStart
from bot.journal.writer import Watch

_ROWS = 50_000
_INTENTS = 500
_BATCH = 1_000
_BARE = "bare sqlite3"
_GAP = 0.002


def journal(effort: Effort, peers: Peers) -> list[Result]:
    """Telemetry rows a second beside bare batch inserts of the same rows; p50 and p99 of durable intents, one at a time."""
    del peers
    count, intents = effort.size(_ROWS, 500), effort.size(_INTENTS, 20)
    rates = [count / run_loop(_telemetry(count)) for _ in range(effort.runs)]
    bare = statistics.median(count / _bare(count) for _ in range(effort.runs))
    goals = (Goal(least=20_000), Goal(least=0.15, of=_BARE))
    rows = Result("journal-rows", statistics.median(rates), "rows/s", goals, {_BARE: bare}, len(rates), spread_of(rates))
    runs = [run_loop(_durable(intents)) for _ in range(effort.runs)]
    results = [rows]
    for share, most in ((50, 1.0), (99, 5.0)):
        figures = [percentile(run, share / 100) * 1_000 for run in runs]
        median = statistics.median(figures)
        results.append(Result(f"journal-intent-p{share}", median, "ms", (Goal(most=most),), {}, len(runs), spread_of(figures)))
    return results


@asynccontextmanager
async def _open() -> AsyncIterator[Journal]:
    folder = Path(tempfile.mkdtemp(prefix="arbiter-bench-"))
    url = f"sqlite:///{folder / 'arbiter.db'}"
    opened = await asyncio.to_thread(Journal.open, url, folder, JournalLimits(record_inputs=False))
    book = BookKey("bench", "paper", "bench", "simulated")
    opened.begin(RunStart("bench", book, START, True, {}, "bench"), Watch(_complain, lambda: None))
    try:
        yield opened
    finally:
        await opened.close(START, timeout=10.0)
        shutil.rmtree(folder, ignore_errors=True)


def _complain(trouble: object) -> None:
    message = f"the journal has trouble: {trouble}"
    raise RuntimeError(message)


def _facts(count: int) -> list[PositionChanged]:
    amount, price = Decimal("0.5"), Decimal("101.25")
    return [
        PositionChanged(START + number, SYMBOL, amount, price, 101.3, Decimal("1.5"), 0.25, "rules:bench")
        for number in range(count)
    ]


async def _telemetry(count: int) -> float:
    """Seconds from the first fact to all of them in the database; the loop gets its turn every hundred, as in the bot."""
    facts = _facts(count)
    async with _open() as opened:
        began = perf_counter()
        for number, fact in enumerate(facts):
            opened.append(fact)
            if not number % 100:
                await asyncio.sleep(0)
        await opened.flush(60.0)
        return perf_counter() - began


def _bare(count: int) -> float:
    """Seconds of plain `executemany` in batches, of rows that are ready, into a table without index."""
    ready = [row for _, group, to_row in rows_by_table(_facts(count)) for row in map(to_row, group)]
    columns = list(ready[0])
    rows = [tuple(row[name] for name in columns) for row in ready]
    folder = Path(tempfile.mkdtemp(prefix="arbiter-bench-"))
    try:
        with closing(sqlite3.connect(folder / "bare.db", isolation_level=None)) as database:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("PRAGMA synchronous=FULL")
            database.execute(f"CREATE TABLE rows ({', '.join(columns)})")
            insert = f"INSERT INTO rows VALUES ({', '.join('?' * len(columns))})"
            began = perf_counter()
            for first in range(0, count, _BATCH):
                database.execute("BEGIN")
                database.executemany(insert, rows[first : first + _BATCH])
                database.execute("COMMIT")
            return perf_counter() - began
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _durable(count: int) -> list[float]:
    """Seconds from `store` to its answer in the loop, for intents that come one by one."""
    took: list[float] = []
    async with _open() as opened:
        for number in range(count):
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

            def stored(error: Exception | None, done: asyncio.Future[None] = done) -> None:
                done.set_exception(error) if error is not None else done.set_result(None)

            began = perf_counter()
            opened.store(_request(number), START + number, stored)
            await done
            took.append(perf_counter() - began)
            await asyncio.sleep(_GAP)
    return took


def _request(number: int) -> OrderRequest:
    return OrderRequest(
        f"arbbench{number:012d}",
        SYMBOL,
        Side.BUY,
        OrderType.MARKET,
        Decimal("0.5"),
        Leg.ENTRY,
        f"decision-{number}",
        number,
        "rules:bench",
        Tier.TRADITIONAL,
        0.7,
        101.25,
        START + number,
        decision_id=f"decision-{number}",
    )
