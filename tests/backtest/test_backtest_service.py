"""A backtest as a user asks for it: files and YAML in, a result out, and a clear line where that cannot be."""

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from bot.backtest.lookahead import Happened, LookaheadReport, check_lookahead, scrambled_after
from bot.backtest.result import BacktestResult
from bot.market.recorded import RecordedDataError, RecordedMarket, RecordedSeries
from bot.services.backtesting import backtest
from bot.services.recorded_data import instrument_of, read_market
from bot.settings import ConfigError, load
from bot.settings.run import BacktestOptions, FillModel
from tests.backtest.candle_data import BEGIN, BTC, ETH, Fills, market_of, walk, write_csv

CROSS = "source: rules:{name}\nkind: sma-cross\ntimeframe: {timeframe}\nparams: {{fast: 5, slow: 12, rsi: 4}}\n"
MINUTE = 60_000


def add(directory: Path, name: str, timeframe: str = "5m", more: str = "") -> None:
    (directory / "sources" / f"{name}.yaml").write_text(CROSS.format(name=name, timeframe=timeframe) + more)


def ran(directory: Path, *data: Path, **options: object) -> BacktestResult:
    told: list[tuple[int, int]] = []
    given = BacktestOptions(data, directory, **options)  # type: ignore[arg-type]
    found = backtest(given, load(directory), lambda done, total: told.append((done, total)))
    assert isinstance(found, BacktestResult)
    assert told[-1] == (found.bars, found.bars)
    return found


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "made.csv", walk(BTC), walk(ETH, seed=4, price=1_500.0))


def test_every_enabled_source_runs_on_every_symbol_of_the_data(configured: Path, data: Path) -> None:
    add(configured, "fast")
    add(configured, "large", "15m")
    add(configured, "off", more="enabled: false\n")
    found = ran(configured, data)
    assert [source.name for source in found.sources] == ["rules:fast", "rules:large"]
    assert (found.symbols, found.timeframe, found.bars) == ((BTC, ETH), "5m", 4_000)
    assert sum(found.pnl.values()) == pytest.approx(found.statistics.equity_end - 10_000)
    assert sum(source.decisions for source in found.sources) == sum(sum(source.fates.values()) for source in found.sources)
    assert found.statistics.fees == pytest.approx(float(sum(fact.fee_value for fact in found.fills)))


def test_the_result_is_plain_json(configured: Path, data: Path) -> None:
    add(configured, "fast")
    shown = json.loads(json.dumps(ran(configured, data).as_json(), allow_nan=False))
    wanted = "trades total_return cagr sharpe sortino calmar max_drawdown profit_factor win_rate exposure fees pnl shadow_pnl"
    assert not set(wanted.split()) - set(shown)
    assert len(shown["trade_list"]) == shown["trades"]
    assert len(shown["daily_equity"]) == 7


def test_a_period_and_symbols_can_be_chosen(configured: Path, data: Path) -> None:
    add(configured, "fast")
    start = BEGIN + 86_400_000
    found = ran(configured, data, symbols=("ETHUSDT",), start=start, end=start + 86_400_000)
    assert (found.symbols, found.start, found.bars) == ((ETH,), start, 288)


def test_fills_happen_where_they_are_asked_to(configured: Path, data: Path) -> None:
    add(configured, "fast")
    nexts, sames = ran(configured, data), ran(configured, data, fill=FillModel.SAME_CLOSE)
    assert nexts.fills[0].fill.evidence.rpartition(" ")[0].endswith("open")
    assert sames.fills[0].fill.evidence.rpartition(" ")[0].endswith("close")


def test_a_source_that_needs_finer_candles_is_left_out_and_named(configured: Path, data: Path) -> None:
    add(configured, "fast")
    add(configured, "fine", "1m")
    found = ran(configured, data)
    assert [source.name for source in found.sources] == ["rules:fast"]
    assert "rules:fine (1m)" in found.notices[0]
    assert "--timeframe 5m" in found.notices[0]


