"""All six routes of one YAML at once, against the simulator: each is heard, and an opinion that comes on several counts once."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from simulators.quantconnect.faults import Webhook
from simulators.quantconnect.server import QuantConnectSimulator
from simulators.quantconnect.terms import Terms
from sources.config import SourceConfig, read_yaml
from sources.quantconnect.budget import Budget
from sources.quantconnect.client import Client
from sources.quantconnect.insights import Way
from sources.quantconnect.lean.generating import generate
from sources.quantconnect.loading import quantconnect_params, quantconnect_source
from sources.quantconnect.settings import Credentials
from tests.servers import free_port
from tests.sources.quantconnect.lean_twins import config_of
from tests.sources.quantconnect.qc_port import SYMBOLS, Port
from tests.sources.quantconnect.qc_service import QUICK
from tests.sources.quantconnect.test_qc_source_whole import SECRET, running

YAML = """\
source: quantconnect:all
kind: quantconnect
expiry: 1h
params:
  base_url: {url}
  projects: [{live}]
  webhook: {{enabled: true, host: 127.0.0.1, port: {port}, auth: secret}}
  insights: {{enabled: true, every: 1s}}
  orders: {{enabled: true, every: 1s}}
  portfolio: {{enabled: true, every: 1s}}
  objects: {{enabled: true, every: 1s, organization: {organization}, keys: [signals/latest.json]}}
  backtest: {{enabled: true, every: 1h, project: {batch}, days: 3, poll: 1s, max_age: 3d}}
"""
TERMS = replace(Terms(), snapshot=0.05, compile_reads=0, queued_reads=0, running_reads=0, half_reads=0, creates_at_once=100)


def said(**more: Any) -> str:
    signal = {"symbol": "BTCUSDT", "market": "binance", "side": "buy", "confidence": 0.8, "price": 60_000.0, "ttl": 3_600, "v": 1}
    return json.dumps({"signals": [{**signal, "time": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", **more}]})


async def test_six_routes_are_heard_at_once_and_what_two_of_them_say_counts_once(tmp_path: Path) -> None:
    port, hook = Port(clock=lambda: round(time.time() * 1_000)), free_port()
    async with QuantConnectSimulator(TERMS) as simulator:
        url = f"http://127.0.0.1:{hook}/quantconnect"
        live = await simulator.deploy(parameters={"webhook": url, "secret": SECRET, "threshold": "9"})
        batch = simulator.upload("batch", generate(config_of("rsi-reversion", "5m", params={"period": 3})).files)
        named = {"live": live.project.id, "batch": batch.id, "organization": simulator.organization}
        file = tmp_path / "all.yaml"
        file.write_text(YAML.format(url=simulator.url, port=hook, **named))
        config = SourceConfig.model_validate(read_yaml(file))
        known = Credentials(simulator.user, simulator.token, SECRET)
        source = quantconnect_source(config, quantconnect_params(file, config), SYMBOLS, known, Budget(QUICK))
        async with running(source, port):
            await asyncio.wait_for(source.listening.wait(), 10)
            pushed, polled = await everything_happens(simulator, live.project.id)
            await port.until(lambda: {one.evidence["route"] for one in port.decisions} == {way.value for way in Way}, 40)
            counts = source.counts
            assert [state.name for state in source.states if not state.healthy] == []
    routes = {one.external_id: one.evidence["route"] for one in port.decisions}
    assert (routes[pushed], routes[polled], routes["stored"]) == ("webhook", "insights", "objects")
    assert len(routes) == len(port.decisions)
    assert counts["duplicate"] > 0
    for one in port.decisions:
        asked = one.evidence["route"] != Way.WEBHOOK
        assert ("poll_age_ms" in one.evidence, "poll_gap_ms" in one.evidence) == (asked, asked), one


async def everything_happens(simulator: QuantConnectSimulator, project: int) -> tuple[str, str]:
    """A stored signal, a filled order, an insight that is pushed and one whose message is lost; gives the ids of the two."""
    async with Client(simulator.user, simulator.token, base_url=simulator.url) as client:
        await client.objects.put(simulator.organization, "signals/latest.json", said(id="stored").encode())
        order = {"$type": "OrderCommand", "symbol": "BTCUSDT", "order_type": "market", "quantity": 0.01, "tag": "by hand"}
        await client.live.command(project, order)
    pushed = await simulator.emit("ETH/USDT", "up", confidence=0.9, tag="pushed")
    simulator.inject(Webhook("lost"))
    polled = await simulator.emit("ETH/USDT", "down", confidence=0.6, tag="polled")
    return str(pushed["id"]), str(polled["id"])
