"""From a sentence to a candidate on the shelf: the real SDKs against the simulator, the real backtest on recorded candles."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.runtime.jobs import Progress
from bot.services.ideas import apart
from bot.services.ideas.answer import Template
from bot.services.ideas.asking import PAYER
from bot.services.ideas.specification import IdeaRefused
from bot.services.llm.access import minds_of
from bot.services.use_case import Ground, UseCaseError, use_case
from simulators.llm.faults import Fault, Mode
from simulators.llm.server import LlmSimulator
from sources.loading import load_source, load_sources
from tests.backtest.candle_data import walk, write_csv
from tests.services.asking_ground import MODELS, Told, asking, do
from tests.services.test_ideas_specification import ANSWER, BOUNDS, idea
from tests.sources.llm.llm_service import RESPONSE, says, serving


@pytest.fixture
async def simulator() -> AsyncIterator[LlmSimulator]:
    async with LlmSimulator() as running:
        yield running


@pytest.fixture
async def ground(simulator: LlmSimulator, tmp_path: Path) -> AsyncIterator[Ground]:
    async with asking(simulator.root, simulator.key, tmp_path) as standing:
        yield standing


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "candles.csv", walk("BTC/USDT", 1_500))


def sources_of(ground: Ground) -> Path:
    found = ground.loaded.sources_directory
    assert found is not None
    return found


@pytest.mark.parametrize("provider", list(MODELS))
async def test_every_provider_can_have_an_idea(simulator: LlmSimulator, tmp_path: Path, provider: str) -> None:
    async with asking(simulator.root, simulator.key, tmp_path, provider) as ground:
        found = await do(ground, "idea.propose", sentence="Buy bitcoin when it is oversold on 15m candles, stop 4%")
        told = found["specification"]
        assert (told["rule"], told["timeframe"], told["symbols"]) == ("composed", "15m", ["BTC/USDT"])
        assert told["protection"]["stop_loss"] == 0.04
        assert found["model"] == f"{provider}/{MODELS[provider]}"
        assert Decimal(found["cost"]) > 0


@pytest.mark.parametrize("template", list(Template))
async def test_every_template_gives_a_strategy_that_runs(ground: Ground, data: Path, template: Template) -> None:
    found = await do(ground, "idea.propose", template=template.value, timeframe="15m")
    tried = await do(ground, "idea.backtest", specification=found["specification"], data=[str(data)])
    figures = tried["backtest"]
    assert figures["bars"] == 1_500
    assert not any("failed" in notice for notice in figures["notices"])
    assert tried["id"] == found["id"]


async def test_the_call_is_paid_for_and_recorded(ground: Ground) -> None:
    await do(ground, "idea.propose", sentence="Follow the trend with moving averages")
    minds = await minds_of(ground)
    (standing, *_) = await minds.ledger.standing(PAYER)
    assert standing.spent > 0


async def test_an_idea_is_kept_switched_off_with_its_backtest_beside_it_and_only_once(ground: Ground, data: Path) -> None:
    found = await do(ground, "idea.propose", sentence="Buy a breakout of the 20 candle range of bitcoin on 15m, stop 5%")
    asked = {"specification": found["specification"], "sentence": "Buy a breakout\nenabled: true", "model": found["model"]}
    kept = await do(ground, "idea.save", data=[str(data)], **asked)
    file, beside = Path(kept["file"]), Path(kept["backtest_file"])
    assert file.parent == beside.parent == sources_of(ground)
    content = yaml.safe_load(file.read_text())
    assert content["enabled"] is False
    comment = [line for line in file.read_text().splitlines() if line.startswith("#")]
    assert any(line.startswith("# Backtest: ") and "trades" in line for line in comment)
    assert json.loads(beside.read_bytes())["trades"] == kept["backtest"]["trades"]
    (loaded,) = load_sources(sources_of(ground))
    assert loaded.spec.paused
    with pytest.raises(UseCaseError, match="has this strategy already"):
        await do(ground, "idea.save", **asked | {"specification": found["specification"] | {"name": "Quite another"}})
    again = await do(ground, "idea.propose", sentence="Buy a breakout of the 20 candle range of bitcoin on 15m, stop 5%")
    assert again["twin"] == str(file)
    listed = await do(ground, "idea.list")
    assert [(row["source"], row["enabled"], row["figures"]["trades"]) for row in listed["ideas"]] == [
        (content["source"], False, kept["backtest"]["trades"])
    ]


async def test_a_trial_tells_how_far_it_is_and_ends_with_its_asker(ground: Ground, data: Path, tmp_path: Path) -> None:
    given = idea().model_dump(mode="json")
    told = Told()
    await do(ground, "idea.backtest", told, specification=given, data=[str(data)])
    assert told.all[-1].done == told.all[-1].total == 1_500
    large = write_csv(tmp_path / "large.csv", walk("BTC/USDT", 60_000))
    began = asyncio.Event()

    def hear(progress: Progress) -> None:
        if progress.done:
            began.set()

    async def asked() -> None:
        case = use_case("idea.backtest")
        await case.run(ground, case.read({"specification": given, "data": [str(large)]}), hear)

    task = asyncio.create_task(asked())
    async with asyncio.timeout(30):
        await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    children = subprocess.run(["ps", "-o", "args=", "--ppid", str(os.getpid())], capture_output=True, text=True, check=False)
    assert "bot.services.ideas.apart" not in children.stdout


async def test_a_trial_knows_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    monkeypatch.setenv("ARBITER_KEY_FILE", "somewhere")
    monkeypatch.setenv("SOMETHING", "else")
    there = apart._environment()
    assert "SOMETHING" in there
    assert not {"OPENAI_API_KEY", "ARBITER_KEY_FILE"} & set(there)


async def test_words_of_a_model_cannot_leave_the_comment(ground: Ground) -> None:
    evil = "fine\nenabled: true\r\nkind: dca\u2028x: y\x85z: 1"
    given = idea().model_dump(mode="json") | {"thesis": "x"}
    kept = await do(ground, "idea.save", specification=given | {"name": evil[:40], "thesis": evil}, sentence=evil, model=evil)
    loaded = load_source(Path(kept["file"]))
    assert not loaded.config.enabled
    assert loaded.config.kind == "composed"
    assert (await do(ground, "idea.list"))["ideas"][0]["figures"] is None


async def test_a_specification_that_was_tampered_with_is_judged_again(ground: Ground, data: Path) -> None:
    given = idea().model_dump(mode="json")
    given["params"]["entry"][0]["indicator"] = "__class__"
    for name in ("idea.backtest", "idea.save"):
        with pytest.raises(IdeaRefused, match="indicator"):
            await do(ground, name, specification=given, data=[str(data)])
    assert list(sources_of(ground).iterdir()) == []


async def test_data_that_cannot_be_read_keep_nothing(ground: Ground, tmp_path: Path) -> None:
    given = idea().model_dump(mode="json")
    with pytest.raises(Exception, match=r"nowhere\.csv") as caught:
        await do(ground, "idea.save", specification=given, data=[str(tmp_path / "nowhere.csv")])
    assert type(caught.value).__module__.startswith("bot.")
    assert list(sources_of(ground).iterdir()) == []


@pytest.mark.parametrize("mode", [Mode.REFUSAL, Mode.TRUNCATED, Mode.BAD_JSON, Mode.NAN, Mode.ECHO])
async def test_an_answer_without_use_is_said_in_one_line_and_paid_for(
    simulator: LlmSimulator, ground: Ground, mode: Mode
) -> None:
    simulator.inject(Fault(mode))
    with pytest.raises(UseCaseError, match=r"the answer cannot be used") as caught:
        await do(ground, "idea.propose", sentence="anything")
    assert "\n" not in str(caught.value)
    minds = await minds_of(ground)
    (standing, *_) = await minds.ledger.standing(PAYER)
    assert standing.spent > 0


async def test_a_strategy_that_means_nothing_is_refused_and_not_asked_for_again(tmp_path: Path) -> None:
    said: dict[str, Any] = json.loads(json.dumps(RESPONSE))
    nonsense = ANSWER | {"exit": [], "entry": [ANSWER["entry"][0] | {"value": 900.0}]}
    said["output"][1]["content"][0]["text"] = json.dumps(nonsense)
    async with serving(says(said)) as service, asking(service.root, "key-of-the-test", tmp_path) as ground:
        with pytest.raises(IdeaRefused, match="not within 0 and 100"):
            await do(ground, "idea.propose", sentence="anything")
        assert len(service.heard) == 1
        assert "tools" not in service.body
        assert "key-of-the-test" not in json.dumps(service.body)


async def test_what_is_not_traded_or_not_said_is_refused_before_anything_is_paid(ground: Ground, simulator: LlmSimulator) -> None:
    with pytest.raises(UseCaseError, match="DOGE/USDT"):
        await do(ground, "idea.propose", sentence="dogs", symbols=["DOGE/USDT"])
    with pytest.raises(UseCaseError, match="say what is wanted"):
        use_case("idea.propose").read({})
    assert simulator.requests() == []
    assert BOUNDS.symbols == ground.loaded.settings.exchange.symbols
