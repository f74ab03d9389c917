"""Asking on demand, the questions that were asked, and what they cost: a dry run shows everything and tells the desk nothing."""

from __future__ import annotations

import time
from decimal import Decimal
from pathlib import Path

import pytest

from bot.services.llm.access import minds_of
from bot.services.use_case import UseCaseError
from simulators.exchange.server import ExchangeSimulator
from simulators.llm.faults import Fault, Mode
from simulators.llm.server import LlmSimulator
from sources.config import SourceConfig
from sources.llm.loading import llm_source
from sources.llm.params import LlmParams
from tests.app.worlds import a_configuration
from tests.services.llm_bot import a_port, with_bot
from tests.services.llm_ground import NOW, Clock, do, llm_settings, settled, standing

SOURCE = "llm:main"


def a_source_file(home: Path, **params: object) -> None:
    """The configuration gets a source that asks models."""
    folder = home / "config" / "sources"
    folder.mkdir(parents=True, exist_ok=True)
    told = "".join(f"  {name}: {value}\n" for name, value in params.items())
    (folder / "llm.yaml").write_text(
        f"source: {SOURCE}\nkind: llm\ntimeframe: 5m\nexpiry: 4h\nparams:\n  timeframes: [5m, 1h]\n{told}"
    )


async def test_a_dry_run_tells_snapshot_prompt_answer_and_decision_and_the_desk_hears_nothing(tmp_path: Path) -> None:
    a_source_file(tmp_path)
    async with LlmSimulator() as simulator, standing(tmp_path, simulator) as ground:
        port = a_port(NOW)
        with_bot(ground, port)
        found = await do(ground, "llm.decide", symbol="BTC/USDT")
        assert (found["source"], found["dry_run"], found["sent"]) == (SOURCE, True, False)
        assert (found["decision"] is None) != (found["abstention"] is None)
        (thought,) = found["thoughts"]
        assert thought["prompt"].startswith("## instructions")
        assert thought["answers"][0]["member"] == "openai/gpt-6-luna"
        assert thought["answers"][0]["answer"]["symbol"] == "BTC/USDT"
        assert found["snapshot"]["body"]["symbol"] == "BTC/USDT"
        assert float(found["usd"]) > 0
        assert (port.decisions, port.abstentions, port.claims) == ([], [], [])
        await settled(ground)
        status = await do(ground, "llm.status")
        assert Decimal(status["usage"]["day"]["usd"]) == Decimal(found["usd"]), "a dry run is paid for"


async def test_with_send_the_bots_own_source_proposes(tmp_path: Path) -> None:
    async with LlmSimulator() as simulator, standing(tmp_path, simulator) as ground:
        port, minds = a_port(NOW), await minds_of(ground)
        config = SourceConfig(source=SOURCE, kind="llm", timeframe="5m", expiry="4h")
        source = llm_source(config, LlmParams(timeframes=("5m", "1h")), ("BTC/USDT",), minds)
        source._port = port  # as `run` gives it one
        with_bot(ground, port, {SOURCE: source})
        found = await do(ground, "llm.decide", symbol="BTC/USDT", send=True)
        assert found["sent"] is (found["decision"] is not None)
        assert [one.id for one in port.decisions] == ([found["decision"]["id"]] if found["decision"] else [])
        assert len(port.decisions) + len(port.abstentions) == 1
        with pytest.raises(UseCaseError, match="does not think about ETH/USDT"):
            await do(ground, "llm.decide", symbol="ETH/USDT", send=True)


async def test_nothing_is_sent_where_no_bot_runs(tmp_path: Path) -> None:
    async with LlmSimulator() as simulator, standing(tmp_path, simulator) as ground:
        with pytest.raises(UseCaseError, match="no bot is running"):
            await do(ground, "llm.decide", symbol="BTC/USDT", send=True)
        assert simulator.requests() == []


