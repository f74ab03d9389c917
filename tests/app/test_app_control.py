"""Operators and a running bot, through the command line: status, pause, reduce, kill, resume, and the two ways to end it."""

from __future__ import annotations

import signal
import urllib.request
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import orjson
import pytest

from bot.journal.queries import Queries
from bot.outlets.rendezvous import FEED_FILE
from tests.app.bot_process import Bot, eventually
from tests.servers import free_port


@pytest.fixture(scope="module")
def running_bot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bot]:
    """A demo that runs until it is told to stop."""
    bot = Bot(tmp_path_factory.mktemp("control"), ("--demo", "--json", "--no-redis", "--seed", "3"))
    bot.settings["ARBITER_METRICS__PORT"] = str(free_port())
    bot.start()
    try:
        bot.wait_for(" fill ")
        yield bot
    finally:
        bot.end()


def status_of(bot: Bot) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(bot.tell("status", "--json").stdout)
    return found


def test_status_tells_how_the_run_does(running_bot: Bot) -> None:
    answer = running_bot.tell("status", "--json")
    assert answer.returncode == 0, answer.stderr
    status = orjson.loads(answer.stdout)
    assert status["mode"] == "demo"
    assert status["simulated"] is True
    assert status["state"] == "active"
    assert status["fills"] >= 1
    assert status["failing"] == {}
    assert status["journal_trouble"] is None
    assert status["sources"]["rules:demo"] == "on"


def test_a_second_bot_in_the_same_data_directory_is_refused_and_disturbs_nothing(running_bot: Bot) -> None:
    with Queries(f"sqlite:///{running_bot.data / 'arbiter.db'}") as queries:
        before = [run.id for run in queries.runs()]
    second = running_bot.tell("--demo", "--duration", "3", "--json", "--no-redis")
    assert second.returncode == 1
    assert second.stdout == ""
    (line,) = second.stderr.splitlines()
    assert line.startswith(f"error: process {running_bot.pid} already runs a bot in ")
    assert "--data-dir" in line
    with Queries(f"sqlite:///{running_bot.data / 'arbiter.db'}") as queries:
        assert [run.id for run in queries.runs()] == before
    assert running_bot.tell("status").returncode == 0


def test_a_source_is_paused_and_heard_again(running_bot: Bot) -> None:
    assert running_bot.tell("pause", "rules:donchian").returncode == 0
    assert status_of(running_bot)["sources"]["rules:donchian"] == "paused"
    assert running_bot.tell("unpause", "rules:donchian").returncode == 0
    unknown = running_bot.tell("pause", "rules:nobody")
    assert unknown.returncode == 1
    assert "rules:nobody" in unknown.stderr
    assert "rules:donchian" in unknown.stderr


def test_reduce_kill_flatten_and_resume(running_bot: Bot) -> None:
    assert "reducing" in running_bot.tell("reduce", "--reason", "lunch").stdout
    assert status_of(running_bot)["state"] == "reducing"
    killed = running_bot.tell("kill", "--flatten", "--reason", "the end")
    assert killed.returncode == 0, killed.stderr
    status = status_of(running_bot)
    assert status["state"] == "halted"
    assert status["positions"] == {}
    fills = status["fills"]
    eventually(lambda: status_of(running_bot)["market_events"] > status["market_events"], "an event")
    assert status_of(running_bot)["fills"] == fills
    assert running_bot.tell("resume").returncode == 0
    assert status_of(running_bot)["state"] == "active"
    with Queries(f"sqlite:///{running_bot.data / 'arbiter.db'}") as queries:
        audit = [(done.actor, done.detail) for done in queries.commands()]
    assert any("halted, flatten: the end" in detail for _, detail in audit)
    assert any("reducing: lunch" in detail for _, detail in audit)


def test_metrics_answer_with_what_every_room_counts(running_bot: Bot) -> None:
    port = running_bot.settings["ARBITER_METRICS__PORT"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    values = {line.split(" ")[0]: Decimal(line.split(" ")[1]) for line in text.splitlines() if not line.startswith("#")}
    assert values['bot_feed_events_total{stream="quotes"}'] > 0
    assert values['bot_journal_rows_total{table="all"}'] > 0
    assert values['bot_inbox_depth{lane="broker"}'] >= 0
    assert values["bot_decision_latency_seconds_count"] >= 1
    assert 'bot_feed_last_event_timestamp_seconds{symbol="BTC/USDT"}' in values
    for name in ("bot_queue_depth", "bot_conflated_total", "bot_clock_offset_seconds", "bot_journal_backlog"):
        assert name in values
    assert values["bot_scrape_failures_total"] == 0


def test_sigterm_ends_it_within_five_seconds_with_the_summary_and_status_then_finds_nobody(running_bot: Bot) -> None:
    code, took = running_bot.signalled(signal.SIGTERM)
    assert code == 0, running_bot.stderr[-2000:]
    assert took < 5
    assert running_bot.told()["simulated"] is True
    assert "ended after" in running_bot.stderr
    assert not (running_bot.data / FEED_FILE).exists()
    with Queries(f"sqlite:///{running_bot.data / 'arbiter.db'}") as queries:
        run = queries.latest_run()
    assert run is not None
    assert run.closed_cleanly
    for command in (("status", "--json"), ("kill",), ("resume",), ("pause", "rules:demo")):
        nobody = running_bot.tell(*command)
        assert nobody.returncode == 3, command
        assert nobody.stderr.startswith("error: no bot is running in ")
        assert len(nobody.stderr.splitlines()) == 1
