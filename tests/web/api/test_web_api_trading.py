"""The API of what was traded, over a real socket: every list has its pages, filters, problems and tags."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from bot.web.security.principal import Scope
from tests.web.house import House, house


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A demonstration that has decided and traded."""
    with house(tmp_path_factory.mktemp("trading")) as running:
        running.decided(12)
        yield running


@pytest.fixture
def client(demo: House) -> Iterator[httpx2.Client]:
    with demo.client(Scope.READ) as made:
        yield made


LISTS = ("/decisions", "/verdicts", "/orders", "/fills", "/lots", "/overrides")


@pytest.mark.parametrize("path", LISTS)
def test_pages_tell_every_entry_once_and_end(client: httpx2.Client, path: str) -> None:
    run = client.get("/api/v1/world").json()["run"]
    whole = client.get(f"/api/v1{path}", params={"limit": 500, "run": run}).json()["items"]
    keys = [each.get("row", each.get("id")) for each in whole]
    found: list[Any] = []
    after = None
    for _ in range(600):
        page = client.get(f"/api/v1{path}", params={"limit": 3, "run": run, **({"after": after} if after else {})}).json()
        found += [each.get("row", each.get("id")) for each in page["items"]]
        after = page["next"]
        if after is None:
            break
    assert after is None
    assert len(found) == len(set(found))
    assert set(keys) <= set(found), "what was there at the first look is on some page"


def test_decisions_are_narrowed_by_source_symbol_and_fate(client: httpx2.Client) -> None:
    first = client.get("/api/v1/decisions", params={"limit": 50}).json()["items"]
    settled = next(each for each in first if each["fate"])
    for name in ("source", "symbol", "fate"):
        found = client.get("/api/v1/decisions", params={name: settled[name]}).json()["items"]
        assert found
        assert {each[name] for each in found} == {settled[name]}
    assert client.get("/api/v1/decisions", params={"fate": "denied", "source": "nobody"}).json() == {"items": [], "next": None}


def test_a_decision_is_told_with_all_that_came_of_it(client: httpx2.Client) -> None:
    found = client.get("/api/v1/decisions", params={"fate": "executed"}).json()["items"][-1]
    told = client.get(f"/api/v1/decisions/{found['id']}").json()
    assert told["decision"]["id"] == found["id"]
    assert told["verdict"]["winner"] == found["id"]
    assert told["orders"]
    assert all(order["decision_id"] == found["id"] for order in told["orders"])
    order = told["orders"][0]["id"]
    assert client.get(f"/api/v1/orders/{order}").json()["id"] == order
    assert client.get(f"/api/v1/orders/{order}/events").json()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/decisions/nobody", 404),
        ("/orders/nobody", 404),
        ("/orders/nobody/events", 404),
        ("/runs/nobody", 404),
        ("/reports/nobody", 404),
        ("/jobs/job-1-1", 404),
        ("/markets/candles?symbol=NO/SUCH", 404),
        ("/decisions?source=", 422),
        ("/decisions?run=", 422),
        ("/verdicts?symbol=", 422),
        ("/lots?symbol=", 422),
        ("/orders?decision_id=", 422),
        ("/fills?order_id=", 422),
        ("/ai/signals?source=", 422),
        ("/notifications/log?channel=", 422),
        ("/settings?section=", 422),
        ("/decisions?limit=0", 422),
        ("/decisions?limit=many", 422),
        ("/decisions?fate=glory", 422),
        ("/decisions?after=!!", 400),
        ("/orders?after=MTIz", 400),
        ("/equity?points=1", 422),
        ("/export/secrets.csv", 422),
        ("/nowhere", 404),
    ],
)
def test_what_is_not_there_or_makes_no_sense_gets_a_problem(client: httpx2.Client, path: str, status: int) -> None:
    answer = client.get(f"/api/v1{path}")
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert told["status"] == status
    assert told["title"]


def test_an_answer_that_has_not_changed_is_not_sent_again(client: httpx2.Client) -> None:
    found = client.get("/api/v1/decisions", params={"fate": "executed"}).json()["items"][-1]["id"]
    first = client.get(f"/api/v1/orders?decision_id={found}")
    again = client.get(f"/api/v1/orders?decision_id={found}", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get(f"/api/v1/orders?decision_id={found}", headers={"If-None-Match": '"other"'}).status_code == 200


def test_whole_tables_are_files_that_a_spreadsheet_opens_safely(client: httpx2.Client) -> None:
    answer = client.get("/api/v1/export/decisions.csv")
    assert answer.headers["content-disposition"].startswith("attachment")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    kept = {each["id"] for each in client.get("/api/v1/export/decisions.json").json()}
    assert {row["id"] for row in rows} <= kept
    assert not any(cell.startswith(("=", "+", "@")) for row in rows for cell in row.values())


def test_the_arbiter_is_held_against_every_mind(client: httpx2.Client) -> None:
    found = client.get("/api/v1/performance").json()
    names = {score["source"] for score in found["scores"]}
    assert "rules:demo" in names
    assert found["arbiter"] is not None
    assert {curve["name"] for curve in client.get("/api/v1/performance/curves").json()} >= {"arbiter"}


def test_a_job_that_nobody_knows_is_missing_and_a_reader_may_not_cancel(client: httpx2.Client) -> None:
    assert client.delete("/api/v1/jobs/job-1-1").status_code == 403


def test_the_live_queue_and_the_market_are_the_bots_own(client: httpx2.Client) -> None:
    assert set(client.get("/api/v1/queue").json()) >= {"waiting", "standing", "claims", "working"}
    symbols = client.get("/api/v1/markets").json()["symbols"]
    candles = client.get("/api/v1/markets/candles", params={"symbol": symbols[0]["symbol"], "limit": 5}).json()
    assert [len(row) for row in candles["candles"]] == [len(candles["columns"])] * 5
    assert client.get("/api/v1/positions/live").json()["currency"] == "USDT"
