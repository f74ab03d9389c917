"""The page of QuantConnect in states that a demonstration never has, and with texts of somebody who means harm."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.web.pages.quantconnect_charts import months_of
from bot.web.pages.quantconnect_reading import Tried
from bot.web.pages.render import environment
from bot.web.problems import Problem

DAY_MS = 86_400_000
HARM = '<script>alert("x")</script>'
NOBODY = Problem(409, "Not done", "nobody said who asks QuantConnect: set QUANTCONNECT_USER_ID and QUANTCONNECT_API_TOKEN")
NO_BOT = Problem(503, "No bot is running", "start one")
STATUS: dict[str, Any] = {
    "at": 1, "simulated": False, "base_url": "https://www.quantconnect.com/api/v2", "configured": True, "secrets": [],
    "organization": "", "budget": None, "sources": [],
}  # fmt: skip
ROUTE = {"name": "insights:7", "healthy": False, "since": 1, "last_success": None, "failures": 3, "trouble": HARM, "age_ms": None}
SIGNAL = {
    "project": 7, "source": "quantconnect:x", "id": "abc", "generated": 1, "closes": 2, "security": HARM, "symbol": None,
    "heading": "up", "action": None, "confidence": None, "price": None, "expires": None, "model": HARM, "tag": HARM,
    "verdict": "unmapped", "why": HARM,
}  # fmt: skip
SAVED = {
    "reference": "7/abcd", "project": 7, "project_name": HARM, "name": HARM, "created": None, "progress": 0.4,
    "net_profit": None, "sharpe_ratio": None, "drawdown": None, "trades": None,
}  # fmt: skip
RESULT = {
    "reference": "7/abcd", "project": 7, "backtest": "abcd", "name": HARM, "outcome": "no-trades", "start": 1, "end": 2,
    "notices": [HARM], "parameters": {HARM: HARM}, "trade_list": [], "lesson": None, "kept": True,
}  # fmt: skip


def rendered(name: str, **context: Any) -> str:
    return environment().get_template(name).render(now=1_000, **context)


def words(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def status(**found: Any) -> str:
    return rendered("quantconnect/status.html", status=Tried({**STATUS, **found}), algorithms=Tried(), nodes=Tried())


def test_who_did_not_say_who_asks_is_told_where_to() -> None:
    page = status(configured=False)
    assert "not set up" in words(page)
    assert 'href="/quantconnect?tab=configuration"' in page
    for name in ("held.html", "saved.html", "choose.html"):
        page = rendered(f"quantconnect/{name}", held=Tried(problem=NOBODY), saved=Tried(problem=NOBODY), known={})
        assert "Nobody said who asks" in words(page)
        assert 'href="/quantconnect?tab=configuration"' in page


def test_without_a_bot_the_way_to_one_is_named() -> None:
    page = rendered("quantconnect/held.html", held=Tried(problem=NO_BOT), known={})
    assert "needs a running bot" in words(page)
    assert "python -m bot --paper" in page


def test_an_account_without_anything_says_what_to_do() -> None:
    assert "No source hears QuantConnect" in words(status())
    assert "No backtest is saved yet" in words(rendered("quantconnect/saved.html", saved=Tried({"backtests": []})))
    assert "nothing to compare" in words(rendered("quantconnect/choose.html", saved=Tried({"backtests": []})))


@pytest.mark.parametrize(
    ("name", "context"),
    [
        ("quantconnect/held.html", {"held": Tried({"at": 1, "fresh": [SIGNAL], "troubles": {HARM: HARM}}), "known": {}}),
        ("quantconnect/saved.html", {"saved": Tried({"backtests": [SAVED]})}),
        ("results/qc-backtest.html", {"result": RESULT}),
        ("quantconnect/held.html", {"held": Tried(problem=Problem(409, "Not done", HARM)), "known": {}}),
    ],
)
def test_texts_of_the_service_are_never_markup(name: str, context: dict[str, Any]) -> None:
    page = rendered(name, **context)
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_a_route_in_trouble_says_which_and_why() -> None:
    source = {"name": "quantconnect:x", "paused": True, "projects": [7], "webhook_port": None, "counts": {}, "routes": [ROUTE]}
    page = status(sources=[source])
    assert "<script" not in page
    assert "1 in trouble" in words(page)
    assert "never" in words(page)


@given(
    st.lists(st.floats(0.5, 2.0), min_size=1, max_size=400),
    st.integers(0, 20_000),
    st.floats(100.0, 100_000.0),
)
def test_the_returns_of_the_months_come_to_the_return_of_the_whole(factors: list[float], first: int, start: float) -> None:
    worth, daily = start, []
    for place, factor in enumerate(factors):
        worth = max(1e-6, min(1e12, worth * factor))
        daily.append([(first + place + 1) * DAY_MS, worth])
    total = 1.0
    for month in months_of(daily, start):
        total *= 1.0 + float(str(month["return"]))
    assert total == pytest.approx(worth / start, rel=1e-6)
