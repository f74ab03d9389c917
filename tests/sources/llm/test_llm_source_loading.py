"""A source of the kind llm from its YAML: what is wrong is said in one line, and nothing heavy is loaded for one that is off."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.core.decision import Tier
from sources.config import SourceConfigError
from sources.llm.source import LlmSource
from sources.loading import LoadedSource, load_source
from sources.means import Means
from sources.quantconnect.settings import Credentials
from tests.sources.llm.llm_source_world import SYMBOL, source_world
from tests.sources.source_factories import ROOT

BASE: dict[str, Any] = {"source": "llm:mine", "kind": "llm", "timeframe": "5m", "expiry": "1h"}


def loaded(folder: Path, **changes: Any) -> LoadedSource:
    file = folder / "mine.yaml"
    file.write_text(yaml.safe_dump({**BASE, **changes}), encoding="utf-8")
    return load_source(file)


def test_a_file_becomes_a_source_of_the_second_tier_with_its_candles(tmp_path: Path) -> None:
    source = loaded(tmp_path, params={"timeframes": ["5m", "1h"]}, threshold=0.6)
    assert (source.spec.tier, source.spec.threshold, source.spec.hold_blocks) == (Tier.LLM, 0.6, False)
    assert source.timeframes == ("5m", "1h")
    assert loaded(tmp_path).timeframes == ("5m",)
    assert source.step([SYMBOL]) is None
    assert "the candidates of llm.roles, prompt decide" in source.about


def test_other_sources_say_which_candles_they_want(tmp_path: Path) -> None:
    assert load_source(ROOT / "config/sources/quantconnect.yaml").timeframes == ()
    assert load_source(ROOT / "config/sources/macd.yaml").timeframes != ()


def test_the_shipped_source_is_off() -> None:
    source = load_source(ROOT / "config/sources/llm.yaml")
    assert (source.spec.paused, source.timeframes) == (True, ("15m", "1h", "4h"))


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"params": {"templates": "x"}}, ": params.templates = 'x': unknown key; did you mean template?"),
    (
        {"params": {"bounds": {"stop_nearst": 0.1}}},
        ": params.bounds.stop_nearst = '0.1': unknown key; did you mean stop_nearest?",
    ),
    ({"params": {"bounds": {"stop_nearest": 0.2}}}, "stop_nearest = 0.2 must be below stop_farthest = 0.15"),
    ({"params": {"timeframes": ["1h"]}}, ": timeframe = '5m': give one of params.timeframes: 1h"),
    ({"params": {"timeframes": ["5m", "5m"]}}, "a timeframe is listed twice"),
    ({"params": {"on_candle": False}}, "it would never ask"),
    ({"params": {"schedule": {"cron": "x"}}}, ": params.schedule.cron = 'x'"),
    ({"params": {"gates": {"indicators": {"rsi14@4h": 5}}}}, "the snapshot shows 5m alone"),
    ({"params": {"gates": {"indicators": {"rsi": 5}}}}, ": params.gates.indicators.rsi"),
    ({"params": {"ensemble": {"members": 2, "quorum": 3}}}, "ensemble.quorum = 3 is more than ensemble.members = 2"),
    ({"params": {"budget": {"per_day": -1}}}, ": params.budget.per_day = '-1'"),
    ({"params": {"bounds": {"shortest": "2h"}}}, ": params.bounds.shortest = '2h': is longer than `expiry`"),
    ({"params": {"candidates": [{"provider": "a", "model": "b"}] * 2}}, "a model is listed twice"),
    ({"tier": "quantconnect"}, ": tier = 'quantconnect': a language model is of its own tier; remove the key"),
    ({"adds": True}, ": adds = 'True'"),
    ({"protection": {"stop_loss": 0.1}}, ": protection: the model sets stop and target"),
]


@pytest.mark.parametrize(("changes", "fault"), FAULTS, ids=[fault[:40] for _, fault in FAULTS])
def test_what_is_wrong_is_said_in_one_line(changes: dict[str, Any], fault: str, tmp_path: Path) -> None:
    with pytest.raises(SourceConfigError) as caught:
        loaded(tmp_path, **changes)
    message = str(caught.value)
    assert fault in message
    assert "\n" not in message


def test_without_any_model_it_cannot_be_heard(tmp_path: Path) -> None:
    assert "ANTHROPIC_API_KEY" in str(loaded(tmp_path).lacks(Means(Credentials())))


async def test_it_can_be_heard_as_soon_as_one_candidate_has_a_key(tmp_path: Path, sqlite_url: str) -> None:
    async with source_world(sqlite_url) as world:
        means = Means(Credentials(), minds=world.minds)
        assert loaded(tmp_path).lacks(means) is None
        own = {"candidates": [{"provider": "nobody", "model": "x"}]}
        lacking = loaded(tmp_path, params=own).lacks(means)
        assert lacking == "nobody: it is not in llm.providers"
        own["candidates"].append({"provider": "openai", "model": "gpt-6-luna"})
        assert loaded(tmp_path, params=own).lacks(means) is None
        assert isinstance(loaded(tmp_path).live([SYMBOL], means), LlmSource)


def test_a_source_that_is_loaded_and_off_loads_no_sdk_and_no_database() -> None:
    code = (
        "import sys; from pathlib import Path; from sources.loading import load_sources; "
        f"load_sources(Path({str(ROOT / 'config/sources')!r})); "
        "print([name for name in ('openai', 'anthropic', 'sqlalchemy', 'jinja2', 'apscheduler') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"
