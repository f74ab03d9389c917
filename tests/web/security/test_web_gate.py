"""Who gets through the gate."""

from __future__ import annotations

import pytest
import structlog.testing

from bot.web.security.principal import Scope
from bot.web.security.store import SESSION_MS
from tests.web.security.web_world import COOKIE, ORIGIN, World, raw

ME = "/api/v1/me"
ORDERS = "/api/v1/orders"
DAY = 86_400_000


async def test_a_stranger_gets_a_problem_from_the_api_and_the_login_from_a_page(world: World) -> None:
    async with world.client() as client:
        refused = await client.get(ME)
        assert refused.status_code == 401
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.headers["www-authenticate"] == "Bearer"
        sent = await client.get("/", headers={"Accept": "text/html"})
        assert sent.status_code == 303
        assert sent.headers["location"] == "/login?next=%2F"
        assert (await client.get("/ui/tiles", headers={"Accept": "text/html"})).status_code == 401


async def test_the_way_to_the_login_keeps_where_one_wanted_to_go(world: World) -> None:
    async with world.client() as client:
        sent = await client.get("/csrf?symbol=BTC/USDT&x=%0d%0aSet-Cookie:%20a=b", headers={"Accept": "text/html"})
    assert sent.headers["location"].startswith("/login?next=%2Fcsrf%3Fsymbol%3DBTC")
    assert "set-cookie" not in sent.headers


@pytest.mark.parametrize(
    ("scope", "path", "status"),
    [
        (Scope.READ, ME, 200),
        (Scope.READ, ORDERS, 403),
        (Scope.READ, "/api/v1/limits", 403),
        (Scope.TRADE, ORDERS, 200),
        (Scope.TRADE, "/api/v1/limits", 403),
        (Scope.ADMIN, ORDERS, 200),
        (Scope.ADMIN, "/api/v1/limits", 200),
    ],
)
async def test_a_scope_opens_what_it_contains_and_no_more(world: World, scope: Scope, path: str, status: int) -> None:
    headers = await world.bearer(scope)
    method = {ME: "GET", ORDERS: "POST"}.get(path, "PUT")
    async with world.client() as client:
        answer = await client.request(method, path, json={"size": 1} if method != "GET" else None, headers=headers)
    assert answer.status_code == status
    if status == 403:
        assert answer.json()["needed"] in {"trade", "admin"}
        assert world.done == []


@pytest.mark.parametrize(
    "given",
    ["Bearer arb_forged", "Bearer ", "Bearer", "Basic b3duZXI6eA==", "Bearer " + "x" * 5_000, "Bearer arb_x, Bearer arb_y", ""],
)
async def test_a_forged_token_is_refused(world: World, given: str) -> None:
    async with world.client() as client:
        answer = await client.post(ORDERS, json={"size": 1}, headers={"Authorization": given})
    assert answer.status_code == 401
    assert given[7:20].strip() == "" or given[7:] not in answer.text
    assert world.done == []


async def test_an_expired_or_revoked_token_is_refused(world: World) -> None:
    expiring, revoked = await world.bearer(name="expiring"), await world.bearer(name="revoked")
    await world.access.revoke("revoked")
    async with world.client() as client:
        assert (await client.get(ME, headers=revoked)).status_code == 401
        assert (await client.get(ME, headers=expiring)).status_code == 200
        world.now.at += DAY
        assert (await client.get(ME, headers=expiring)).status_code == 401


async def test_a_wrong_token_is_not_made_up_for_by_a_cookie(world: World) -> None:
    async with world.session() as (client, _):
        assert (await client.get(ME)).status_code == 200
        assert (await client.get(ME, headers={"Authorization": "Bearer arb_forged"})).status_code == 401


async def test_a_session_may_read_and_with_its_csrf_token_change(world: World) -> None:
    async with world.session() as (client, headers):
        assert (await client.get(ME)).json() == {"actor": "web:owner", "scope": "admin"}
        assert (await client.post(ORDERS, json={"size": 1}, headers=headers)).status_code == 200
    assert world.done == ["web:owner"]


async def test_a_session_that_is_over_opens_nothing(world: World) -> None:
    async with world.session() as (client, headers):
        world.now.at += SESSION_MS
        assert (await client.get(ME)).status_code == 401
        assert (await client.post(ORDERS, json={"size": 1}, headers=headers)).status_code == 401
    assert world.done == []


