"""Settings, secrets and tokens over the API: who may change what, what is refused, and what is never told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, cast

import httpx2
import pytest
from starlette.requests import Request

from bot.web.api.quantconnect import _Step, _taken
from bot.web.problems import Problem
from bot.web.security.gate import CSRF_HEADER, csrf_of
from bot.web.security.principal import Scope
from tests.web.house import House, contents, house

API = "/api/v1"
CANARY = "canary-7d31f0b6-do-not-show-me-Zq81"
SCRIPT = "<script>alert('x')</script>"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(tmp_path_factory.mktemp("settings"), QUANTCONNECT_USER_ID="4711") as running:
        yield running


@pytest.fixture
def client(demo: House) -> Iterator[httpx2.Client]:
    with demo.client() as one:
        yield one


def change(client: httpx2.Client, key: str, value: Any, **headers: str) -> httpx2.Response:
    return client.put(f"{API}/settings/{key}", json={"value": value, "note": "a test"}, headers=headers)


def test_every_setting_is_told_with_its_value_its_origin_and_its_meaning(demo: House) -> None:
    shown = demo.ask("/settings", section="risk")
    row = next(each for each in shown["settings"] if each["key"] == "risk.max_drawdown")
    assert row["kind"] in {"default", "file"}
    assert all(each["key"].startswith("risk.") for each in shown["settings"])
    fields = {each["key"]: each for each in demo.ask("/settings/fields")}
    assert fields["risk.max_drawdown"]["about"]
    assert fields["risk.stale_after"]["kind"] == "duration"
    assert fields["desk.policy"]["choices"] == ["priority", "confidence", "consensus"]
    assert fields["risk.max_drawdown"]["fixed"] == ""
    assert "who can reach the bot" in fields["web.port"]["fixed"]


def test_a_change_is_kept_with_who_before_and_after_and_says_that_it_waits_for_a_restart(client: httpx2.Client) -> None:
    done = change(client, "risk.max_daily_loss", 0.03)
    assert done.status_code == 200, done.text
    assert done.json()["after_restart"] == ["risk.max_daily_loss"]
    shown = client.get(f"{API}/settings").json()
    assert {each["key"]: each["next"] for each in shown["pending"] if each["key"].startswith("risk")} == {
        "risk.max_daily_loss": 0.03
    }
    newest = client.get(f"{API}/settings/history", params={"limit": 1}).json()["items"][0]
    assert (newest["subject"], newest["before"], newest["after"], newest["note"]) == ("risk.max_daily_loss", 0.05, 0.03, "a test")
    assert newest["author"].startswith("web:test-")
    gone = client.delete(f"{API}/settings/risk.max_daily_loss")
    assert gone.status_code == 200, gone.text
    assert client.delete(f"{API}/settings/risk.max_daily_loss").status_code == 404


def test_a_change_that_builds_on_what_is_no_longer_so_is_refused(client: httpx2.Client) -> None:
    tag = client.get(f"{API}/settings").headers["etag"]
    assert client.get(f"{API}/settings", headers={"If-None-Match": tag}).status_code == 304
    assert change(client, "risk.max_open_orders", 19, **{"If-Match": tag}).status_code == 200
    late = change(client, "risk.max_open_orders", 18, **{"If-Match": tag})
    assert late.status_code == 412
    assert late.headers["content-type"].startswith("application/problem+json")
    fresh = client.get(f"{API}/settings").headers["etag"]
    assert fresh != tag
    assert change(client, "risk.max_open_orders", 18, **{"If-Match": fresh}).status_code == 200


def test_of_many_changes_at_once_that_build_on_the_same_one_is_made(demo: House) -> None:
    keys = ("max_position", "max_exposure", "max_drawdown", "max_daily_loss", "max_drawdown", "max_position")
    with demo.client() as client, ThreadPoolExecutor(len(keys)) as pool:
        tag = client.get(f"{API}/settings").headers["etag"]
        sent = [(f"risk.{key}", 0.11 + number / 100) for number, key in enumerate(keys)]
        found = list(pool.map(lambda each: change(client, *each, **{"If-Match": tag}), sent))
        assert sorted(each.status_code for each in found) == [200, *[412] * (len(keys) - 1)], [each.text for each in found]
        for key in {key for key, _ in sent}:
            client.delete(f"{API}/settings/{key}")


def test_access_that_cannot_be_changed_whole_is_not_changed_at_all(client: httpx2.Client) -> None:
    before = client.get(f"{API}/quantconnect/config").json()
    sealed = {"settings": {"calls": 44}, "secrets": {"api_token": "t", "user_id": "u"}}
    refused = client.put(f"{API}/quantconnect/config", json=sealed)
    assert refused.status_code == 409
    assert "QUANTCONNECT_USER_ID comes from the environment" in refused.json()["detail"]
    absurd = {"settings": {"calls": 44}, "secrets": {"api_token": "t", "webhook_secret": "a\u0007b"}}
    assert client.put(f"{API}/quantconnect/config", json=absurd).status_code == 422
    assert client.get(f"{API}/quantconnect/config").json() == before


async def test_access_that_was_changed_in_part_says_which_part() -> None:
    steps = [_Step(name, "config.secret-delete", {"name": name}) for name in ("ONE_KEY", "TWO_KEY", "THREE_KEY")]
    with pytest.raises(Problem) as raised:
        await _taken(cast("Any", Broken()), cast("Any", None), Request({"type": "http"}), steps, None)
    assert (raised.value.status, raised.value.extra) == (503, {"done": ["ONE_KEY"]})
    assert raised.value.detail == "it went away; done before that, and not taken back: ONE_KEY"


class Broken:
    """A control room whose bot goes away after the first thing that it does."""

    def __init__(self) -> None:
        self.asked = 0

    async def ask(self, name: str, args: Mapping[str, object], principal: object, *, nonce: str | None) -> dict[str, object]:
        del name, args, principal, nonce
        self.asked += 1
        if self.asked > 1:
            raise Problem(503, "The bot went away", "it went away")
        return {}


@pytest.mark.parametrize(
    ("key", "value", "status"),
    [
        ("risk.max_drawdown", "much", 422),
        ("risk.max_drawdown", 7, 422),
        ("risk.max_drawdown", {"deep": [1]}, 422),
        ("risk.nothing", 1, 422),
        ("nothing.at_all", 1, 422),
        ("desk.policy", SCRIPT, 422),
        ("market.stall_multiple", None, 422),
        ("web.port", 1, 403),
        ("live.confirm", "I-understand", 403),
        ("bot.data_dir", "/tmp/elsewhere", 403),
        ("journal.url", "sqlite:////etc/passwd", 403),
        ("llm.providers.openai.base_url", "http://127.0.0.1:1/", 403),
        ("..%2F..%2Fetc%2Fpasswd", 1, 404),
        ("risk", 1, 422),
        ("risk.__class__", 1, 422),
    ],
)
def test_what_cannot_be_is_refused_with_its_reason(client: httpx2.Client, key: str, value: object, status: int) -> None:
    before = client.get(f"{API}/settings/history").json()
    answer = change(client, key, value)
    assert answer.status_code == status, answer.text
    problem = answer.json()
    assert problem["status"] == status
    assert problem["title"]
    assert client.get(f"{API}/settings/history").json() == before


def test_several_changes_are_made_together_or_not_at_all(client: httpx2.Client) -> None:
    mixed = {"changes": {"risk.max_position": 0.2, "risk.max_exposure": "much"}}
    assert client.put(f"{API}/settings", json=mixed).status_code == 422
    assert not [each for each in client.get(f"{API}/settings").json()["pending"] if each["key"] == "risk.max_position"]
    both = {"changes": {"risk.max_position": 0.2, "risk.max_exposure": 0.9}, "note": SCRIPT}
    assert client.put(f"{API}/settings", json=both).status_code == 200
    assert client.put(f"{API}/settings", json={"changes": {}}).status_code == 422
    assert client.put(f"{API}/settings", content=b"not json").status_code == 422


def test_a_body_that_is_too_large_is_refused_before_it_is_read(client: httpx2.Client) -> None:
    answer = client.put(f"{API}/settings/exchange.symbols", json={"value": "x" * 2_000_000})
    assert answer.status_code == 413


def test_a_source_is_switched_for_the_next_start(client: httpx2.Client) -> None:
    shown = client.get(f"{API}/settings").json()["sources"]
    name = shown[0]["name"]
    done = client.put(f"{API}/settings/sources/{name}", json={"enabled": False})
    assert done.status_code == 200, done.text
    now = {each["name"]: each for each in client.get(f"{API}/settings").json()["sources"]}
    assert now[name]["enabled"] is False
    assert client.put(f"{API}/settings/sources/rules:nobody", json={"enabled": True}).status_code == 404
    assert client.put(f"{API}/settings/sources/{name}", json={"enabled": "perhaps"}).status_code == 422


def test_a_secret_goes_in_and_is_found_nowhere(demo: House, client: httpx2.Client) -> None:
    done = client.put(f"{API}/secrets/BINANCE_API_SECRET", json={"value": CANARY})
    assert done.status_code == 200, done.text
    row = next(each for each in client.get(f"{API}/secrets").json()["secrets"] if each["name"] == "BINANCE_API_SECRET")
    assert row["set"]
    assert row["masked"].endswith(CANARY[-4:])
    for path in ("/secrets", "/settings", "/settings/history", "/audit", "/jobs", "/status"):
        assert CANARY not in client.get(f"{API}{path}").text
    assert CANARY not in client.get("/settings", headers={"Accept": "text/html"}).text
    planted = [path for path, content in contents(demo.data).items() if CANARY.encode() in content]
    assert planted == []
    assert CANARY not in demo.bot.stdout + demo.bot.stderr
    assert client.delete(f"{API}/secrets/BINANCE_API_SECRET").status_code == 200
    assert client.delete(f"{API}/secrets/BINANCE_API_SECRET").status_code == 404


@contextmanager
def somebody(demo: House) -> Iterator[httpx2.Client]:
    """A browser that came in by a one-time link."""
    with httpx2.Client(base_url=demo.url, timeout=40.0) as browser:
        assert browser.get(demo.fresh_link(), follow_redirects=True).status_code == 200
        (key,) = browser.cookies.values()
        browser.headers.update({CSRF_HEADER: csrf_of(key), "Origin": demo.url})
        yield browser


def test_another_password_ends_every_session_but_the_one_that_says_it(demo: House, client: httpx2.Client) -> None:
    with somebody(demo) as mine, somebody(demo) as other:
        waiting = demo.fresh_link()
        assert other.get(f"{API}/status").status_code == 200
        try:
            done = mine.put(f"{API}/secrets/WEB_PASSWORD", json={"value": "correct horse"})
            assert (done.status_code, done.json()["acts"]) == (200, "at once"), done.text
            assert (mine.get(f"{API}/status").status_code, other.get(f"{API}/status").status_code) == (200, 401)
            assert other.get(waiting).status_code == 410
            (noted,) = client.get(f"{API}/audit", params={"command": "access.sign-out-others"}).json()["items"]
            assert noted["target"] == "WEB_PASSWORD"
        finally:
            gone = client.delete(f"{API}/secrets/WEB_PASSWORD")
        assert gone.status_code == 200
        assert (mine.get(f"{API}/status").status_code, client.get(f"{API}/status").status_code) == (401, 200)
    with somebody(demo) as third:
        assert client.delete(f"{API}/secrets/WEB_PASSWORD").status_code == 404  # as after a deletion whose answer was lost
        assert third.get(f"{API}/status").status_code == 401


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("lower_case", {"value": "x"}),
        ("..%2Fkey", {"value": "x"}),
        ("GOOD_NAME", {"value": ""}),
        ("GOOD_NAME", {"value": "a\nb"}),
        ("GOOD_NAME", {"value": 12}),
        ("GOOD_NAME", {}),
        ("GOOD_NAME", {"value": "x", "more": 1}),
        ("GOOD_NAME", {"value": "ä" * 4_000}),
    ],
)
def test_a_secret_that_cannot_be_one_is_refused_and_not_repeated(client: httpx2.Client, name: str, body: dict[str, Any]) -> None:
    answer = client.put(f"{API}/secrets/{name}", json=body)
    assert answer.status_code in {404, 422}, answer.text
    assert "ää" not in answer.text


def test_a_token_is_shown_once_works_and_is_revoked_at_once(demo: House, client: httpx2.Client) -> None:
    made = client.post(f"{API}/tokens", json={"name": "grafana", "scope": "read", "days": 3}, headers={"Idempotency-Key": "one"})
    assert made.status_code == 201, made.text
    value = made.json()["value"]
    again = client.post(f"{API}/tokens", json={"name": "grafana", "scope": "read", "days": 3}, headers={"Idempotency-Key": "one"})
    assert again.status_code == 409
    assert value not in again.text
    assert value not in client.get(f"{API}/tokens").text
    assert value.encode() not in (demo.data / "web.db").read_bytes()
    with httpx2.Client(base_url=demo.url, headers={"Authorization": f"Bearer {value}"}, timeout=20.0) as machine:
        assert machine.get(f"{API}/settings").status_code == 200
        assert change(machine, "risk.max_open_orders", 17).status_code == 403
        assert machine.get(f"{API}/secrets").status_code == 403
        assert machine.post(f"{API}/tokens", json={"name": "more"}).status_code == 403
        assert client.delete(f"{API}/tokens/grafana").status_code == 200
        assert machine.get(f"{API}/settings").status_code == 401
    assert client.delete(f"{API}/tokens/grafana").status_code == 404
    audited = [each["command"] for each in client.get(f"{API}/audit").json()["items"]]
    assert {"access.token-new", "access.token-revoke"} <= set(audited)


@pytest.mark.parametrize(
    "wish",
    [
        {"name": SCRIPT},
        {"name": "../up"},
        {"name": "x", "scope": "god"},
        {"name": "x", "days": 0},
        {"name": "x", "days": 100_000},
        {"name": "x", "value": "arb_mine"},
        {},
    ],
)
def test_a_token_that_cannot_be_is_refused(client: httpx2.Client, wish: dict[str, Any]) -> None:
    assert client.post(f"{API}/tokens", json=wish).status_code == 422


def test_a_trader_changes_no_settings(demo: House) -> None:
    with demo.client(Scope.TRADE) as trader:
        assert change(trader, "risk.max_open_orders", 5).status_code == 403
        assert trader.put(f"{API}/secrets/X_KEY", json={"value": "x"}).status_code == 403
        assert trader.delete(f"{API}/sessions").status_code == 403


def test_pages_of_the_history_follow_each_other(client: httpx2.Client) -> None:
    for most in (11, 12, 13):
        assert change(client, "risk.max_open_orders", most).status_code == 200
    first = client.get(f"{API}/settings/history", params={"limit": 2}).json()
    second = client.get(f"{API}/settings/history", params={"limit": 2, "after": first["next"]}).json()
    assert [each["after"] for each in first["items"]] == [13, 12]
    assert second["items"][0]["after"] == 11
    assert client.get(f"{API}/settings/history", params={"after": "???"}).status_code == 400
    assert client.get(f"{API}/settings", params={"section": "nowhere"}).status_code == 404
