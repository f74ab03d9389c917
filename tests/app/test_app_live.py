"""`--live` against an exchange: what it demands, what it says before the first order, and what its books are worth afterwards."""

from __future__ import annotations

import json
import signal
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from bot.journal.queries import Queries
from bot.journal.run import BookKey
from simulators.exchange.server import DEMO_ACCOUNT
from tests.app.bot_process import Bot
from tests.app.worlds import a_configuration, an_exchange, switch

KEYS = {"BINANCE_API_KEY": DEMO_ACCOUNT.key, "BINANCE_API_SECRET": DEMO_ACCOUNT.secret}
BOOK = BookKey("arbiter", "live", "binance", "redirected")


@contextmanager
def a_bot(tmp_path: Path, url: str, *arguments: str, keys: dict[str, str] | None = None, **live: object) -> Iterator[Bot]:
    """A bot on real orders at that exchange."""
    config = a_configuration(tmp_path / "config", url, live)
    bot = Bot(tmp_path, ("--live", "--config", str(config), "--no-redis", "--json", *arguments), KEYS if keys is None else keys)
    try:
        yield bot.start()
    finally:
        bot.end()


def account_at(url: str, key: str = DEMO_ACCOUNT.key) -> dict[str, Any]:
    """The exchange's own truth about an account."""
    with urllib.request.urlopen(f"{url}/admin/accounts/{key}", timeout=5) as answer:
        found: dict[str, Any] = json.loads(answer.read())
    return found


def post(url: str, path: str, **body: object) -> None:
    """Do something on the exchange's admin plane."""
    request = urllib.request.Request(f"{url}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=5) as answer:
        assert answer.status < 300


def held(url: str, currency: str) -> Decimal:
    """Free and locked of a currency at the exchange."""
    balance = account_at(url)["balances"].get(currency, {"free": "0", "locked": "0"})
    return Decimal(balance["free"]) + Decimal(balance["locked"])


def test_everything_that_is_missing_is_said_at_once_and_nothing_is_touched(tmp_path: Path) -> None:
    with an_exchange() as url, a_bot(tmp_path, url, keys={}, confirm="") as bot:
        assert bot.wait() == 4
        assert "live.confirm" in bot.stderr
        assert "BINANCE_API_KEY, BINANCE_API_SECRET" in bot.stderr
        assert not bot.data.exists()


def test_keys_that_the_venue_does_not_take_end_the_start_with_a_remedy_and_without_the_key(tmp_path: Path) -> None:
    wrong = {"BINANCE_API_KEY": "not-the-key-of-anybody", "BINANCE_API_SECRET": "not-the-secret-either"}
    with an_exchange() as url, a_bot(tmp_path, url, keys=wrong) as bot:
        assert bot.wait() == 4
        assert "check the keys and their permissions" in bot.stderr
        assert not any(value in bot.stderr + bot.stdout for value in wrong.values())


def test_a_live_run_says_its_plan_trades_and_ends_with_books_that_equal_the_account(tmp_path: Path) -> None:
    with an_exchange() as url, a_bot(tmp_path, url, "--duration", "20") as bot:
        bot.wait_for("LIVE: REAL MONEY")
        bot.wait_for("real orders on binance")
        assert bot.wait() == 0
        assert bot.told()["orders"] > 0
        with Queries(f"sqlite:///{bot.data / 'arbiter.db'}") as journal:
            cash = journal.equity(book=BOOK)[-1].cash
            positions = {row.symbol: row.amount for row in journal.positions(BOOK)}
        assert cash == held(url, "USDT")
        for symbol, amount in positions.items():
            assert amount == held(url, symbol.partition("/")[0])
        assert all(order["client_id"].startswith("arb") for order in account_at(url)["orders"])


def test_nothing_is_traded_until_the_account_could_be_read(tmp_path: Path) -> None:
    with an_exchange() as url:
        switch(url, fault="status", code=503, path="/api/v3/openOrders", count=6)
        with a_bot(tmp_path, url) as bot:
            bot.wait_for("not trading: ")
            assert not account_at(url)["orders"]
            bot.wait_for("executed: order", timeout=60.0)
            assert bot.signalled(signal.SIGINT)[0] == 0


def test_a_killed_bot_goes_on_with_the_books_it_had(tmp_path: Path) -> None:
    with an_exchange() as url:
        with a_bot(tmp_path, url) as bot:
            bot.wait_for("executed: order", timeout=60.0)
            bot.signalled(signal.SIGKILL)
        with a_bot(tmp_path, url, "--duration", "8") as bot:
            assert bot.wait() == 0
            assert "unexplained" not in bot.stderr
            with Queries(f"sqlite:///{bot.data / 'arbiter.db'}") as journal:
                assert journal.equity(book=BOOK)[-1].cash == held(url, "USDT")
                fills = {(fill.symbol, fill.id) for fill in journal.fills(book=BOOK, limit=1_000)}
            assert len(fills) == sum(len(order["fills"]) for order in account_at(url)["orders"])


def test_an_operator_may_ask_for_a_comparison_of_account_and_books(tmp_path: Path) -> None:
    with an_exchange() as url, a_bot(tmp_path, url) as bot:
        bot.wait_for("orders open")
        asked = bot.tell("reconcile")
        assert asked.returncode == 0, asked.stderr
        assert "explained" in asked.stdout
        accepted = bot.tell("reconcile", "--accept")
        assert accepted.returncode == 0, accepted.stderr
        bot.wait_for("accepted the account as it is")


def test_deposits_move_the_books_of_a_bot_that_owns_the_account_and_no_profit(tmp_path: Path) -> None:
    with an_exchange() as url, a_bot(tmp_path, url, reconcile_every="1s") as bot:
        bot.wait_for("orders open")
        post(url, "/admin/transfer", key=DEMO_ACCOUNT.key, asset="USDT", amount="500")
        bot.wait_for("a deposit of 500")
        assert bot.signalled(signal.SIGINT)[0] == 0
        earned = Decimal(bot.told()["equity_end"]) - Decimal(bot.told()["equity_start"])
        assert 400 < earned < 600, "the deposit is in the equity"
        with Queries(f"sqlite:///{bot.data / 'arbiter.db'}") as journal:
            assert journal.equity(book=BOOK)[-1].cash == held(url, "USDT")
