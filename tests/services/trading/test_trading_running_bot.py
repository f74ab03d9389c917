"""The desk of a bot that runs, asked through its command socket, as the control room and the command line do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

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


def asked(bot: Bot, *words: str) -> dict[str, Any]:
    """A command's JSON."""
    answer = bot.tell(*words, "--json")
    assert answer.returncode == 0, answer.stderr
    found: dict[str, Any] = orjson.loads(answer.stdout)
    return found


def test_a_running_bot_answers_everything_about_its_desk(running_bot: Bot) -> None:
    assert asked(running_bot, "queue")["policy"] == "priority"
    sources = {each["name"]: each for each in asked(running_bot, "sources")["sources"]}
    assert sources["rules:demo"]["about"]
    assert sources["rules:demo"]["shadow"] is not None
    assert "positions" in asked(running_bot, "positions")
    state = asked(running_bot, "risk")
    assert state["state"] == "active"
    assert state["since"] is not None
    assert {each["health"] for each in state["health"]} == {"fresh"}
    assert asked(running_bot, "risk", "assess")["currency"] == "USDT"
    validated = asked(running_bot, "risk", "validate", "buy", "BTC/USDT", "--notional", "100")
    assert validated["checks"][0]["name"] == "States"
    sized = asked(running_bot, "risk", "size", "BTC/USDT", "--source", "rules:demo", "--confidence", "0.9")
    assert [each["name"] for each in sized["policies"] if each["used"]] == [sized["used"]]


def test_a_threshold_that_was_set_is_the_one_that_sources_tells(running_bot: Bot) -> None:
    answer = asked(running_bot, "threshold", "rules:demo", "0.25", "--author", "ann")
    assert answer == {"source": "rules:demo", "before": 0.0, "after": 0.25, "author": "ann"}
    sources = {each["name"]: each["threshold"] for each in asked(running_bot, "sources")["sources"]}
    assert sources["rules:demo"] == 0.25
