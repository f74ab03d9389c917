"""A Prometheus of the test's own scrapes a running demonstration: every expression on every board finds something."""

from __future__ import annotations

import asyncio
import json
import math
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from bot.outlets.metric_catalogue import CATALOGUE, sample_names
from deploy.grafana.boards import BOARDS
from deploy.grafana.panels import Panel, Query
from tests.app.bot_process import Bot
from tests.prometheus import promtool, tool
from tests.servers import free_port

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "arbiter-rules.yml"

# By then the demonstration has traded, and each of its minds has spoken; on an idle machine it has within 10 s.
SECONDS = 60.0
WINDOW = "30s"

LIVE = "a demonstration trades on paper: it has no account at a venue"
NO_WEB = "the bot is started without its control room"
NOTHING_YET = {
    "bot_account_calls": LIVE,
    "bot_account_limit_used": LIVE,
    "bot_account_up": LIVE,
    "bot_account_unexplained": LIVE,
    "bot_web_up": NO_WEB,
    "bot_web_restarts": NO_WEB,
    "bot_denials": "a healthy demonstration is denied nothing",
    "bot_abstentions": "a healthy demonstration's minds answer",
    "bot_overrides": "an overruled source's shadow trade ends later",
    "bot_override_cost": "an overruled source's shadow trade ends later",
    "bot_feed_gaps": "a healthy feed has none; there may be one at the start",
    "bot_feed_stale": "a healthy feed is never stale",
    "bot_inputs_ignored": "a healthy desk ignores nothing",
    "bot_task_restarts": "no task of a healthy bot fails",
    "bot_jobs_ended": "nobody asks for a job",
    "bot_trades_closed": "a lot is closed when a rule sells what another bought; that may be later",
    "bot_trades_pnl": "a lot is closed when a rule sells what another bought; that may be later",
    "bot_shadow_trades": "a shadow trade may end later: the share of wins is of those that have",
    "bot_arbitration_outranked": "who meets whom in so short a time is a matter of milliseconds",
}


