"""What the service grants and no more, at every endpoint it says so of; and that each reply says whether it is a yes.

These are the lines of the reference's checklist that span rooms: ways of asking, `success`, both spellings, limits of pages.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from simulators.quantconnect.faults import NeverCompletes
from simulators.quantconnect.server import QuantConnectSimulator
from simulators.quantconnect.terms import Terms
from tests.simulators.quantconnect_client import Client

PAGES = {
    "backtests/orders/read": 100,
    "backtests/trades/read": 100,
    "backtests/read/insights": 100,
    "backtests/insights/read": 100,
    "backtests/read/log": 200,
    "live/insights/read": 100,
    "live/orders/read": 1_000,
    "live/trades/read": 1_000,
    "live/logs/read": 250,
}
OF_THE_CLI = (
    "authenticate",
    "projects/read",
    "files/read",
    "compile/read",
    "backtests/read",
    "live/read",
    "live/portfolio/read",
    "lean/environments/read",
)
"""What the official command line asks by GET."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A client, and what its requests are about: a project with a backtest that goes on and a live algorithm that runs."""

    client: Client
    about: dict[str, Any]

    async def page(self, endpoint: str, start: int, end: int) -> dict[str, Any]:
        """The answer to a request for these rows."""
        first, last = ("startLine", "endLine") if endpoint == "live/logs/read" else ("start", "end")
        return await self.client.post(f"/{endpoint}", **self.about, **{first: start, last: end})


@pytest.fixture
async def setting() -> AsyncIterator[Setting]:
    async with QuantConnectSimulator(Terms(loading_reads=0)) as simulator, Client(simulator) as client:
        deployment = await simulator.deploy()
        given = {"projectId": deployment.project.id, "compileId": await client.built(deployment.project.id)}
        simulator.inject(NeverCompletes())
        made = await client.good("/backtests/create", backtestName="b", **given)
        names = {"backtestId": made["backtest"]["backtestId"], "algorithmId": deployment.id}
        yield Setting(client, {**given, **names, "format": "json", "query": ""})


async def test_a_page_has_its_most_rows_and_begins_before_it_ends(setting: Setting) -> None:
    for endpoint, most in PAGES.items():
        for start, end in ((0, most), (500, 500 + most)):
            assert (await setting.page(endpoint, start, end))["success"] is True, endpoint
        for start, end in ((0, most + 1), (500, 501 + most), (5, 5), (6, 5), (-1, 5)):
            assert await setting.page(endpoint, start, end) == {"success": False, "errors": ["Invalid argument"]}, endpoint


async def test_both_spellings_give_the_same_insights(setting: Setting) -> None:
    pages = [await setting.page(f"backtests/{spelling}", 0, 100) for spelling in ("read/insights", "insights/read")]
    assert pages[0] == pages[1]


async def test_what_is_asked_by_get_is_answered_as_by_post(setting: Setting) -> None:
    client, query = setting.client, {key: str(value) for key, value in setting.about.items()}
    for endpoint in OF_THE_CLI:
        url = f"{client.simulator.url}/{endpoint}"
        async with client.http.get(url, params=query, headers=client.headers()) as answer:
            found = await answer.json(content_type=None)
        assert found["success"] is True, endpoint
        assert set(found) == set(await client.good(f"/{endpoint}", **setting.about)), endpoint


async def test_every_endpoint_says_whether_it_is_a_yes_whatever_it_is_asked(setting: Setting) -> None:
    client, simulator = setting.client, setting.client.simulator
    endpoints = [path for path in simulator._handlers() if not path.endswith("/delete")]
    assert len(endpoints) > 50
    for path in endpoints:
        bodies: tuple[dict[str, Any], ...] = ({}, {"projectId": "-1"}, {"projectId": [], "organizationId": {}})
        for body in bodies:
            assert isinstance((await client.post(path, **body))["success"], bool), path
    assert simulator.counts()["events"].get("internal_errors", 0) == 0


@pytest.mark.parametrize("characters", [32_000, 32_001])
async def test_a_file_has_so_many_characters_whatever_their_bytes(setting: Setting, characters: int) -> None:
    client, project = setting.client, setting.about["projectId"]
    body = {"projectId": project, "name": "long.py", "content": "é" * characters}
    found = await client.post("/files/create", **body)
    assert found["success"] is (characters == 32_000)
    if not found["success"]:
        assert found["errors"] == ["File exceeds the maximum size of 32,000 characters."]
        form = {"projectId": str(project), "files[0][name]": "long.py", "files[0][content]": body["content"]}
        async with client.http.post(f"{client.simulator.url}/projects/update", data=form, headers=client.headers()) as answer:
            assert (await answer.json())["success"] is False
