"""A running bot and its monitor, and that the next start takes what was changed in this one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from bot.settings.overlay import read_overlay
from tests.app.bot_process import Bot, eventually


def _told(bot: Bot, *arguments: str) -> Any:
    answer = bot.tell(*arguments, "--json")
    assert answer.returncode == 0, answer.stderr
    return orjson.loads(answer.stdout)


def _ready(bot: Bot) -> bool:
    answer = bot.tell("status", "--json")
    return answer.returncode == 0 and "rules:demo" in orjson.loads(answer.stdout)["sources"]


def _begun(place: Path) -> Bot:
    bot = Bot(place, ("--demo", "--json", "--no-redis", "--seed", "3"))
    bot.start()
    try:
        eventually(lambda: _ready(bot), "sources that are let in", 60.0)
    except BaseException:
        bot.end()
        raise
    return bot


def test_every_part_is_watched_and_a_change_acts_from_the_next_start(tmp_path: Path) -> None:
    bot = _begun(tmp_path / "bot")
    try:
        parts = {one["name"]: one["state"] for one in _told(bot, "components")["components"]}
        assert {"feed", "journal", "local feed", "memory", "calibration", "quantconnect", "disk", "event loop"} <= parts.keys()
        assert (parts["journal"], parts["redis"], parts["account"]) == ("ok", "off", "off")
        assert parts["source rules:donchian"] == "ok"
        assert _told(bot, "errors", "--state", "all")["dropped"] == 0
        told = _told(bot, "config", "source", "rules:donchian", "off", "--author", "ann")
        assert (told["before"], told["acts"]) == (True, "after a restart")
        assert _told(bot, "status")["sources"]["rules:donchian"] == "on"
        assert read_overlay(bot.data).sources == {"rules:donchian": False}
        assert _told(bot, "config", "history")["changes"][0]["run"] == _told(bot, "status")["run"]
    finally:
        bot.end()
    bot = _begun(tmp_path / "bot")
    try:
        assert "rules:donchian" not in _told(bot, "status")["sources"]
    finally:
        bot.end()
