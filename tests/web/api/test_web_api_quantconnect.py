"""QuantConnect over the API: access, algorithms, signals and backtests, in a simulated world with a QuantConnect of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from bot.services.quantconnect.live_cases import DeployArguments
from bot.web.api.quantconnect import deploy_text
from bot.web.security.principal import Scope
from tests.app.bot_process import eventually
from tests.web.house import House, contents, house

CANARY = "qc-canary-7d1f0b3e9a55-Zk4P"
PROJECT = 20010001
BACKTEST = {"symbol": "BTC/USDT", "start": "2026-01-05", "end": "2026-01-25", "strategy": {"kind": "sma-cross"}}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(tmp_path_factory.mktemp("quantconnect")) as running:
        running.decided(1)
        yield running


@pytest.fixture
def client(demo: House) -> Iterator[httpx2.Client]:
    with demo.client() as one:
        yield one


def finished(client: httpx2.Client, answer: httpx2.Response, state: str = "done") -> Any:
    """What the job of this answer came to: its result, or why it failed."""
    assert answer.status_code == 202, answer.text
    for _ in range(1_200):
        job = client.get(f"/api/v1/jobs/{answer.json()['job']}").json()
        if job["state"] != "running":
            assert job["state"] == state, job
            return job["result"] if state == "done" else job["error"]
        time.sleep(0.05)
    raise AssertionError(job)


def held(client: httpx2.Client) -> list[dict[str, Any]]:
    found = client.get("/api/v1/quantconnect/signals", params={"journal": False, "project": PROJECT})
    assert found.status_code == 200, found.text
    rows: list[dict[str, Any]] = found.json()["fresh"]
    return rows


def test_the_status_says_how_every_route_is(demo: House) -> None:
    eventually(lambda: demo.ask("/quantconnect/status")["sources"][0]["counts"], "the first poll", 30.0)
    status = demo.ask("/quantconnect/status")
    assert (status["configured"], status["simulated"]) == (True, True)
    (source,) = status["sources"]
    assert source["name"] == "quantconnect:momentum"
    assert [(route["name"], route["healthy"]) for route in source["routes"]] == [(f"insights:{PROJECT}", True)]


def test_a_test_of_the_access_says_what_it_looked_at(client: httpx2.Client) -> None:
    found = finished(client, client.post("/api/v1/quantconnect/auth/test"))
    assert found["ok"]
    assert [check["check"] for check in found["checks"]][:3] == ["credentials", "access", "clock"]


def test_an_algorithm_is_listed_and_told_in_full(demo: House, client: httpx2.Client) -> None:
    (listed,) = demo.ask("/quantconnect/algorithms")["algorithms"]
    assert (listed["project"], listed["active"]) == (PROJECT, True)
    found = client.get(f"/api/v1/quantconnect/algorithms/{PROJECT}", params={"rows": 5})
    assert found.status_code == 200, found.text
    assert found.json()["deployment"] == listed["deployment"]
    assert found.json()["equity"]
    assert {project["project"] for project in demo.ask("/quantconnect/projects")["projects"]} >= {PROJECT}
    assert demo.ask("/quantconnect/nodes")["nodes"]["live"]


@pytest.mark.parametrize("what", ["stop", "liquidate"])
def test_an_algorithm_ends_only_after_a_second_yes(demo: House, client: httpx2.Client, what: str) -> None:
    answer = client.post(f"/api/v1/quantconnect/algorithms/{PROJECT}/{what}")
    assert answer.status_code == 428
    assert str(PROJECT) in answer.json()["text"]
    assert demo.ask("/quantconnect/algorithms", fresh=True)["algorithms"][0]["active"]


def test_a_deployment_is_confirmed_and_says_whose_money_it_is(client: httpx2.Client) -> None:
    answer = client.post("/api/v1/quantconnect/algorithms", json={"project": PROJECT})
    assert answer.status_code == 428
    assert "SIMULATED" in answer.json()["text"]
    sent = {"Confirmation": answer.json()["confirmation"]}
    done = client.post("/api/v1/quantconnect/algorithms", json={"project": PROJECT}, headers=sent)
    assert "runs already" in finished(client, done, "failed")
    paper = DeployArguments(project=7)
    real = DeployArguments(project=7, brokerage={"id": "BinanceBrokerage", "key": "secret:BINANCE_API_KEY"})
    assert "PAPER money" in deploy_text(paper, simulated=False)
    assert "REAL MONEY" in deploy_text(real, simulated=False)


def test_a_key_of_a_brokerage_that_is_written_out_is_refused_and_kept_nowhere(client: httpx2.Client) -> None:
    brokerage = {"id": "BinanceBrokerage", "key": CANARY}
    answer = client.post("/api/v1/quantconnect/algorithms", json={"project": PROJECT, "brokerage": brokerage})
    assert answer.status_code == 422
    assert CANARY not in answer.text
    assert CANARY not in client.get("/api/v1/jobs").text


def test_a_signal_is_decided_on_once_however_often_it_is_asked_for(demo: House, client: httpx2.Client) -> None:
    eventually(lambda: bool(held(client)), "an insight", 60.0)
    name = held(client)[0]["id"]
    asked = finished(client, client.post("/api/v1/quantconnect/signals/fetch"))
    assert asked["sources"][0]["asked"] == [f"insights:{PROJECT}"]
    eventually(lambda: demo.ask(f"/quantconnect/signals/{name}")["journaled"] is not None, "it is in the journal", 20.0)
    done = finished(client, client.post(f"/api/v1/quantconnect/signals/{name}/process", json={}))
    assert done["outcome"] == "known"
    again = demo.ask("/decisions", source="quantconnect:momentum", limit=500)["items"]
    assert [one["external_id"] for one in again].count(name) <= 1
    assert demo.ask(f"/quantconnect/signals/{name}")["journaled"]["id"] == done["decision"]


def test_a_signal_that_nobody_knows_is_not_found(client: httpx2.Client) -> None:
    assert client.get("/api/v1/quantconnect/signals/nosuch").status_code == 404
    assert "no project" in finished(client, client.post("/api/v1/quantconnect/signals/nosuch/process", json={}), "failed")


@pytest.mark.parametrize(
    "path", ["/algorithms/L-nosuch", "/algorithms/1", f"/backtests/{PROJECT}/nosuch", "/backtests?project=1"]
)
def test_an_algorithm_or_a_backtest_that_nobody_knows_is_not_found(client: httpx2.Client, path: str) -> None:
    answer = client.get(f"/api/v1/quantconnect{path}")
    assert answer.status_code == 404, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert answer.json()["detail"]


def test_a_backtest_is_run_kept_read_compared_and_deleted(demo: House, client: httpx2.Client) -> None:
    first = finished(client, client.post("/api/v1/quantconnect/backtest/with-analysis", json={"config": BACKTEST}))
    assert first["lesson"]["rating"]
    reference = first["reference"]
    assert [row["reference"] for row in demo.ask("/quantconnect/backtests")["backtests"]] == [reference]
    whole = demo.ask(f"/quantconnect/backtests/{reference}")
    assert whole["equity_curve"]
    assert "Benchmark" in whole["charts"]
    several = {"backtests": [reference], "results": {"as it was": first}}
    compared = finished(client, client.post("/api/v1/quantconnect/backtests/compare", json=several))
    assert compared["names"][0] == "as it was"
    assert len(compared["curves"][0]) == 3
    believed = demo.ask("/quantconnect/strategy/confidence", strategy="rules:sma-cross", timeframe="1h")["confidence"]
    assert [row["symbol"] for row in believed] == ["BTC/USDT"]
    address = f"/api/v1/quantconnect/backtests/{reference}"
    asked = client.delete(address)
    assert asked.status_code == 428
    gone = client.delete(address, headers={"Confirmation": asked.json()["confirmation"]})
    assert gone.json() == {"deleted": reference}
    assert demo.ask("/quantconnect/backtests")["backtests"] == []


@pytest.mark.parametrize(
    ("path", "more"), [("/backtest", {}), ("/backtest/with-analysis", {}), ("/export", {}), ("/backtest", {"analyse": True})]
)
def test_no_argument_names_a_file_of_this_machine(client: httpx2.Client, path: str, more: dict[str, Any]) -> None:
    given = more or {"out": "/tmp/elsewhere"}
    answer = client.post(f"/api/v1/quantconnect{path}", json={"config": BACKTEST, **given})
    assert answer.status_code == 422


def test_an_export_is_in_the_answer(client: httpx2.Client) -> None:
    found = client.post("/api/v1/quantconnect/export", json={"config": BACKTEST})
    assert found.status_code == 200, found.text
    assert "QCAlgorithm" in found.json()["files"]["main.py"]
    assert found.json()["written"] == []


def test_what_a_sweep_takes_is_asked_without_starting_it(client: httpx2.Client) -> None:
    steps = {"fast": {"min": 5, "max": 10, "step": 5}}
    found = finished(client, client.post("/api/v1/quantconnect/estimate", json={"config": BACKTEST, "parameters": steps}))
    assert (found["started"], found["cost"]["points"]) == (False, 2)
    swept = client.post("/api/v1/quantconnect/sweep", json={"config": BACKTEST, "parameters": steps})
    assert swept.status_code == 428


def test_a_secret_goes_in_and_only_its_mask_comes_out(demo: House, client: httpx2.Client) -> None:
    before = client.get("/api/v1/quantconnect/config")
    assert not before.json()["secrets"]["api_token"]["set"]
    sent = {"secrets": {"api_token": CANARY}, "settings": {"calls": 44, "base_url": "https://www.quantconnect.com/api/v2"}}
    done = client.put("/api/v1/quantconnect/config", json=sent, headers={"If-Match": before.headers["etag"]})
    assert done.status_code == 200, done.text
    shown = client.get("/api/v1/quantconnect/config")
    assert shown.headers["etag"] == done.headers["etag"]
    assert shown.json()["secrets"]["api_token"]["masked"].endswith(CANARY[-4:])
    assert [row["key"] for row in shown.json()["pending"]] == ["quantconnect.calls"], "what is so already is not written again"
    late = client.put("/api/v1/quantconnect/config", json=sent, headers={"If-Match": before.headers["etag"]})
    assert late.status_code == 412
    planted = [file for file, content in contents(demo.data).items() if CANARY.encode() in content]
    assert planted == [], "it is sealed, and written nowhere as it is"
    for path in ("/quantconnect/config", "/quantconnect/status", "/jobs", "/settings/history"):
        assert CANARY not in client.get(f"/api/v1{path}").text


def test_what_was_configured_is_forgotten_after_a_second_yes(client: httpx2.Client) -> None:
    client.put("/api/v1/quantconnect/config", json={"secrets": {"webhook_secret": CANARY}, "settings": {"calls": 55}})
    asked = client.delete("/api/v1/quantconnect/config")
    assert asked.status_code == 428
    assert "QUANTCONNECT_WEBHOOK_SECRET" in asked.json()["text"]
    done = client.delete("/api/v1/quantconnect/config", headers={"Confirmation": asked.json()["confirmation"]})
    assert done.status_code == 200, done.text
    assert not any(row["set"] for row in done.json()["secrets"].values())
    assert done.json()["pending"] == []


@pytest.mark.parametrize("sent", [{}, {"settings": {"calls": 3}}, {"secrets": {"api_token": ""}}, {"secrets": {"other": "x"}}])
def test_a_configuration_that_cannot_be_is_refused(client: httpx2.Client, sent: dict[str, Any]) -> None:
    assert client.put("/api/v1/quantconnect/config", json=sent).status_code == 422


def test_only_who_may_may(demo: House) -> None:
    with demo.client(Scope.READ) as reader:
        assert reader.get("/api/v1/quantconnect/status").status_code == 200
        assert reader.post("/api/v1/quantconnect/backtest", json={"config": BACKTEST}).status_code == 403
        assert reader.post(f"/api/v1/quantconnect/algorithms/{PROJECT}/stop").status_code == 403
    with demo.client(Scope.TRADE) as trader:
        assert trader.put("/api/v1/quantconnect/config", json={"settings": {"calls": 44}}).status_code == 403
