"""History through ccxt over real sockets: all of it, once, final candles only; faults are waited out and gaps are told."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from bot.market.ccxt_venue import UnknownSymbol, VenueConfig
from bot.market.recorded import RecordedMarket
from bot.services import candle_files
from bot.services.candle_files import CandleFileError
from bot.services.fetching import FetchError, FetchOptions, FetchReport, VenueGaveUp, fetch
from simulators.exchange.faults import Status
from simulators.exchange.server import ExchangeSimulator
from tests.services.history_door import Door, Rows

BTC, ETH = "BTC/USDT", "ETH/USDT"
MINUTE = 60_000


@dataclass
class Told:
    """What the watcher was told, and what was slept instead of slept through."""

    looked: dict[str, int] = field(default_factory=dict)
    wanted: dict[str, int] = field(default_factory=dict)
    waits: list[tuple[float, str]] = field(default_factory=list)
    stop_after: int | None = None

    def began(self, symbol: str, candles: int) -> None:
        self.wanted[symbol], self.looked[symbol] = candles, 0

    def advanced(self, symbol: str, candles: int) -> None:
        self.looked[symbol] += candles
        if self.stop_after is not None and self.looked[symbol] >= self.stop_after:
            raise KeyboardInterrupt

    def waited(self, seconds: float, why: str) -> None:
        self.waits.append((seconds, why))

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


def config_of(venue: ExchangeSimulator, door: Door | None = None) -> VenueConfig:
    config: dict[str, Any] = {**venue.ccxt_config(), "enableRateLimit": False, "timeout": 3_000}
    if door is not None:
        config = json.loads(json.dumps(config).replace(venue.url, door.url))
    return VenueConfig("binance", config, clock_samples=1)


@dataclass
class Fetcher:
    venue: ExchangeSimulator
    door: Door
    out: Path
    told: Told = field(default_factory=Told)
    origin: int = 0

    def __post_init__(self) -> None:
        self.origin = self.venue.venue.now() // MINUTE * MINUTE

    def ago(self, minutes: int) -> int:
        """So many minutes before the test began, whole minutes; the clock goes on meanwhile."""
        return self.origin - minutes * MINUTE

    async def __call__(
        self, start: int = 120, end: int = 20, symbols: tuple[str, ...] = (BTC,), timeframe: str = "1m", out: Path | None = None
    ) -> FetchReport:
        """Fetch from so many minutes ago to so many."""
        options = FetchOptions(
            symbols, timeframe, self.ago(start), self.ago(end), out or self.out
        )  # fmt: skip
        return await fetch(config_of(self.venue, self.door), options, self.told, sleep=self.told.sleep)


@pytest.fixture
def fetcher(venue: ExchangeSimulator, door: Door, tmp_path: Path) -> Fetcher:
    return Fetcher(venue, door, tmp_path / "candles")


def read(report: FetchReport, place: int = 0) -> pl.DataFrame:
    path = report.files[place].path
    assert path is not None
    return pl.read_parquet(path)


async def test_what_was_fetched_is_what_the_backtest_reads(fetcher: Fetcher) -> None:
    report = await fetcher(symbols=(BTC, ETH))
    assert [file.symbol for file in report.files] == [BTC, ETH]
    for file in report.files:
        assert file.path == fetcher.out / "binance" / f"{file.symbol.replace('/', '-')}-1m.parquet"
        assert (file.candles, file.fetched, file.gaps) == (100, 100, [])
        market = RecordedMarket.read(file.path)
        assert market.feeds == ((file.symbol, "1m"),)
        assert market.span == (fetcher.ago(120), fetcher.ago(20))
    bars = fetcher.venue.venue.bars(BTC, MINUTE, 100, fetcher.ago(120))
    assert read(report)["close"].to_list() == pytest.approx([bar.close for bar in bars])
    assert fetcher.told.looked == fetcher.told.wanted == {BTC: 100, ETH: 100}


async def test_a_candle_that_has_not_ended_is_not_kept(fetcher: Fetcher) -> None:
    report = await fetcher(start=10, end=-60)
    assert 9 <= report.files[0].candles <= 11
    assert report.files[0].gaps == []
    assert max(read(report)["ts"].to_list()) < fetcher.venue.venue.now() - MINUTE
    with pytest.raises(FetchError, match="has not ended yet"):
        await fetcher(start=-5, end=-60, out=fetcher.out / "other")


async def test_what_is_there_is_not_fetched_again_and_a_file_stays_one_span(fetcher: Fetcher, door: Door) -> None:
    await fetcher(start=100, end=80)
    first = len(door.asked)
    again = await fetcher(start=100, end=80)
    assert len(door.asked) == first
    assert (again.files[0].candles, again.files[0].fetched) == (20, 0)
    earlier = await fetcher(start=110, end=90)
    assert (earlier.files[0].candles, earlier.files[0].fetched) == (30, 10)
    apart = await fetcher(start=60, end=50)
    assert (apart.files[0].candles, apart.files[0].gaps) == (60, []), "what lies between was fetched too"
    assert read(apart)["ts"].to_list() == [fetcher.ago(110) + MINUTE * number for number in range(60)]


async def test_an_interrupted_fetch_goes_on_and_ends_the_same(
    fetcher: Fetcher, door: Door, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(candle_files, "PIECE", 20)
    fetcher.told.stop_after = 40
    with pytest.raises(KeyboardInterrupt):
        await fetcher()
    asked, fetcher.told.stop_after = len(door.asked), None
    resumed = await fetcher()
    assert resumed.files[0].pieces_kept >= 2
    assert min(int(query["startTime"]) for query in door.asked[asked:]) >= fetcher.ago(120) + 20 * MINUTE
    whole = await fetcher(out=tmp_path / "uninterrupted")
    assert read(resumed).equals(read(whole))
    ours, theirs = resumed.files[0].path, whole.files[0].path
    assert ours is not None
    assert theirs is not None
    assert ours.read_bytes() == theirs.read_bytes()
    assert [path.name for path in ours.parent.iterdir()] == [ours.name], "nothing is left beside it"


async def test_limits_are_waited_out_as_long_as_the_venue_says(fetcher: Fetcher) -> None:
    fetcher.venue.inject(Status(429, "/api/v3/klines", count=2, retry_after=7))
    report = await fetcher()
    assert report.files[0].candles == 100
    assert fetcher.told.waits == [(7.0, "the venue's limit is reached")] * 2
    assert report.seconds_waited == 14.0


async def test_lost_answers_are_asked_for_again_and_patience_ends(fetcher: Fetcher) -> None:
    fetcher.venue.inject(Status(502, "/api/v3/klines", count=3))
    assert (await fetcher()).files[0].candles == 100
    assert [why for _, why in fetcher.told.waits] == ["no answer (ExchangeNotAvailable)"] * 3
    fetcher.venue.inject(Status(502, "/api/v3/klines", count=100))
    with pytest.raises(VenueGaveUp, match=r"6 times in a row: .* run the same command again"):
        await fetcher(symbols=(ETH,))


async def test_a_hole_is_asked_for_again_before_it_is_believed(fetcher: Fetcher, door: Door) -> None:
    lost = {fetcher.ago(100) + number * MINUTE for number in range(5)}
    left = iter([True])

    def lose_once(rows: Rows) -> Rows:
        return [row for row in rows if row[0] not in lost] if next(left, False) else rows

    door.change = lose_once
    report = await fetcher()
    assert (report.files[0].candles, report.files[0].gaps) == (100, [])
    assert len(door.asked) == 2


async def test_gaps_are_told_where_they_are_and_do_not_stop_the_fetch(fetcher: Fetcher, door: Door) -> None:
    first = fetcher.ago(100)
    lost = {first, first + MINUTE, fetcher.ago(120)}
    door.change = lambda rows: [row for row in rows if row[0] not in lost]
    report = await fetcher()
    file = report.files[0]
    assert (file.candles, file.missing) == (97, 3)
    assert [(gap.first, gap.last, gap.count) for gap in file.gaps] == [
        (fetcher.ago(120), fetcher.ago(120), 1),
        (first, first + MINUTE, 2),
    ]
    shown = report.as_json()
    assert json.loads(json.dumps(shown))["missing"] == 3


async def test_duplicates_and_impossible_candles_are_dropped_and_counted(fetcher: Fetcher, door: Door) -> None:
    spoiled = fetcher.ago(90)

    def spoil(rows: Rows) -> Rows:
        wrong = [[*row[:2], "1", *row[3:]] if row[0] == spoiled else row for row in rows]  # a high below the open
        return [*wrong, *wrong[:3]]

    door.change = spoil
    file = (await fetcher()).files[0]
    assert file.candles == 99
    assert file.duplicates >= 3
    assert file.refused >= 1
    assert [gap.first for gap in file.gaps] == [spoiled]


async def test_a_venue_without_such_candles_leaves_no_file(fetcher: Fetcher, door: Door) -> None:
    door.change = lambda rows: []
    report = await fetcher()
    assert not report.passed
    assert report.files[0].path is None
    assert report.files[0].missing == 100
    assert list((fetcher.out / "binance").iterdir()) == []


async def test_history_that_begins_late_is_a_gap_at_the_start(fetcher: Fetcher) -> None:
    report = await fetcher(start=200)
    file = report.files[0]
    assert len(file.gaps) == 1
    assert file.gaps[0].first == fetcher.ago(200)
    assert file.candles + file.missing == 180


async def test_what_cannot_be_is_refused_with_its_remedy(fetcher: Fetcher) -> None:
    with pytest.raises(FetchError, match="no '7m' candles: choose one of 1s, 1m"):
        await fetcher(timeframe="7m")
    with pytest.raises(UnknownSymbol, match="did you mean BTC/USDT"):
        await fetcher(symbols=("BTC/USTD",))
    foreign = fetcher.out / "binance" / "BTC-USDT-1m.parquet"
    foreign.parent.mkdir(parents=True)
    pl.DataFrame({"a": [1]}).write_parquet(foreign)
    with pytest.raises(CandleFileError, match="was not written by `data fetch`"):
        await fetcher()


async def test_two_fetches_of_one_file_do_not_meet(fetcher: Fetcher) -> None:
    file = candle_files.CandleFile(fetcher.out, "binance", BTC, "1m")
    with file.held(), pytest.raises(CandleFileError, match="another fetch is writing"):
        await fetcher()


async def test_a_venue_that_pages_by_windows_newest_first_gives_the_same_history(fetcher: Fetcher, tmp_path: Path) -> None:
    ours = await fetcher()
    okx = VenueConfig("okx", {**fetcher.venue.okx_config(), "enableRateLimit": False, "has": {"fetchCurrencies": False}})
    options = FetchOptions((BTC,), "1m", fetcher.ago(120), fetcher.ago(20), tmp_path / "okx")
    theirs = await fetch(okx, options, fetcher.told, sleep=fetcher.told.sleep)
    assert theirs.files[0].path == tmp_path / "okx" / "okx" / "BTC-USDT-1m.parquet"
    assert read(theirs).equals(read(ours))
