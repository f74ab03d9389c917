"""The memory over the API: what was learnt, as of a moment, and what somebody else's backtests teach."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from bot.web.security.principal import Scope
from research.memory.evidence import BacktestEvidence, dumped
from tests.app.bot_process import eventually
from tests.web.house import House, house

DAY_MS = 86_400_000
SUBJECT = {"symbol": "BTC/USDT", "strategy": "rules:taught", "timeframe": "1h"}


def evidence(known_at: int, reference: str, sharpe: float = 1.4) -> dict[str, Any]:
    made = BacktestEvidence(
        "BTC/USDT", "rules:taught", "1h", known_at=known_at, began=known_at - 400 * DAY_MS, until=known_at - DAY_MS, trades=80,
        total_return=0.3, max_drawdown=0.1, sharpe=sharpe, win_rate=0.55, profit_factor=1.5, returns=(),
        parameters={"fast": 10, "slow": 30}, reference=reference,
    )  # fmt: skip
    told: dict[str, Any] = orjson.loads(dumped(made))
    return told


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(tmp_path_factory.mktemp("memory")) as running:
        running.decided(1)
        yield running


@pytest.fixture(scope="module")
def now(demo: House) -> int:
    """What was taught, and when that was known."""
    at: int = demo.ask("/quantconnect/status")["at"]
    with demo.client() as client:
        sent = {"backtests": [evidence(at - 20 * DAY_MS, "one", 0.4), evidence(at - 2 * DAY_MS, "two")]}
        answer = client.post("/api/v1/memory/learn", json=sent)
        assert answer.status_code == 200, answer.text
        assert answer.json()["kept"]
        assert len(answer.json()["lessons"]) == 2
    return at


def test_what_is_taught_is_a_subject_with_lessons_and_advice(demo: House, now: int) -> None:
    assert demo.ask("/memory/subjects", strategy="rules:taught")["subjects"][0]["symbol"] == "BTC/USDT"
    lessons = demo.ask("/memory/lessons", **SUBJECT)["lessons"]
    assert [lesson["reference"] for lesson in lessons] == ["two", "one"]
    (advice,) = demo.ask("/memory/recommendations", **SUBJECT)["recommendations"]
    assert advice["overall"]
    assert demo.ask("/memory/parameters", **SUBJECT)["parameters"]


def test_the_confidence_is_as_of_the_moment_that_is_asked_about(demo: House, now: int) -> None:
    (today,) = demo.ask("/memory/confidence", **SUBJECT)["confidence"]
    assert 0.0 < today["confidence"] < 1.0
    assert demo.ask("/memory/confidence", **SUBJECT, as_of=now - 30 * DAY_MS)["confidence"] == []
    (history,) = demo.ask("/memory/history", **SUBJECT, points=10)["history"]
    assert len(history["points"]) == 10
    assert history["points"][0]["confidence"] is None, "nothing was known then"
    assert history["points"][-1]["trades"] > 0


def test_the_trades_of_the_run_teach_too(demo: House) -> None:
    eventually(lambda: demo.ask("/memory/lessons", limit=5)["lessons"], "a closed trade", 60.0)


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/memory/lessons", {"limit": 0}),
        ("/memory/history", {"points": 1}),
        ("/memory/confidence", {"as_of": -1}),
        ("/memory/confidence", {"nosuch": "x"}),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(demo: House, path: str, query: dict[str, Any]) -> None:
    with demo.client() as client:
        assert client.get(f"/api/v1{path}", params=query).status_code == 422


def test_evidence_that_is_none_is_refused_and_only_an_admin_teaches(demo: House) -> None:
    with demo.client() as client:
        assert client.post("/api/v1/memory/learn", json={"backtests": [{"no": "evidence"}]}).status_code == 409
    with demo.client(Scope.TRADE) as trader:
        assert trader.post("/api/v1/memory/learn", json={"backtests": [{}]}).status_code == 403
