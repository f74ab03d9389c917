"""The digest is the documented one, is made anew when its life is over, and survives a wrong clock; the token is never seen."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest

from sources.quantconnect.auth import Signer, headers_at
from sources.quantconnect.errors import Kind, QcError
from tests.sources.quantconnect.qc_service import NOW, TOKEN, USER, Page, client_of, no, serving


def date(at: float) -> str:
    return format_datetime(datetime.fromtimestamp(at, UTC), usegmt=True)


def test_the_headers_are_those_of_the_documented_example() -> None:
    assert headers_at("123456", "deadbeef", 1_700_000_000) == {
        "Authorization": "Basic MTIzNDU2OjBiODllMTMxMDQ5MjgzMmRmZTQ2NWY5MWM1Nzk0YjMxYmQ3OTRhYTU4YzIyNDE1NWViMzBhMTYxYzlhYzliYTg=",
        "Timestamp": "1700000000",
    }


def test_a_digest_is_made_for_every_second_unless_it_may_live_longer() -> None:
    now = [1_700_000_000.0]
    fresh, cached = Signer(USER, TOKEN, lambda: now[0]), Signer(USER, TOKEN, lambda: now[0], life_s=7_000)
    first, kept = fresh.headers(), cached.headers()
    now[0] += 6_999
    assert fresh.headers()["Timestamp"] == "1700006999"
    assert cached.headers() is kept
    now[0] += 2
    assert cached.headers()["Timestamp"] == "1700007001"
    now[0] = 1_600_000_000.0  # the clock was set back: a digest of the future is made anew
    assert cached.headers()["Timestamp"] == "1600000000"
    assert first["Timestamp"] == "1700000000"


@pytest.mark.parametrize(
    ("user", "token", "life", "expected"),
    [
        ("", TOKEN, 0, "QUANTCONNECT_USER_ID"),
        ("me@example.org", TOKEN, 0, "must be a number"),
        (USER, "  ", 0, "QUANTCONNECT_API_TOKEN"),
        (USER, TOKEN, 7_200, "0 to 7000 s"),
    ],
)
def test_credentials_that_cannot_be_are_refused_at_once(user: str, token: str, life: float, expected: str) -> None:
    with pytest.raises(ValueError, match=expected) as caught:
        Signer(user, token, lambda: NOW, life)
    assert TOKEN not in str(caught.value)


def test_a_line_break_pasted_with_the_token_does_no_harm() -> None:
    assert Signer("123456 ", "deadbeef\n", lambda: 1_700_000_000.0).headers() == headers_at("123456", "deadbeef", 1_700_000_000)


async def test_the_clock_of_the_service_is_taken_where_ours_is_hours_off() -> None:
    theirs = NOW + 9_000

    def answer(_: dict[str, object]) -> Page:
        sent = float(service.headers[-1]["Timestamp"])
        right = abs(theirs - sent) < 7_200
        body = b'{"success":true}' if right else b'{"success":false,"errors":["Hash doesn\'t match."]}'
        return Page(body, headers={"Date": date(theirs)})

    async with serving(authenticate=answer) as service, client_of(service, now=lambda: NOW) as client:
        await client.authenticate()
        await client.authenticate()
        assert [float(headers["Timestamp"]) - NOW for headers in service.headers] == [0, 9_000, 9_000]
        assert client.stats.clock_offset_s == 9_000


async def test_a_wrong_token_is_asked_once_and_named() -> None:
    old = "Hash doesn't match. UID: 123456 Hash: " + "a1" * 32 + " Timestamp: 1700000000"
    async with serving(authenticate=no(old)) as service, client_of(service) as client:
        with pytest.raises(QcError, match="Hash doesn't match") as caught:
            await client.authenticate()
        assert caught.value.kind is Kind.AUTHENTICATION
        assert "QUANTCONNECT_API_TOKEN" in str(caught.value)
        assert "a1a1" not in str(caught.value)
        assert len(service.asked) == 1


async def test_a_clock_that_is_off_is_named_when_the_service_refuses_all_the_same() -> None:
    refusal = Page(b'{"success":false,"errors":["Hash doesn\'t match."]}', headers={"Date": date(NOW - 8_000)})
    async with serving(authenticate=refusal) as service, client_of(service, now=lambda: NOW) as client:
        with pytest.raises(QcError, match="clock is 8000 s ahead of the service's: set it"):
            await client.authenticate()
        assert len(service.asked) == 2


async def test_neither_token_nor_digest_is_seen_in_errors_and_reprs() -> None:
    echo = no(f"Internal trouble with {TOKEN} and {headers_at(USER, TOKEN, int(NOW))['Authorization']}")
    async with serving(authenticate=echo) as service, client_of(service, now=lambda: NOW) as client:
        with pytest.raises(QcError) as caught:
            await client.authenticate()
        seen = f"{caught.value} {caught.value.args} {client!r} {client._transport._signer!r}"
        assert TOKEN not in seen
        assert headers_at(USER, TOKEN, int(NOW))["Authorization"].removeprefix("Basic ") not in seen
