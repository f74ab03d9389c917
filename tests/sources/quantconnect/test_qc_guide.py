"""The guide says what is so: its YAML is read, and its algorithm runs at the simulated service and is heard."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path

import pytest
import yaml

from simulators.quantconnect.server import QuantConnectSimulator
from sources.quantconnect.mapping import SymbolMap
from sources.quantconnect.polling import CALM_S
from sources.quantconnect.settings import Credentials, PollParams, QuantConnectParams, WebhookParams
from tests.sources.quantconnect.qc_port import Port
from tests.sources.quantconnect.test_qc_source_whole import SECRET, running, source_of

GUIDE = (Path(__file__).parents[3] / "docs/how-to/set-up-quantconnect.md").read_text(encoding="utf-8")


def shown(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)


PARAMS = [found["params"] for text in shown("yaml") if "params" in (found := yaml.safe_load(text))]


@pytest.mark.parametrize("params", PARAMS, ids=lambda params: next(iter(params)))
def test_what_is_shown_of_the_configuration_is_read(params: dict[str, object]) -> None:
    route = {} if {"webhook", "insights", "objects", "backtest"} & set(params) else {"webhook": {"enabled": True}}
    QuantConnectParams.model_validate({**params, **route})


def test_the_map_that_is_shown_does_what_it_is_shown_for() -> None:
    (said,) = [params for params in PARAMS if "symbols" in params]
    known = SymbolMap(said["symbols"], ["BTC/USDT", "BTC/USDT:USDT", "DOT/USD"], said["markets"])
    assert known.to_bot("DOTUSD") == "DOT/USD"
    assert known.to_bot("", "BTCUSDT 18R") == "BTC/USDT:USDT"
    assert known.to_bot("", "BTCUSDT 18N") == "BTC/USDT"


def test_the_times_that_are_named_are_those_of_the_code() -> None:
    params = QuantConnectParams(webhook=WebhookParams(enabled=True))
    assert (params.max_age, params.backoff, params.backtest.wait_for_node, CALM_S) == ("20m", "10m", "5m", 60.0)
    assert (params.webhook.host, params.webhook.port, params.webhook.path) == ("127.0.0.1", 8_790, "/quantconnect")
    assert PollParams().every == "1m"


async def test_the_algorithm_that_is_shown_is_heard() -> None:
    (text,) = shown("python")
    port = Port(clock=lambda: round(time.time() * 1_000))
    said = QuantConnectParams.model_validate({"webhook": {"enabled": True, "port": 0}})
    source = source_of(said, Credentials(webhook_secret=SECRET))
    async with QuantConnectSimulator() as simulator, running(source, port):
        await asyncio.wait_for(source.listening.wait(), 10)
        url = f"http://127.0.0.1:{source.webhook_port}{said.webhook.path}"
        await simulator.deploy({"main.py": text}, {"webhook": url, "secret": SECRET})
        emitted = await simulator.emit("BTC/USDT", "down", confidence=0.8)
        await port.until(lambda: bool(port.decisions))
        (heard,) = port.decisions
    assert (heard.symbol, heard.external_id, heard.confidence) == ("BTC/USDT", emitted["id"], 0.8)
    assert source.degraded == ()