async def test_a_simulated_world_never_looks_at_a_real_market(tmp_path: Path) -> None:
    async with LlmSimulator() as simulator, standing(tmp_path, simulator) as ground:
        ground.simulated = True
        with pytest.raises(UseCaseError, match="only its bot knows it"):
            await do(ground, "llm.decide", symbol="BTC/USDT")


async def test_without_a_bot_the_market_is_the_venues(venue: ExchangeSimulator, tmp_path: Path) -> None:
    config = a_configuration(tmp_path / "config", venue.url)
    for file in (config / "sources").glob("*.yaml"):
        file.unlink()
    a_source_file(tmp_path)
    text = (config / "sources" / "llm.yaml").read_text().replace("5m, 1h", "1m").replace("timeframe: 5m", "timeframe: 1m")
    (config / "sources" / "llm.yaml").write_text(text)
    from bot.secrets import Secrets
    from bot.services.ground import own_ground
    from bot.settings import load

    async with LlmSimulator() as simulator:
        given = {"bot.data_dir": str(tmp_path / "data"), "llm": llm_settings(simulator)}
        loaded = load(config, environ={}, overrides=given)
        secrets = Secrets(tmp_path / "data", {"OPENAI_API_KEY": simulator.key})
        async with own_ground(loaded, secrets, lambda: time.time_ns() // 1_000_000) as ground:
            found = await do(ground, "llm.decide", symbol="BTC/USDT")
    assert found["snapshot"]["body"]["quote"]["bid"] is not None
    assert found["snapshot"]["body"]["timeframes"]["1m"]["candles"] > 30
    assert len(found["thoughts"][0]["answers"]) == 1


async def test_a_failure_is_an_abstention_with_its_reason_and_no_secret_in_it(tmp_path: Path) -> None:
    async with LlmSimulator() as simulator, standing(tmp_path, simulator, names=("openai",)) as ground:
        with_bot(ground, a_port(NOW))
        simulator.inject(Fault(Mode.SERVER_ERROR))
        found = await do(ground, "llm.decide", symbol="BTC/USDT")
        assert found["decision"] is None
        assert found["abstention"]["reason"] == "server"
        assert simulator.key not in str(found)


async def test_questions_are_listed_and_one_is_told_with_its_texts(tmp_path: Path) -> None:
    clock = Clock()
    async with LlmSimulator() as simulator, standing(tmp_path, simulator, clock=clock) as ground:
        with_bot(ground, a_port(NOW))
        await do(ground, "llm.decide", symbol="BTC/USDT")
        (line,) = (await do(ground, "llm.decisions"))["questions"]
        assert (line["outcome"], line["symbol"], line["provider"]) == ("dry-run", "BTC/USDT", "openai")
        assert line["fate"] is None
        (told,) = (await do(ground, "llm.decisions", id=line["id"]))["questions"]
        assert "BTC/USDT" in told["prompt"]
        assert told["reply"]
        assert (await do(ground, "llm.decisions", source="llm:other"))["questions"] == []
        with pytest.raises(UseCaseError, match="no question or decision 'x'"):
            await do(ground, "llm.decisions", id="x")


@pytest.mark.parametrize("by", ["day", "month", "model", "provider", "source", "role"])
async def test_costs_add_up_whatever_they_are_told_by(tmp_path: Path, by: str) -> None:
    async with LlmSimulator() as simulator, standing(tmp_path, simulator) as ground:
        await do(ground, "llm.test", call=True)
        await settled(ground)
        found = await do(ground, "llm.costs", by=by)
        assert sum(Decimal(line["usd"]) for line in found["lines"]) == Decimal(found["total"]["usd"]) > 0
        assert sum(line["calls"] for line in found["lines"]) == 4


async def test_costs_of_a_time_that_never_was_are_refused(tmp_path: Path) -> None:
    async with LlmSimulator() as simulator, standing(tmp_path, simulator) as ground:
        with pytest.raises(UseCaseError, match="is not before"):
            await do(ground, "llm.costs", since=5, until=5)
