"""A backtest teaches what its sources did, under names that their live trades have too."""

from __future__ import annotations

import json
import sqlite3
import stat
from pathlib import Path

import pytest

from bot.backtest.result import BacktestResult
from bot.journal.queries import Queries
from bot.journal.upgrade import upgrade
from bot.market.recorded import RecordedMarket
from bot.services.backtesting import Plan, plan_for, run_backtest
from bot.services.memory.backtests import analyse_backtest, remember_backtest
from bot.services.memory.opening import memory_of
from bot.services.memory.subjects import strategy_of, subject_for, subject_of, timeframe_of
from bot.services.memory.trades import trades_of
from bot.services.use_case import UseCaseError
from bot.settings import load
from bot.settings.run import BacktestOptions
from research.memory.evidence import Subject
from research.memory.files import LESSONS_FILE
from research.memory.lessons import Origin, Rating
from sources.loading import load_source
from tests.backtest.candle_data import ETH, market_of, walk
from tests.factories import BTC, RULE
from tests.services.memory_life import NOW, SUBJECT, a_backtest, a_ground, a_rule, configured


def ran(place: Path, market: RecordedMarket, *names: str) -> tuple[BacktestResult, Plan]:
    config = configured(place)
    for name in names:
        a_rule(config / "sources", name, "5m", params="{fast: 5, slow: 12, rsi: 4}")
    options, loaded = BacktestOptions((Path("made.csv"),), config), load(config, environ={})
    plan = plan_for(market, options, loaded)
    return run_backtest(plan, market, options, loaded.settings, lambda done, total: None), plan


def test_a_source_alone_has_the_figures_of_the_run(tmp_path: Path) -> None:
    result, plan = ran(tmp_path, market_of(walk(BTC)), "sma-cross")
    [found] = analyse_backtest(result, NOW, plan.sources)
    assert found.subject == Subject(BTC, RULE, "5m")
    assert (found.known_at, found.began, found.until) == (NOW, result.start, result.end)
    assert (found.sharpe, found.max_drawdown, found.total_return) == (
        result.statistics.sharpe,
        result.statistics.max_drawdown,
        result.statistics.total_return,
    )
    assert found.trades == len(found.returns) == len(trades_of(result.trades)) > 20
    assert {"fast": 5, "slow": 12}.items() <= found.parameters.items()


def test_sources_that_share_a_book_are_judged_by_their_own_trades(tmp_path: Path) -> None:
    result, plan = ran(tmp_path, market_of(walk(BTC), walk(ETH, seed=4, price=1_500.0)), "sma-cross", "other")
    found = analyse_backtest(result, NOW, plan.sources)
    assert [each.subject for each in found] == [Subject(s, name, "5m") for name in ("rules:other", RULE) for s in (BTC, ETH)]
    assert sum(each.trades for each in found) == len(trades_of(result.trades))
    assert all(each.sharpe != result.statistics.sharpe for each in found)


def test_a_source_that_never_traded_is_told_so(tmp_path: Path) -> None:
    result, plan = ran(tmp_path, market_of(walk(BTC, bars=5)), "sma-cross")
    [found] = analyse_backtest(result, NOW, plan.sources)
    assert (found.trades, found.returns, found.win_rate) == (0, (), None)


def test_the_same_run_analysed_twice_is_the_same_evidence(tmp_path: Path) -> None:
    result, plan = ran(tmp_path, market_of(walk(BTC)), "sma-cross")
    assert analyse_backtest(result, NOW, plan.sources)[0].id == analyse_backtest(result, NOW, plan.sources)[0].id


async def test_a_local_run_is_remembered_with_the_parameters_of_its_source(tmp_path: Path) -> None:
    result, plan = ran(tmp_path, market_of(walk(BTC)), "sma-cross")
    ground = a_ground(tmp_path)
    async with ground.closing:
        [evidence] = analyse_backtest(result, ground.now(), plan.sources)
        lesson = await remember_backtest(ground, evidence)
        store = await memory_of(ground)
        assert list(await store.lessons(Subject(BTC, RULE, "5m"), NOW)) == [lesson]
        assert lesson.figures.trades == len(trades_of(result.trades))
    with sqlite3.connect(tmp_path / "data" / "arbiter.db") as database:
        [(body,)] = database.execute("SELECT body FROM memory_evidence").fetchall()
    database.close()
    assert json.loads(body)["parameters"]["slow"] == 12


