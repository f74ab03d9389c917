"""What holds for every request."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog.testing
from starlette.types import Message, Receive, Scope, Send

from bot.secrets import Secrets
from bot.web.security.binding import refusal
from bot.web.security.middleware import BODY_LIMIT, CSP, BodyLimit
from bot.web.security.store import AccessStore
from tests.web.security.web_world import Clock, World, make_world, raw

LIMITS = "/api/v1/limits"


@pytest.mark.parametrize("path", ["/login", "/", "/api/v1/me", "/nothing", "/enter?key=x", "/static/app.css", "/api/v1/orders"])
async def test_every_answer_carries_the_headers_that_bind_a_browser(world: World, path: str) -> None:
    async with world.client() as client:
        headers = (await client.get(path)).headers
    assert headers["content-security-policy"] == CSP
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert "camera=()" in headers["permissions-policy"]
    expected = "public, max-age=60" if path.startswith("/static") else "no-store"
    assert headers.get_list("cache-control") == [expected]


async def test_a_defect_is_answered_with_the_same_headers_and_tells_nothing(world: World) -> None:
    headers = await world.bearer()
    with structlog.testing.capture_logs() as logs:
        async with world.client() as client:
            answer = await client.post("/api/v1/breaks?status=500", headers=headers)
    assert answer.status_code == 500
    assert answer.headers["content-security-policy"] == CSP
    assert answer.headers["cache-control"] == "no-store"
    assert "RuntimeError" not in answer.text
    assert [entry["reference"] for entry in logs if entry["event"] == "request_failed"] == [answer.json()["reference"]]


def test_the_policy_allows_our_own_script_and_no_other() -> None:
    rules = dict(part.strip().split(" ", 1) for part in CSP.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["connect-src"] == rules["form-action"] == "'self'"
    assert rules["frame-ancestors"] == rules["base-uri"] == "'none'"


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8080", "127.0.0.1", "localhost:8080", "LOCALHOST", "localhost.", "127.1.2.3:9", "[::1]:8080", "[::1]"]
)
async def test_our_own_names_are_answered(world: World, host: str) -> None:
    async with world.client() as client:
        assert (await client.get("/login", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.7", "[fe80::1]", "0.0.0.0"],
)
async def test_a_name_that_somebody_else_put_up_is_misdirected(world: World, host: str) -> None:
    headers = await world.bearer()
    async with world.client() as client:
        answer = await client.put(LIMITS, content=b"x", headers={**headers, "Host": host})
    assert answer.status_code == 421
    assert answer.headers["content-type"] == "application/problem+json"
    assert world.done == []


@pytest.mark.parametrize(
    "host", ["", "a b", "127.0.0.1:x", "127.0.0.1:8080:1", "http://127.0.0.1", "127.0.0.1@evil", "[::1", "é"]
)
async def test_a_host_that_is_none_is_a_bad_request(world: World, host: str) -> None:
    async with world.client() as client:
        assert (await client.get("/login", headers=raw({"Host": host}))).status_code == 400
        two = await client.get("/login", headers=[("Host", "127.0.0.1"), ("Host", "evil.example")])
    assert two.status_code == 400


@pytest.mark.parametrize(
    ("bound", "asked", "status"),
    [
        ("0.0.0.0", "10.0.0.7:8080", 200),
        ("0.0.0.0", "[2001:db8::1]:8080", 200),
        ("0.0.0.0", "evil.example", 421),
        ("::", "10.0.0.7", 200),
        ("10.0.0.7", "10.0.0.7:8080", 200),
        ("10.0.0.7", "10.0.0.8:8080", 421),
        ("bot.lan", "BOT.lan:8080", 200),
        ("bot.lan", "other.lan", 421),
    ],
)
async def test_where_it_listens_is_what_it_answers_to(
    tmp_path: Path, access: AccessStore, clock: Clock, bound: str, asked: str, status: int
) -> None:
    world = make_world(tmp_path, access, clock, host=bound)
    async with world.client() as client:
        assert (await client.get("/login", headers={"Host": asked})).status_code == status


async def test_a_body_up_to_the_limit_passes_and_one_byte_more_does_not(world: World) -> None:
    headers = await world.bearer()
    async with world.client() as client:
        assert (await client.put(LIMITS, content=b"x" * BODY_LIMIT, headers=headers)).json() == {"bytes": BODY_LIMIT}
        refused = await client.put(LIMITS, content=b"x" * (BODY_LIMIT + 1), headers=headers)
    assert refused.status_code == 413
    assert refused.json()["limit"] == BODY_LIMIT
    assert len(world.done) == 1


async def test_a_body_that_hides_its_length_is_counted(world: World) -> None:
    headers = {**await world.bearer(), "Content-Type": "application/json"}
    sent = 0

    async def parts() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1_000):
            sent += 1
            yield b"x" * 65_536

    async with world.client() as client:
        refused = await client.post("/api/v1/orders", content=parts(), headers=headers)
    assert refused.status_code == 413
    assert refused.headers["content-type"] == "application/problem+json"
    assert sent <= BODY_LIMIT // 65_536 + 2
    assert world.done == []


@pytest.mark.parametrize(
    "lengths", [["-1"], ["x"], [""], ["1e9"], ["0x10"], ["5", "6"], ["+5"], ["9" * 5_000], ["٣"], ["5 5"], ["5, 5"]]
)
async def test_a_length_that_is_none_is_a_bad_request(lengths: list[str]) -> None:
    assert (await _status([(b"content-length", each.encode()) for each in lengths])) == 400


async def test_a_length_beside_a_chunked_body_is_a_bad_request() -> None:
    assert await _status([(b"content-length", b"5"), (b"transfer-encoding", b"chunked")]) == 400


async def test_an_announced_body_that_is_too_long_is_not_even_read() -> None:
    assert await _status([(b"content-length", b"1000000000")]) == 413


async def test_a_body_that_never_comes_ends_with_a_time_out() -> None:
    assert await _status([(b"content-length", b"5")], seconds=0.01) == 408


async def _status(headers: list[tuple[bytes, bytes]], seconds: float = 20.0) -> int:
    """What the limit alone answers to somebody who sends headers and then nothing."""
    import asyncio

    seen: list[Message] = []

    async def read_all(scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        seen.append(message)

    scope: Scope = {"type": "http", "method": "POST", "path": "/", "headers": headers}
    await BodyLimit(read_all, seconds=seconds)(scope, receive, send)
    return int(seen[0]["status"])


async def test_a_flood_of_changes_from_one_address_is_put_off_before_anybody_is_looked_up(world: World) -> None:
    async with world.client("203.0.113.9") as flood, world.client("198.51.100.4") as other:
        seen = [(await flood.post("/api/v1/orders", json={"size": 1})).status_code for _ in range(320)]
        assert seen[:300] == [401] * 300
        assert 429 in seen[300:]
        assert (await other.post("/api/v1/orders", json={"size": 1})).status_code == 401
        assert (await flood.get("/login")).status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost", "::1", "[::1]", "::ffff:127.0.0.1"])
def test_this_machine_alone_needs_no_password(tmp_path: Path, host: str) -> None:
    assert refusal(host, Secrets(tmp_path, {})) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "", "bot.lan", "127.0.0.1.evil.example", "::ffff:10.0.0.7"])
def test_an_address_that_others_reach_is_refused_without_a_password(tmp_path: Path, host: str) -> None:
    line = refusal(host, Secrets(tmp_path, {}))
    assert line is not None
    assert "secrets set WEB_PASSWORD" in line
    assert "\n" not in line
    short = refusal(host, Secrets(tmp_path, {"WEB_PASSWORD": "1234567"}))
    assert short is not None
    assert "1234567" not in short
    assert refusal(host, Secrets(tmp_path, {"WEB_PASSWORD": "correct horse"})) is None
