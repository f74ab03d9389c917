"""Risk over the API: the two steps before anything is halted, what the limits say, and orders that are only thought of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from bot.web.security.principal import Scope
from tests.app.bot_process import eventually
from tests.web.house import House, house

API = "/api/v1"
SCRIPT = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    unlimited = {"ARBITER_RISK__LOSS_STREAK": "null", "ARBITER_RISK__MAX_ORDERS_PER_MINUTE": "null"}
    with house(tmp_path_factory.mktemp("risk"), **unlimited) as running:
        running.decided(2)
        yield running


@pytest.fixture
def client(demo: House) -> Iterator[httpx2.Client]:
    with demo.client() as one:
        yield one


def confirmed(client: httpx2.Client, path: str, sent: dict[str, Any]) -> httpx2.Response:
    first = client.post(f"{API}{path}", json=sent)
    assert first.status_code == 428, first.text
    return client.post(f"{API}{path}", json=sent, headers={"Confirmation": first.json()["confirmation"]})


def state(client: httpx2.Client) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"{API}/risk/state").json()
    return found


def test_the_limits_say_how_full_they_are_and_which_setting_they_are(client: httpx2.Client) -> None:
    found = state(client)
    assert found["state"] == "active"
    names = {each["setting"] for each in found["limits"]}
    assert {"risk.max_position", "risk.max_exposure", "risk.max_drawdown"} <= names
    assert all(0.0 <= each["share"] <= 1.0 for each in found["limits"])


def test_nothing_is_halted_before_it_is_confirmed_with_the_same_words(client: httpx2.Client) -> None:
    first = client.post(f"{API}/risk/kill", json={"reason": "first"})
    assert first.status_code == 428
    assert "no order is sent" in first.json()["text"]
    other = client.post(
        f"{API}/risk/kill", json={"reason": "first", "flatten": True}, headers={"Confirmation": first.json()["confirmation"]}
    )
    assert other.status_code == 428
    assert state(client)["state"] == "active"


def test_a_halt_with_a_script_as_its_reason_is_kept_as_text_and_is_over_after_the_resume(client: httpx2.Client) -> None:
    assert confirmed(client, "/risk/kill", {"reason": SCRIPT}).status_code == 200
    eventually(lambda: state(client)["state"] == "halted", "it halted", 10.0)
    assert SCRIPT in state(client)["reason"]
    page = client.get("/risk", headers={"Accept": "text/html"})
    assert page.status_code == 200
    assert SCRIPT not in page.text
    assert "&lt;img src=x" in page.text
    denied = client.post(f"{API}/risk/validate", json={"symbol": "BTC/USDT", "side": "buy", "notional": "500"}).json()
    assert (denied["admitted"], denied["denial"]) == (False, "halted")
    assert confirmed(client, "/risk/resume", {"reason": "enough"}).status_code == 200
    eventually(lambda: state(client)["state"] == "active", "it trades again", 10.0)


def test_a_hypothetical_order_is_answered_check_by_check_and_changes_nothing(client: httpx2.Client) -> None:
    answer: dict[str, Any] = {}

    def admitted() -> bool:
        wish = {"symbol": "BTC/USDT", "side": "buy", "notional": "900000"}
        answer.update(client.post(f"{API}/risk/validate", json=wish).json())
        return bool(answer["admitted"])

    eventually(admitted, "market data are fresh")
    assert "shrunk" in {each["answer"] for each in answer["checks"]}
    small = client.post(f"{API}/risk/validate", json={"symbol": "BTC/USDT", "side": "buy", "notional": "0.01"}).json()
    assert not small["admitted"]
    assert small["reason"]
    size = client.post(f"{API}/risk/size", json={"symbol": "BTC/USDT", "confidence": 0.8}).json()
    assert [each["name"] for each in size["policies"] if each["used"]] == [size["used"]]
    assessed = client.get(f"{API}/risk/assessment").json()
    assert assessed["at_risk"]["method"]


@pytest.mark.parametrize(
    ("path", "sent", "status"),
    [
        ("/risk/validate", {"symbol": "NO/SUCH", "side": "buy", "notional": "5"}, 404),
        ("/risk/validate", {"symbol": "BTC/USDT", "side": "up", "notional": "5"}, 422),
        ("/risk/validate", {"symbol": "BTC/USDT", "side": "buy"}, 422),
        ("/risk/validate", {"symbol": "BTC/USDT", "side": "buy", "notional": "5", "amount": "1"}, 422),
        ("/risk/validate", {"symbol": "BTC/USDT", "side": "buy", "notional": "NaN"}, 422),
        ("/risk/validate", {"symbol": SCRIPT, "side": "buy", "notional": "5"}, 404),
        ("/risk/size", {"symbol": "BTC/USDT", "confidence": 7}, 422),
        ("/risk/size", {"symbol": "BTC/USDT", "source": "rules:nobody"}, 404),
        ("/risk/kill", {"reason": ""}, 422),
        ("/risk/kill", {"reason": "x" * 300}, 422),
        ("/risk/kill", {"flatten": "perhaps"}, 422),
        ("/risk/resume", {"flatten": True}, 422),
        ("/risk/kill", {"reason": "x" * 3_000_000}, 413),
    ],
)
def test_rubbish_is_refused_with_a_problem_and_nothing_is_done(
    client: httpx2.Client, path: str, sent: dict[str, Any], status: int
) -> None:
    answer = client.post(f"{API}{path}", json=sent)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert state(client)["state"] == "active"


def test_a_reader_may_look_and_not_halt(demo: House) -> None:
    with demo.client(Scope.READ) as reader:
        assert reader.get(f"{API}/risk/state").status_code == 200
        assert reader.post(f"{API}/risk/kill", json={"reason": "x"}).status_code == 403


@pytest.mark.parametrize(
    "query",
    [
        {"symbol": SCRIPT, "size": SCRIPT, "side": SCRIPT[:10]},
        {"symbol": "BTC/USDT", "size": "-1"},
        {"symbol": "BTC/USDT", "size": ""},
        {"symbol": "BTC/USDT", "size": "1e99"},
    ],
)
def test_the_what_if_of_the_page_tells_rubbish_in_words(client: httpx2.Client, query: dict[str, str]) -> None:
    answer = client.get("/ui/risk/what-if", params=query)
    assert answer.status_code == 200
    assert SCRIPT not in answer.text
    assert 'role="alert"' in answer.text