class Prometheus:
    """A running one."""

    def __init__(self, port: int, metrics: int) -> None:
        self._base = f"http://127.0.0.1:{port}"
        self.bot = f"http://127.0.0.1:{metrics}"

    async def get(self, path: str, **query: str) -> Any:
        timeout = aiohttp.ClientTimeout(total=10)
        async with aiohttp.ClientSession(self._base, timeout=timeout) as session, session.get(path, params=query) as answer:
            body = await answer.json()
            assert body["status"] == "success", body
            return body["data"]

    async def numbers(self, expr: str) -> list[float]:
        """What an expression gives now."""
        found = await self.get("/api/v1/query", query=expr)
        return [float(series["value"][1]) for series in found["result"]]

    async def until_scraped(self) -> None:
        """Until the bot has answered a scrape."""
        while True:
            try:
                if await self.numbers('up{job="arbiter"} == 1 and bot_ready == 1'):
                    return
            except aiohttp.ClientError:
                pass  # it is not listening yet
            await asyncio.sleep(0.2)


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A demonstration that has run for a while, and the Prometheus that has scraped it every second."""
    executable, place = tool("prometheus"), tmp_path_factory.mktemp("prometheus")
    metrics, port = free_port(), free_port()
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [{"job_name": "arbiter", "static_configs": [{"targets": [f"127.0.0.1:{metrics}"]}]}],
    }
    (place / "prometheus.yml").write_text(yaml.safe_dump(config))
    bot = Bot(place / "bot", ("--demo", "--no-redis"), {"ARBITER_METRICS__PORT": str(metrics)}).start()
    command = [executable, f"--config.file={place / 'prometheus.yml'}", f"--storage.tsdb.path={place / 'tsdb'}"]
    with (place / "log").open("wb") as log:
        process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
        try:
            found = Prometheus(port, metrics)
            asyncio.run(asyncio.wait_for(found.until_scraped(), 60))
            yield found
        finally:
            process.terminate()
            process.wait(10)
            bot.end()
            shutil.rmtree(place / "tsdb", ignore_errors=True)


def asked() -> list[tuple[Panel, Query]]:
    return [(panel, query) for board in BOARDS for panel in board.panels for query in panel.queries]


def excuse(query: Query) -> str | None:
    names = [name for name in NOTHING_YET if any(sample in query.expr for sample in sample_names(name))]
    return NOTHING_YET[names[0]] if names else None


async def empty(prometheus: Prometheus) -> list[tuple[str, str, list[float]]]:
    """The expressions that find nothing now, or nothing but NaN, though nothing excuses it."""
    found = []
    for panel, query in asked():
        if excuse(query) is None:
            expr = query.filtered.replace("$instance", ".*").replace("$__rate_interval", WINDOW)
            numbers = await prometheus.numbers(expr)
            if all(math.isnan(number) for number in numbers):
                found.append((panel.title, expr, numbers))
    return found


async def test_every_expression_on_a_board_finds_something(scraped: Prometheus) -> None:
    until = asyncio.get_running_loop().time() + SECONDS
    while (missing := await empty(scraped)) and asyncio.get_running_loop().time() < until:
        await asyncio.sleep(0.5)
    assert missing == []


async def test_every_expression_that_may_find_nothing_is_understood_all_the_same(scraped: Prometheus) -> None:
    for _, query in asked():
        await scraped.numbers(query.filtered.replace("$instance", ".*").replace("$__rate_interval", WINDOW))


async def test_what_is_scraped_is_what_the_catalogue_says(scraped: Prometheus) -> None:
    until = asyncio.get_running_loop().time() + SECONDS
    while True:  # a series with labels is there from its first event on
        names = set(await scraped.get("/api/v1/label/__name__/values"))
        missing = [name for name in CATALOGUE if not names & set(sample_names(name)) and name not in NOTHING_YET]
        if not missing or asyncio.get_running_loop().time() > until:
            break
        await asyncio.sleep(0.5)
    assert missing == []
    bots = {name for name in names if name.startswith("bot_")}
    assert bots <= {sample for name in CATALOGUE for sample in sample_names(name)}
    metadata = await scraped.get("/api/v1/metadata")
    kinds = {name: metadata[family][0]["type"] for name in CATALOGUE for family in sample_names(name)[:1] if family in metadata}
    assert {name: CATALOGUE[name].kind.value for name in kinds} == kinds
    assert len(kinds) > 40


async def test_promtool_finds_no_fault_with_what_a_running_bot_serves(scraped: Prometheus) -> None:
    async with aiohttp.ClientSession(scraped.bot, timeout=aiohttp.ClientTimeout(total=10)) as session:
        async with session.get("/metrics") as answer:
            text = await answer.read()
        async with asyncio.timeout(SECONDS):  # a bot that was starved for a moment says so, for a moment
            while (said := await ready(session)) != (200, {"status": "ready", "reasons": []}):
                assert said[0] == 503, said
                await asyncio.sleep(0.2)
    found = promtool("check", "metrics", stdin=text)
    assert (found.returncode, found.stdout, found.stderr) == (0, b"", b"")


async def ready(session: aiohttp.ClientSession) -> tuple[int, Any]:
    async with session.get("/readyz") as answer:
        return answer.status, await answer.json()


async def test_a_healthy_demonstration_raises_no_alert(scraped: Prometheus) -> None:
    found = await scraped.get("/api/v1/rules")
    rules = [rule for group in found["groups"] for rule in group["rules"]]
    assert len(rules) >= 30
    assert [(rule["name"], rule["lastError"]) for rule in rules if rule.get("lastError")] == []
    alerts = (await scraped.get("/api/v1/alerts"))["alerts"]
    assert [alert for alert in alerts if alert["state"] == "firing"] == [], json.dumps(alerts, indent=2)


def test_a_panel_that_may_have_nothing_to_show_says_why() -> None:
    assert set(NOTHING_YET) <= set(CATALOGUE)
    for board in BOARDS:
        for panel in board.panels:
            assert panel.quiet or not all(excuse(query) for query in panel.queries), panel.title