def test_no_source_left_is_an_error_that_names_file_key_value_and_remedy(configured: Path, data: Path) -> None:
    add(configured, "fine", "1m")
    with pytest.raises(ConfigError, match=r"fine\.yaml: timeframe = 1m: .*5m candles.*--timeframe 5m"):
        ran(configured, data)
    assert ran(configured, data, timeframe="15m").sources[0].timeframe == "15m"
    with pytest.raises(ConfigError, match="--timeframe = 7m"):
        ran(configured, data, timeframe="7m")


def test_sources_can_be_named(configured: Path, data: Path) -> None:
    add(configured, "fast")
    add(configured, "off", more="enabled: false\n")
    assert [source.name for source in ran(configured, data, sources=("rules:off",)).sources] == ["rules:off"]
    with pytest.raises(ConfigError, match=r"rules:none.*rules:fast"):
        ran(configured, data, sources=("rules:none",))


def test_a_symbol_in_another_currency_is_refused(configured: Path, tmp_path: Path) -> None:
    add(configured, "fast")
    with pytest.raises(ConfigError, match=r"paper\.currency.*ETH/BTC"):
        ran(configured, write_csv(tmp_path / "cross.csv", walk("ETH/BTC", 100)))


def test_recorded_decisions_of_any_tier_take_part_on_time(configured: Path, data: Path) -> None:
    add(configured, "fast")
    lines = [
        {"offset_ms": 600_001 + n * 3_600_000, "source": "quantconnect:said", "tier": "quantconnect", "symbol": BTC,
         "action": action, "confidence": 0.9, "horizon": "30m"}
        for n, action in enumerate(["buy", "sell"] * 10)
    ]  # fmt: skip
    (configured / "sources" / "said.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (configured / "sources" / "said.yaml").write_text("source: quantconnect:said\nkind: recorded\nparams: {file: said.jsonl}\n")
    found = ran(configured, data)
    said = next(source for source in found.sources if source.name == "quantconnect:said")
    assert (said.tier, said.decisions) == ("quantconnect", 20)
    assert said.executed >= 10
    assert set(said.fates) <= {"executed", "already-at-target", "nothing-to-sell"}
    assert found.fills[0].fill.ts == BEGIN + 600_001


def test_two_files_are_one_market_and_a_symbol_may_be_in_one_only(configured: Path, tmp_path: Path) -> None:
    add(configured, "fast")
    one, two = write_csv(tmp_path / "one.csv", walk(BTC, 300)), write_csv(tmp_path / "two.csv", walk(ETH, 300, seed=4))
    assert ran(configured, one, two).symbols == (BTC, ETH)
    with pytest.raises(RecordedDataError, match="earlier file"):
        read_market((one, one))
    with pytest.raises(RecordedDataError, match="one timeframe"):
        read_market((one, write_csv(tmp_path / "hours.csv", walk(ETH, 300, "1h"))))


@pytest.mark.parametrize(
    ("price", "price_step", "amount_step"),
    [
        (30_000.5, "0.1", "0.00001"),
        (1_500.25, "0.01", "0.0001"),
        (80.0, "1", "0.01"),
        (0.5123, "0.0001", "1"),
        (1.2e-5, "0.000001", "1"),
    ],
)
def test_steps_follow_from_prices(price: float, price_step: str, amount_step: str) -> None:
    flat = np.full(3, price)
    series = RecordedSeries(BTC, "1m", np.arange(3, dtype=np.int64), flat, flat, flat, flat, flat)
    found = instrument_of(series, load(None, environ={}).settings.paper)
    assert (found.price_step, found.amount_step) == (Decimal(price_step), Decimal(amount_step))
    assert found.taker_fee == Decimal("0.001")


def checked(configured: Path, data: Path) -> LookaheadReport:
    found = backtest(BacktestOptions((data,), configured, lookahead_check=True), load(configured), lambda done, total: None)
    assert isinstance(found, LookaheadReport)
    return found


def test_honest_sources_pass_the_look_ahead_check(configured: Path, data: Path) -> None:
    add(configured, "fast")
    add(configured, "large", "15m")
    found = checked(configured, data)
    assert found.passed
    assert len(found.moments) == 10
    assert found.compared > 100


def test_a_scrambled_future_leaves_the_past_alone_and_nothing_else() -> None:
    market = market_of(walk(bars=100))
    moment = BEGIN + 40 * 5 * MINUTE
    series, other = market.series[BTC], scrambled_after(market, moment, np.random.default_rng(1)).series[BTC]
    assert np.array_equal(series.close[:40], other.close[:40])
    assert not np.any(series.close[40:] == other.close[40:])
    assert np.array_equal(series.ts, other.ts)
    assert all(candle.fault() is None for candle in market_of(other).candles())


CHEAT = '''
"""A rule that leaves word for the next run of what it saw: the future of the first run is known to the second."""

from bot.core.decision import Action
from sources.base import Proposal, Rule


class Cheat(Rule):
    remembered: dict = {}

    def __init__(self, params):
        self.params = params
        self.last = None

    def step(self, candle, view):
        self.remembered[candle.ts] = candle.close
        ahead = self.remembered.get(candle.ts + 300_000)
        if ahead is None:
            return None
        return Proposal(Action.BUY if ahead > candle.close else Action.SELL, 0.9)
'''


def test_a_rule_that_knows_tomorrow_is_caught(configured: Path, data: Path) -> None:
    (configured / "sources" / "cheat.py").write_text(CHEAT)
    (configured / "sources" / "cheat.yaml").write_text("source: rules:cheat\npath: cheat.py\nclass: Cheat\ntimeframe: 5m\n")
    found = checked(configured, data)
    assert not found.passed
    assert found.difference is not None
    assert "rules:cheat" in (found.difference.found or "") + (found.difference.expected or "")


def test_signals_computed_over_the_whole_data_are_caught_at_the_first_that_leaks() -> None:
    def peeking(market: RecordedMarket, until: int) -> list[Happened]:
        """Says each bar whether it lies above the mean of all bars, later ones too."""
        series = market.series[BTC]
        closes = series.ts + 5 * MINUTE
        above = series.close > series.close.mean()
        return [Happened(int(at), str(high)) for at, high in zip(closes, above, strict=True) if at <= until]

    found = check_lookahead(market_of(walk(bars=500)), peeking, seed=1)
    assert not found.passed
    assert found.difference is not None
    assert found.difference.at <= found.difference.moment
    assert {found.difference.expected, found.difference.found} == {"True", "False"}


def command(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bot", *map(str, words)], capture_output=True, text=True, timeout=60, check=False
    )


def test_the_command_prints_a_table_or_json_and_says_by_its_code_what_was_found(configured: Path, data: Path) -> None:
    add(configured, "fast")
    shown = command("backtest", "--data", data, "--config", configured)
    assert shown.returncode == 0, shown.stderr
    assert "Sharpe" in shown.stdout
    assert "rules:fast" in shown.stdout
    asked = command("backtest", "--data", data, "--config", configured, "--json", "--from", "2023-01-02")
    assert json.loads(asked.stdout)["start"] == BEGIN + 86_400_000
    (configured / "sources" / "fast.yaml").unlink()
    add(configured, "fine", "1m")
    refused = command("backtest", "--data", data, "--config", configured)
    assert (refused.returncode, refused.stderr.count("\n"), refused.stdout) == (4, 1, "")
    (configured / "sources" / "cheat.py").write_text(CHEAT)
    (configured / "sources" / "fine.yaml").write_text("source: rules:cheat\npath: cheat.py\nclass: Cheat\ntimeframe: 5m\n")
    caught = command("backtest", "--data", data, "--config", configured, "--lookahead-check")
    assert caught.returncode == 1, caught.stderr
    assert "LOOK-AHEAD" in caught.stdout


def test_two_backtests_are_the_same(configured: Path, data: Path) -> None:
    add(configured, "fast")
    assert Fills(ran(configured, data).fills).fingerprint() == Fills(ran(configured, data).fills).fingerprint()
