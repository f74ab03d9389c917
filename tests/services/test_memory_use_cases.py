"""What people ask the memory: it answers as of a moment, and makes nothing where nothing is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest

from bot.outlets.local_feed import LINE_LIMIT
from bot.runtime.jobs import Progress
from bot.services.memory.learning import told
from bot.services.memory.opening import HELD, memory_of
from bot.services.memory.use_cases import USE_CASES
from bot.services.use_case import Ground, UseCaseError, use_case
from research.memory.evidence import BacktestEvidence, Evidence, TradeEvidence
from research.memory.store import InMemoryStore
from tests.factories import BTC, ETH, RULE
from tests.services.memory_life import DAY, NOW, T0, a_backtest, a_ground

NAMES = ["subjects", "lessons", "confidence", "parameters", "history", "recommendations"]
HERE = {"symbol": BTC, "strategy": RULE, "timeframe": "1h"}


def trades(number: int, profit: float = 0.01) -> list[TradeEvidence]:
    """One a day until now, every third lost."""
    return [
        TradeEvidence(
            **HERE,
            known_at=NOW - day * DAY,
            opened=NOW - day * DAY - 1,
            closed=NOW - day * DAY,
            profit=profit if day % 3 else -profit / 2,
            reference=str(day),
        )
        for day in range(number)
    ]


def sweep() -> list[BacktestEvidence]:
    return [
        a_backtest(parameters={"fast": fast, "slow": 20}, reference=f"sweep {fast}", sharpe=1 + fast / 10) for fast in range(1, 6)
    ]


async def ask(ground: Ground, name: str, **args: object) -> Any:
    case = use_case(f"memory.{name}")
    told: list[Progress] = []
    found = await case.run(ground, case.read(args), told.append)
    return json.loads(orjson.dumps(found))  # plain JSON, as the feed would carry it


async def knowing(place: Path, evidence: list[Evidence], **settings: Any) -> Ground:
    ground = a_ground(place, **settings)
    async with ground.closing:
        await (await memory_of(ground)).remember(evidence)
    return a_ground(place, **settings)


def test_every_use_case_is_quick_and_says_what_it_does() -> None:
    assert [case.name for case in USE_CASES] == [f"memory.{name}" for name in (*NAMES, "learn")]
    assert all(case.quick and case.about.endswith(".") for case in USE_CASES)


async def test_each_answers_about_a_subject(tmp_path: Path) -> None:
    ground = await knowing(tmp_path, [*trades(40), *sweep()])
    async with ground.closing:
        [subject] = (await ask(ground, "subjects"))["subjects"]
        assert {name: subject[name] for name in HERE} == HERE
        [believed] = (await ask(ground, "confidence", **HERE))["confidence"]
        assert believed["confidence"] == subject["confidence"] > 0.5
        assert believed["proven"] is True
        assert 1.0 < believed["factor"] <= 1.25
        told = (await ask(ground, "lessons", limit=2))["lessons"]
        assert [lesson["known_at"] for lesson in told] == [NOW, NOW]
        assert all(lesson["insights"] and lesson["recommendations"]["overall"] for lesson in told)
        [row] = (await ask(ground, "parameters"))["parameters"]
        assert row["recommended"]["parameters"]["slow"] == 20
        advice = (await ask(ground, "recommendations"))["recommendations"]
        assert [one["origin"] for one in advice] == ["trades", "backtest"]
        assert {one["risk"] for one in advice} <= {"LOW", "MEDIUM", "HIGH"}


@pytest.mark.parametrize("name", NAMES)
async def test_nothing_learnt_later_is_seen(tmp_path: Path, name: str) -> None:
    at = NOW - 20 * DAY
    early = [each for each in trades(40) if each.known_at <= at]
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    knowing_all = await knowing(tmp_path / "a", [*trades(40), *sweep()])
    innocent = await knowing(tmp_path / "b", [*early])
    async with knowing_all.closing, innocent.closing:
        assert await ask(knowing_all, name, as_of=at) == await ask(innocent, name, as_of=at)


async def test_a_history_shows_how_belief_grew(tmp_path: Path) -> None:
    ground = await knowing(tmp_path, [*trades(40)])
    async with ground.closing:
        [row] = (await ask(ground, "history", since=NOW - 50 * DAY, points=51))["history"]
        points = row["points"]
        assert [point["at"] for point in points] == [NOW - 50 * DAY + day * DAY for day in range(51)]
        assert [point["confidence"] for point in points[:11]] == [None] * 11
        assert [point["trades"] for point in points[11:]] == list(range(1, 41))
        assert all(point["confidence"] <= 0.5 for point in points if point["trades"] < 30 and point["confidence"] is not None)
        assert points[-1]["confidence"] > 0.5


async def test_a_history_longer_than_a_look_up_sees_what_each_look_up_would_have_seen(tmp_path: Path) -> None:
    ground = await knowing(tmp_path, [*trades(40)], window=10)
    async with ground.closing:
        [row] = (await ask(ground, "history", since=NOW - 39 * DAY, points=40))["history"]
        for point in row["points"][::8]:
            [then] = (await ask(ground, "confidence", as_of=point["at"]))["confidence"]
            assert (point["confidence"], point["trades"]) == (then["confidence"], then["trades"])
        assert row["points"][-1]["trades"] == 10


async def test_a_history_of_too_much_or_of_nothing_is_refused(tmp_path: Path) -> None:
    ground = await knowing(tmp_path, [a_backtest(), a_backtest(symbol=ETH)])
    async with ground.closing:
        with pytest.raises(UseCaseError, match="ask for 250"):
            await ask(ground, "history", points=251)
        with pytest.raises(UseCaseError, match="since"):
            await ask(ground, "history", since=NOW)


async def test_parts_of_a_subject_narrow_and_a_simulated_strategy_is_found_by_its_name(tmp_path: Path) -> None:
    given: list[Evidence] = [
        a_backtest(),
        a_backtest(symbol=ETH),
        a_backtest(timeframe="4h"),
        a_backtest(strategy=f"simulated/{RULE}"),
    ]
    ground = await knowing(tmp_path, given)
    async with ground.closing:
        for args, number in (
            ({}, 4),
            ({"symbol": ETH}, 1),
            ({"timeframe": "1h"}, 3),
            ({"strategy": RULE}, 4),
            ({"symbol": "X"}, 0),
        ):
            assert len((await ask(ground, "subjects", **args))["subjects"]) == number
        found = await ask(ground, "subjects", strategy=f"simulated/{RULE}")
        assert [one["strategy"] for one in found["subjects"]] == [f"simulated/{RULE}"]


@pytest.mark.parametrize("name", NAMES)
async def test_where_nothing_was_remembered_nothing_is_made_and_the_line_says_what_to_do(tmp_path: Path, name: str) -> None:
    ground = a_ground(tmp_path)
    async with ground.closing:
        with pytest.raises(UseCaseError, match="nothing was remembered yet: trade, or run a backtest with --analyse"):
            await ask(ground, name)
    assert not (tmp_path / "data").exists()


async def test_a_journal_without_a_memory_is_left_as_it_is(tmp_path: Path) -> None:
    from bot.journal.upgrade import upgrade
    from tests.journal.journal_databases import rows

    ground = a_ground(tmp_path)
    url = ground.loaded.settings.database_url
    upgrade(url)
    before = rows(url, "SELECT name FROM sqlite_master ORDER BY name")
    async with ground.closing:
        with pytest.raises(UseCaseError, match="nothing was remembered yet"):
            await ask(ground, "subjects")
    assert rows(url, "SELECT name FROM sqlite_master ORDER BY name") == before


async def test_what_a_running_bot_has_open_is_asked(tmp_path: Path) -> None:
    ground = a_ground(tmp_path)
    store = InMemoryStore()
    await store.remember([a_backtest(known_at=T0 + 731 * DAY)])
    ground.held[HELD] = store
    assert len((await ask(ground, "subjects"))["subjects"]) == 1


async def test_what_a_command_ran_is_learnt_by_whoever_keeps_the_memory(tmp_path: Path) -> None:
    ground = a_ground(tmp_path)
    async with ground.closing:
        [args] = told([a_backtest(parameters={"fast": 3}, trades=3, returns=(0.1, -0.1, 0.2))])
        found = await ask(ground, "learn", **args)
        assert (found["kept"], found["lessons"][0]["figures"]["trades"]) == (True, 3)
        assert (await ask(ground, "lessons", **HERE))["lessons"] == found["lessons"]


async def test_what_is_no_backtest_teaches_nothing(tmp_path: Path) -> None:
    ground = a_ground(tmp_path)
    async with ground.closing:
        with pytest.raises(UseCaseError, match="win_rate: 2 must be a finite number"):
            await ask(ground, "learn", backtests=[{**next(told([a_backtest()]))["backtests"][0], "win_rate": 2}])  # type: ignore[index]
        with pytest.raises(UseCaseError, match="no evidence of a backtest"):
            await ask(ground, "learn", backtests=[*next(told([a_backtest()]))["backtests"], {"symbol": BTC}])  # type: ignore[misc]
    assert not (tmp_path / "data").exists()


def test_a_backtest_of_very_many_trades_fits_into_a_message_to_the_bot() -> None:
    many = a_backtest(trades=9_000, returns=tuple(1 / (number + 3) for number in range(9_000)))
    some = a_backtest(trades=2_000, returns=tuple(1 / (number + 3) for number in range(2_000)))
    sizes = [len(orjson.dumps({"use_case": "memory.learn", "args": args})) for args in told([many, some])]
    assert max(sizes) < 60_000 < LINE_LIMIT


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("learn", {"backtests": []}),
        ("lessons", {"limit": 0}),
        ("history", {"points": 1}),
        ("subjects", {"as_of": -1}),
        ("subjects", {"x": 1}),
    ],
)
def test_wrong_arguments_are_one_line(name: str, args: dict[str, object]) -> None:
    with pytest.raises(UseCaseError, match=next(iter(args))):
        use_case(f"memory.{name}").read(args)
