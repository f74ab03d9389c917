"""Ctrl-C and SIGTERM, whenever they come."""

from __future__ import annotations

import signal
from pathlib import Path

from bot.journal.queries import Queries
from bot.outlets.rendezvous import FEED_FILE
from tests.app.bot_process import Bot, eventually
from tests.app.worlds import a_configuration, an_exchange, switch


def test_ctrl_c_ends_a_trading_bot_within_five_seconds_with_its_summary(tmp_path: Path) -> None:
    bot = Bot(tmp_path, ("--demo", "--no-redis")).start()
    try:
        bot.wait_for("feed_started")
        eventually(lambda: " stop " in bot.stdout, "the banner")
        code, took = bot.signalled(signal.SIGINT)
        assert code == 0, bot.stderr[-2000:]
        assert took < 5
        assert "SIMULATED" in bot.stdout
        assert "ended after" in bot.stdout
        assert "Traceback" not in bot.stderr
        assert not (bot.data / FEED_FILE).exists()
    finally:
        bot.end()


def test_sigterm_while_the_bot_still_opens_its_world_closes_what_is_open_and_ends_at_once(tmp_path: Path) -> None:
    with an_exchange() as url:
        switch(url, fault="latency", delay=30)
        config = a_configuration(tmp_path / "config", url, connect_timeout="60s")
        bot = Bot(tmp_path, ("--paper", "--no-redis", "--config", str(config))).start()
        try:
            database = bot.data / "arbiter.db"
            eventually(database.exists, "the opening of the journal")
            code, took = bot.signalled(signal.SIGTERM)
            assert code == 130, bot.stderr[-2000:]
            assert took < 5
            assert "Traceback" not in bot.stderr
            assert bot.stderr.splitlines()[-1] == "interrupted"
        finally:
            bot.end()
    with Queries(f"sqlite:///{bot.data / 'arbiter.db'}") as queries:
        assert queries.runs() == []
