"""The control room beside the bot: neither takes the other down, nothing outlives its owner, no address is taken silently."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx2
import pytest

from benchmarks.pages import PAGES
from bot.web.place import PLACE_FILE, Place
from tests.app.bot_process import ROOT, Bot, clean_environment, eventually
from tests.servers import free_port
from tests.web.house import House, house

_FREE = {"ARBITER_WEB__ENABLED": "true", "ARBITER_WEB__PORT": "0"}


def alive(pid: int) -> bool:
    """Whether the process still runs; one that only waits to be collected does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in {"Z", "X"}


def place_of(data: Path) -> Place:
    found = Place.read(data)
    assert found is not None
    return found


def answers(client: httpx2.Client, path: str) -> bool:
    try:
        return client.get(path).status_code == 200
    except httpx2.HTTPError:
        return False


@contextmanager
def web_alone(data: Path, place: Path, *arguments: str, **settings: str) -> Iterator[str]:
    """`python -m bot web` over a data directory; its address."""
    command = [sys.executable, "-m", "bot", "web", "--port", "0", "--data-dir", str(data), *arguments]
    environment = clean_environment(place, **settings)
    with (place / "web.out").open("wb") as out, (place / "web.err").open("wb") as err:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=err)
    try:
        eventually(lambda: "open at" in (place / "web.out").read_text(), "the control room opened", 60.0)
        yield place_of(data).url
        process.send_signal(signal.SIGINT)
        process.wait(10)
    finally:
        process.kill()
        process.wait(10)


def entered(house: House, browser: httpx2.Client) -> None:
    browser.get(house.fresh_link(), follow_redirects=True)
    assert browser.cookies


def test_the_bot_trades_on_while_its_control_room_is_killed_and_comes_back_for_who_was_in(tmp_path: Path) -> None:
    with house(tmp_path) as running, httpx2.Client(base_url=running.url, timeout=30.0) as browser:
        running.decided(1)
        entered(running, browser)
        first = place_of(running.data)
        assert first.port == int(running.url.rpartition(":")[2])
        journal = len(running.ask("/decisions", limit=500)["items"])
        os.kill(first.pid, signal.SIGKILL)
        eventually(lambda: (found := Place.read(running.data)) is not None and found.pid != first.pid, "it came back", 60.0)
        assert place_of(running.data).port == first.port
        eventually(lambda: answers(browser, "/api/v1/status"), "the session still opens", 20.0)
        running.decided(journal + 1)
        assert running.bot.process is not None
        assert running.bot.process.poll() is None
        assert running.ask("/risk/state")["state"] == "active"


def test_no_control_room_outlives_a_bot_that_was_killed(tmp_path: Path) -> None:
    with house(tmp_path) as running:
        room = place_of(running.data)
        running.bot.signalled(signal.SIGKILL)
        eventually(lambda: not alive(room.pid), "the control room ended", 15.0)
        assert not (running.data / PLACE_FILE).exists()


def test_where_it_listens_is_told_to_the_owner_alone_and_only_while_it_does(tmp_path: Path) -> None:
    with house(tmp_path) as running:
        told = running.data / PLACE_FILE
        room = place_of(running.data)
        assert stat.S_IMODE(told.stat().st_mode) == 0o600
        code, _ = running.bot.signalled(signal.SIGTERM)
        assert code == 0, running.bot.stderr[-2000:]
        assert not told.exists()
        assert not alive(room.pid)


def test_open_tabs_do_not_hold_up_the_end(tmp_path: Path) -> None:
    with house(tmp_path) as running, ExitStack() as tabs:
        running.decided(1)
        for _ in range(5):
            client = tabs.enter_context(running.client())
            answer = tabs.enter_context(client.stream("GET", "/ui/events"))
            assert b"hello" in next(answer.iter_raw())
        room = place_of(running.data)
        code, took = running.bot.signalled(signal.SIGTERM)
        assert code == 0, running.bot.stderr[-2000:]
        assert took < 5.0
        assert not alive(room.pid)