async def test_what_is_remembered_is_a_lesson_in_the_database_and_on_a_page(tmp_path: Path) -> None:
    ground = a_ground(tmp_path)
    async with ground.closing:
        lesson = await remember_backtest(ground, a_backtest())
        again = await remember_backtest(ground, a_backtest())
        assert (lesson.subject, lesson.origin, lesson.rating) == (SUBJECT, Origin.BACKTEST, Rating.EXCELLENT)
        assert again == lesson
        store = await memory_of(ground)
        assert list(await store.lessons(SUBJECT, NOW)) == [lesson]
        assert await store.lessons(SUBJECT, NOW - 1) == []
    page = tmp_path / "data" / "mem" / LESSONS_FILE
    assert "EXCELLENT" in page.read_text()
    assert stat.S_IMODE(page.stat().st_mode) == 0o600


async def test_remembering_before_the_first_run_leaves_a_journal_that_a_run_can_open(tmp_path: Path) -> None:
    ground = a_ground(tmp_path)
    async with ground.closing:
        await remember_backtest(ground, a_backtest())
    upgrade(ground.loaded.settings.database_url)
    with Queries(ground.loaded.settings.database_url) as journal:
        assert journal.runs() == []


async def test_a_memory_that_is_off_says_its_lesson_and_keeps_nothing(tmp_path: Path) -> None:
    ground = a_ground(tmp_path, enabled=False)
    async with ground.closing:
        lesson = await remember_backtest(ground, a_backtest())
    assert lesson.rating is Rating.EXCELLENT
    assert not (tmp_path / "data").exists()


async def test_files_that_are_off_are_not_written(tmp_path: Path) -> None:
    ground = a_ground(tmp_path, files=False)
    async with ground.closing:
        await remember_backtest(ground, a_backtest())
    assert not (tmp_path / "data" / "mem").exists()


async def test_a_simulated_world_teaches_nothing_about_the_real_one(tmp_path: Path) -> None:
    ground = a_ground(tmp_path, simulated=True)
    async with ground.closing:
        lesson = await remember_backtest(ground, a_backtest())
        store = await memory_of(ground)
        assert lesson.subject == Subject(BTC, f"simulated/{RULE}", "1h") == subject_of(RULE, BTC, "1h", simulated=True)
        assert await store.confidence(SUBJECT, NOW) is None
        assert await store.confidence(lesson.subject, NOW) is not None


async def test_a_memory_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    ground = a_ground(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "arbiter.db").write_bytes(b"this is no database" * 100)
    async with ground.closing:
        with pytest.raises(UseCaseError, match="database"):
            await remember_backtest(ground, a_backtest())


def test_the_backtests_of_a_rule_and_the_trades_of_its_source_meet(tmp_path: Path) -> None:
    mine = a_rule(tmp_path, "mine", "4h", symbols="[ETH/USDT]")
    assert strategy_of("sma-cross", ETH, "4h", [mine]) == "rules:mine"
    assert strategy_of("sma-cross", BTC, "4h", [mine]) == RULE
    assert strategy_of("sma-cross", ETH, "1h", [mine]) == RULE
    assert strategy_of("sma-cross", ETH, "4h", [mine, a_rule(tmp_path, "too", "4h")]) == RULE
    assert strategy_of("my-lean", BTC, "1h", [mine]) == "quantconnect:my-lean"
    assert strategy_of("rules:mine", BTC, "1h") == "rules:mine"


def test_a_source_without_candles_has_a_timeframe_only_if_its_yaml_names_one(tmp_path: Path) -> None:
    line = {"source": "llm:claude", "tier": "llm", "symbol": BTC, "action": "buy", "confidence": 0.7, "horizon": "1h"}
    (tmp_path / "r.jsonl").write_text(json.dumps(line | {"offset_ms": 1}))
    (tmp_path / "r.yaml").write_text("source: llm:claude\nkind: recorded\nparams: {file: r.jsonl}\n")
    assert timeframe_of(load_source(tmp_path / "r.yaml")) == "-"
    assert timeframe_of(load_source(tmp_path / "r.yaml", {"*": {"timeframe": "4h"}})) == "4h"
    assert timeframe_of(a_rule(tmp_path, timeframe="4h")) == "4h"


def test_a_cloud_backtest_is_named_by_the_configuration(tmp_path: Path) -> None:
    ground = a_ground(tmp_path)
    a_rule(tmp_path / "config" / "sources", "mine", "4h")
    assert subject_for(ground, "sma-cross", BTC, "4h") == Subject(BTC, "rules:mine", "4h")
    (tmp_path / "config" / "sources" / "broken.yaml").write_text("source: [")
    assert subject_for(ground, "sma-cross", BTC, "4h") == Subject(BTC, RULE, "4h")
