"""Signals: what the bot decided on with its fate, and what the service holds as the bot would take it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot.core.decision import Fate, Tier
from bot.core.facts import DecisionFate, DecisionSeen
from bot.services.use_case import Ground
from simulators.quantconnect.faults import Refuse
from simulators.quantconnect.server import QuantConnectSimulator
from tests.services.qc_ground import QUICK, Clock, asked, do, project_of, standing
from tests.services.qc_journal import NOW, journaled, opinion

SOURCE = """
source: quantconnect:listening
kind: quantconnect
symbols: [BTC/USDT]
params:
  projects: [{project}]
  confidence: 0.6
  max_age: 10m
  markets: [binance]
  insights: {{enabled: true}}
"""
PATIENCE_S = 20.0


@pytest.fixture
async def simulator() -> AsyncIterator[QuantConnectSimulator]:
    async with QuantConnectSimulator(QUICK) as running:
        yield running


@pytest.fixture
async def now() -> Clock:
    return Clock(time.time_ns() // 1_000_000)


@pytest.fixture
async def ground(simulator: QuantConnectSimulator, tmp_path: Path, now: Clock) -> AsyncIterator[Ground]:
    async with standing(simulator.url, tmp_path, now) as made:
        yield made


async def running(simulator: QuantConnectSimulator, ground: Ground) -> int:
    project = project_of(simulator)
    await do(ground, "qc.deploy", project=project)
    return project


async def emitted(simulator: QuantConnectSimulator, project: int, symbol: str, direction: str = "up", tag: str = "") -> str:
    """An insight that can be read; its id."""
    row = await simulator.emit(symbol, direction, project_id=project, tag=tag)
    deployment = simulator.world.projects[project].deployments[-1]
    async with asyncio.timeout(PATIENCE_S):
        while row["id"] not in deployment.snapshot.insights:
            await asyncio.sleep(0.01)
    return str(row["id"])


async def test_insights_are_shown_as_the_bot_would_take_them(
    simulator: QuantConnectSimulator, ground: Ground, now: Clock
) -> None:
    project = await running(simulator, ground)
    now.at = time.time_ns() // 1_000_000
    first = await emitted(simulator, project, "BTC/USDT", direction="down")
    newest = await emitted(simulator, project, "BTC/USDT", direction="up", tag="cross")
    now.at = time.time_ns() // 1_000_000 + 1_000
    found = await do(ground, "qc.signals", journal=False)
    rows = {row["id"]: row for row in found["fresh"]}
    assert (rows[first]["verdict"], rows[first]["why"]) == ("stale", "overtaken")
    assert (rows[newest]["verdict"], rows[newest]["symbol"], rows[newest]["action"]) == ("new", "BTC/USDT", "buy")
    assert rows[newest]["confidence"] == 0.5, "the default where the insight has none"
    assert rows[newest]["source"] == "quantconnect:unconfigured"
    assert found["journaled"] is None
    assert found["troubles"] == {}


async def test_the_source_that_listens_decides_how_a_signal_is_taken(
    simulator: QuantConnectSimulator, tmp_path: Path, now: Clock
) -> None:
    config = tmp_path / "config"
    (config / "sources").mkdir(parents=True)
    for name in ("bot.yaml", "risk.yaml"):
        (config / name).write_text("{}\n", encoding="utf-8")
    async with standing(simulator.url, tmp_path, now) as ground:
        project = await running(simulator, ground)
        (config / "sources" / "qc.yaml").write_text(SOURCE.format(project=project), encoding="utf-8")
        btc = await emitted(simulator, project, "BTC/USDT")
        ground.loaded = type(ground.loaded)(ground.loaded.settings, config)
        now.at = time.time_ns() // 1_000_000 + 1_000
        found = await do(ground, "qc.signals", journal=False)
        (row,) = found["fresh"]
        assert (row["id"], row["source"], row["confidence"], row["verdict"]) == (btc, "quantconnect:listening", 0.6, "new")
        now.at += 11 * 60_000
        (row,) = (await do(ground, "qc.signals", journal=False))["fresh"]
        assert (row["verdict"], row["why"]) == ("stale", "too old")
        only_eth = SOURCE.replace("BTC/USDT", "ETH/USDT").format(project=project)
        (config / "sources" / "qc.yaml").write_text(only_eth, encoding="utf-8")
        (row,) = (await do(ground, "qc.signals", journal=False))["fresh"]
        assert row["verdict"] == "untraded"
        other = SOURCE.replace("[binance]", "[coinbase]").format(project=project)
        (config / "sources" / "qc.yaml").write_text(other, encoding="utf-8")
        (row,) = (await do(ground, "qc.signals", journal=False))["fresh"]
        assert row["verdict"] == "unmapped"
        assert "only coinbase is heard" in row["why"]
        ground.simulated = True
        (row,) = (await do(ground, "qc.signals", journal=False))["fresh"]
        assert row["source"] == "quantconnect:unconfigured", "an embedded world has sources of its own"
        (config / "demo" / "sources").mkdir(parents=True)
        (config / "demo" / "sources" / "qc.yaml").write_text(SOURCE.format(project=project), encoding="utf-8")
        (row,) = (await do(ground, "qc.signals", journal=False))["fresh"]
        assert row["source"] == "quantconnect:listening"


async def test_a_project_that_cannot_be_read_is_named_and_the_others_are_shown(
    simulator: QuantConnectSimulator, ground: Ground, now: Clock
) -> None:
    first, second = await running(simulator, ground), await running(simulator, ground)
    for project in (first, second):
        await emitted(simulator, project, "BTC/USDT")
    simulator.inject(Refuse("No insights today", path="/live/insights/read"))
    now.at = time.time_ns() // 1_000_000 + 1_000
    found = await do(ground, "qc.signals", journal=False)
    assert len(found["fresh"]) == 1
    (trouble,) = found["troubles"].values()
    assert "No insights today" in trouble


async def test_a_project_of_which_none_runs_is_a_trouble_and_no_empty_answer(
    simulator: QuantConnectSimulator, ground: Ground
) -> None:
    project = await running(simulator, ground)
    await do(ground, "qc.stop", project=project)
    found = await do(ground, "qc.signals", project=project, journal=False)
    assert "no live algorithm" in found["troubles"][f"project {project}"]


async def test_what_was_decided_on_is_told_without_asking_the_service(simulator: QuantConnectSimulator, ground: Ground) -> None:
    found = await do(ground, "qc.signals", service=False)
    assert found["fresh"] is None
    assert "no run was journaled" in found["troubles"]["journal"]
    assert sum(simulator.counts()["requests"].values()) == 0
    assert asked(simulator, "/live/insights/read") == 0


async def test_decisions_are_told_with_what_became_of_them(ground: Ground) -> None:
    fate = DecisionFate(NOW, "d1", "quantconnect:momentum", Tier.QUANTCONNECT, "BTC/USDT", Fate.EXECUTED, reason="won")
    rule = replace(opinion(3, 0), source="rules:sma", tier=Tier.TRADITIONAL)
    seen = [DecisionSeen(NOW, one) for one in (opinion(1, 7), opinion(2, 8, "quantconnect:other"), rule)]
    await journaled(ground, [*seen, fate])
    found = (await do(ground, "qc.signals", service=False))["journaled"]
    assert [(row["id"], row["fate"], row["project"]) for row in found] == [("d2", None, 8), ("d1", "executed", 7)]
    (one,) = (await do(ground, "qc.signals", service=False, project=7))["journaled"]
    assert (one["source"], one["why"]) == ("quantconnect:momentum", "won")
    assert len((await do(ground, "qc.signals", service=False, limit=1))["journaled"]) == 1
