"""The desk of a bot that runs, asked through its command socket, as the control room and the command line do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from bot.outlets.local_client import LocalClient
from tests.app.bot_process import Bot


@pytest.fixture(scope="module")
def running_bot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bot]:
    bot = Bot(tmp_path_factory.mktemp("desk"), ("--demo", "--json", "--no-redis", "--seed", "3"))
    bot.start()
    try:
        bot.wait_for(" fill ")
        yield bot
    finally:
        bot.end()


async def asked(client: LocalClient, name: str, **args: object) -> dict[str, Any]:
    """The answer of a use case, which comes at once."""
    answer = await client.command("do", {"use_case": name, "args": args})
    assert answer.ok, answer.error
    result: Any = answer.result
    found: dict[str, Any] = result["result"]
    return found


async def test_a_running_bot_answers_everything_about_its_desk_at_once(running_bot: Bot) -> None:
    async with await LocalClient.connect(running_bot.data) as client:
        assert (await asked(client, "desk.queue"))["policy"] == "priority"
        sources = {each["name"]: each for each in (await asked(client, "desk.sources"))["sources"]}
        assert sources["rules:demo"]["about"]
        assert sources["rules:demo"]["shadow"] is not None
        assert "positions" in await asked(client, "desk.positions")
        state = await asked(client, "risk.state")
        assert (state["state"], [each["symbol"] for each in state["health"]]) == ("active", ["BTC/USDT", "ETH/USDT"])
        assert 0 < state["since"] <= state["now"]
        assert (await asked(client, "risk.assess"))["currency"] == "USDT"
        validated = await asked(client, "risk.validate", symbol="BTC/USDT", side="buy", notional="100")
        assert validated["checks"][0]["name"] == "States"
        sized = await asked(client, "risk.size", symbol="BTC/USDT", source="rules:demo", confidence=0.9)
        assert [each["name"] for each in sized["policies"] if each["used"]] == [sized["used"]]


async def test_a_threshold_that_was_set_is_the_one_that_sources_tells(running_bot: Bot) -> None:
    async with await LocalClient.connect(running_bot.data) as client:
        answer = await asked(client, "desk.set-threshold", source="rules:demo", threshold=0.25, author="ann")
        assert answer == {"source": "rules:demo", "before": 0.0, "after": 0.25, "author": "ann"}
        sources = (await asked(client, "desk.sources"))["sources"]
        assert {each["name"]: each["threshold"] for each in sources}["rules:demo"] == 0.25


async def test_what_cannot_be_answered_is_one_line(running_bot: Bot) -> None:
    async with await LocalClient.connect(running_bot.data) as client:
        args = {"symbol": "DOGE/USDT", "side": "buy", "amount": "1"}
        answer = await client.command("do", {"use_case": "risk.validate", "args": args})
    assert (answer.ok, answer.error) == (False, "the bot does not trade 'DOGE/USDT'; there are BTC/USDT, ETH/USDT")


def test_the_command_line_prints_the_same_as_json(running_bot: Bot) -> None:
    answer = running_bot.tell("risk", "--json")
    assert answer.returncode == 0, answer.stderr
    assert orjson.loads(answer.stdout)["state"] == "active"