def test_without_a_control_room_nothing_listens_and_one_by_itself_shows_the_running_bot(tmp_path: Path) -> None:
    bot = Bot(tmp_path, ("--demo", "--no-redis", "--seed", "7", "--no-web"), _FREE).start()
    try:
        eventually(lambda: " decision " in bot.stdout, "the bot decides", 40.0)
        assert not (bot.data / PLACE_FILE).exists()
        assert "control room" not in bot.stdout + bot.stderr
        with web_alone(bot.data, tmp_path) as url:
            beside = House(bot, url, "")
            eventually(lambda: answering(lambda: bool(beside.ask("/status"))), "it hears the bot", 20.0)
            assert beside.ask("/world")["alive"] is True
            with beside.client() as client:
                assert client.post("/api/v1/sources/rules:demo/pause").status_code == 200
            beside.decided(1)
        assert not (bot.data / PLACE_FILE).exists()
        assert bot.process is not None
        assert bot.process.poll() is None
    finally:
        bot.end()


def test_over_a_finished_journal_everything_is_shown_and_nothing_can_be_changed(tmp_path: Path) -> None:
    bot = Bot(tmp_path, ("--demo", "--no-redis", "--seed", "7", "--duration", "6"), {}).start()
    try:
        assert bot.wait(60) == 0, bot.stderr[-2000:]
    finally:
        bot.end()
    journal = {file.name: file.read_bytes() for file in bot.data.glob("arbiter.db*")}
    with web_alone(bot.data, tmp_path) as url:
        over = House(bot, url, "")
        assert over.ask("/decisions")["items"]
        assert over.ask("/world") | {"alive": False, "simulated": True} == over.ask("/world")
        with over.client() as client:
            for path in PAGES:
                assert client.get(path).status_code == 200, path
            refused = client.post("/api/v1/risk/resume", json={})
            if refused.status_code == 428:
                again = {"Confirmation": refused.json()["confirmation"]}
                refused = client.post("/api/v1/risk/resume", json={}, headers=again)
            assert refused.status_code == 503
            assert refused.json()["title"] == "No bot is running"
            assert "no bot is running" in refused.json()["detail"]
            assert client.put("/api/v1/settings/risk.max_position", json={"value": 0.1}).status_code == 503
    assert {file.name: file.read_bytes() for file in bot.data.glob("arbiter.db")} == {"arbiter.db": journal["arbiter.db"]}


def test_an_address_that_is_taken_is_said_in_one_line_before_any_trading(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        bot = Bot(tmp_path, ("--demo", "--no-redis", "--web-port", str(port)), {"ARBITER_WEB__ENABLED": "true"}).start()
        try:
            assert bot.wait(60) not in {0, None}
            lines = [line for line in bot.stderr.splitlines() if line.startswith("error:")]
            assert len(lines) == 1
            assert f"127.0.0.1:{port}" in lines[0]
            assert "--no-web" in lines[0]
            assert "Traceback" not in bot.stderr
            assert " decision " not in bot.stdout + bot.stderr
        finally:
            bot.end()


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_a_public_address_without_a_password_is_refused_in_one_line(tmp_path: Path, host: str) -> None:
    settings = {"ARBITER_WEB__ENABLED": "true", "ARBITER_WEB__HOST": host, "ARBITER_WEB__PORT": str(free_port())}
    bot = Bot(tmp_path, ("--demo", "--no-redis"), settings).start()
    try:
        assert bot.wait(60) not in {0, None}
        assert "WEB_PASSWORD" in bot.stderr
        assert "web.host" in bot.stderr
        assert "Traceback" not in bot.stderr
        assert " decision " not in bot.stdout + bot.stderr
    finally:
        bot.end()


def answering(question: Callable[[], bool]) -> bool:
    try:
        return question()
    except httpx2.HTTPError:
        time.sleep(0.05)
        return False