@pytest.mark.parametrize(
    "change",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "https://127.0.0.1:8080"},
        {"Origin": "http://127.0.0.1:8081"},
        {"Origin": "http://127.0.0.1:8080.evil.example"},
        {"Origin": "http://127.0.0.1:8080@evil.example"},
        {"Origin": "http://[", "Referer": ORIGIN},
        {"Origin": "http://evil.example", "Referer": f"{ORIGIN}/"},
        {"Origin": None, "Referer": "http://evil.example/?http://127.0.0.1:8080/"},
        {"Origin": None},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "nonsense"},
        {"X-CSRF-Token": None},
        {"X-CSRF-Token": ""},
        {"X-CSRF-Token": "0" * 64},
        {"X-CSRF-Token": "\N{LATIN SMALL LETTER E WITH ACUTE}"},
    ],
)
async def test_a_change_from_elsewhere_or_without_csrf_token_is_refused(world: World, change: dict[str, str | None]) -> None:
    async with world.session() as (client, headers):
        given = raw({name: value for name, value in {**headers, **change}.items() if value is not None})
        answer = await client.post(ORDERS, json={"size": 1}, headers=given)
    assert answer.status_code == 403
    assert world.done == []


@pytest.mark.parametrize("extra", [{"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {}])
async def test_a_referer_of_ours_stands_in_for_a_missing_origin(world: World, extra: dict[str, str]) -> None:
    async with world.session() as (client, headers):
        del headers["Origin"]
        answer = await client.post(ORDERS, json={"size": 1}, headers={**headers, "Referer": f"{ORIGIN}/risk", **extra})
    assert answer.status_code == 200


async def test_the_csrf_token_of_one_session_is_worthless_in_another(world: World) -> None:
    async with world.session() as (_, others), world.session() as (client, headers):
        answer = await client.post(ORDERS, json={"size": 1}, headers={**headers, "X-CSRF-Token": others["X-CSRF-Token"]})
    assert answer.status_code == 403
    assert world.done == []


async def test_a_form_without_script_carries_its_csrf_token_in_a_field(world: World) -> None:
    async with world.session() as (client, headers):
        body = {"csrf": headers["X-CSRF-Token"], "symbol": "BTC/USDT é <b>"}
        answer = await client.post("/api/v1/form", data=body, headers={"Origin": ORIGIN})
        assert answer.json() == body
        refused = await client.post("/api/v1/form", data={**body, "csrf": "x"}, headers={"Origin": ORIGIN})
        assert refused.status_code == 403


@pytest.mark.parametrize("body", [b"csrf=%ff", b"&".join(b"a%d=1" % number for number in range(500)), b"\xff\xfe=1"])
async def test_a_form_that_cannot_be_read_is_a_problem_of_the_sender(world: World, body: bytes) -> None:
    headers = {**await world.bearer(), "Content-Type": "application/x-www-form-urlencoded"}
    async with world.client() as client:
        assert (await client.post("/api/v1/form", content=body, headers=headers)).status_code == 400


async def test_a_token_needs_no_csrf_for_no_browser_sends_it_by_itself(world: World) -> None:
    headers = {**await world.bearer(Scope.TRADE), "Origin": "http://evil.example"}
    async with world.client() as client:
        assert (await client.post(ORDERS, json={"size": 1}, headers=headers)).status_code == 200
    assert world.done == ["web:script"]


async def test_wrong_tokens_are_refused_later_and_later_while_right_ones_pass(world: World) -> None:
    right = await world.bearer()
    async with world.client() as client:
        seen = [(await client.get(ME, headers={"Authorization": f"Bearer arb_{n}"})).status_code for n in range(60)]
        locked = await client.get(ME, headers={"Authorization": "Bearer arb_again"})
        assert (await client.get(ME, headers=right)).status_code == 200
    assert seen[:20] == [401] * 20
    assert set(seen[30:]) == {429}
    assert int(locked.headers["retry-after"]) >= 1
    assert locked.json()["retry_after"] == int(locked.headers["retry-after"])


async def test_changes_that_come_too_fast_are_put_off_and_not_made(world: World) -> None:
    headers = await world.bearer()
    async with world.client() as client:
        seen = [await client.post(ORDERS, json={"size": 1}, headers=headers) for _ in range(70)]
        assert [answer.status_code for answer in seen] == [200] * 60 + [429] * 10
        assert len(world.done) == 60
        world.now.at += 1_000 * int(seen[-1].headers["retry-after"])
        assert (await client.post(ORDERS, json={"size": 1}, headers=headers)).status_code == 200


async def test_no_key_shows_in_the_log_or_in_a_refusal(world: World) -> None:
    headers = await world.bearer()
    made = await world.access.new_session()
    with structlog.testing.capture_logs() as logs:
        async with world.client(cookies={COOKIE: made.key}) as client:
            answers = [
                await client.post(ORDERS, json={"size": 1}),
                await client.post(ORDERS, json={"size": "x"}, headers=headers),
                await client.get("/api/v1/nothing", headers=headers),
            ]
    seen = repr(logs) + "".join(answer.text + repr(answer.headers) for answer in answers)
    assert made.key not in seen
    assert headers["Authorization"].removeprefix("Bearer ") not in seen
