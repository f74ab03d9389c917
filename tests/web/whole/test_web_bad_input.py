"""What bad input gets, from every address there is: the right refusal as a problem document, and nothing is done.

The addresses are the application's own list, so that one that is added without a gate fails here by itself.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from bot.web.security.principal import Scope
from tests.web.house import House
from tests.web.whole.addresses import ENDLESS, OPEN, Address, addresses, document
from tests.web.whole.asking import HOUR_MS, Answer, Session, another_token, ask, bearer, refused, session

ALL = addresses()
CHANGES = [each for each in ALL if each.changes and each.path not in OPEN]
PUBLIC = OPEN | {"/api/v1/openapi.json"}
QUESTIONS = frozenset(
    {
        "/logout",
        "/ui/ai/prompts/{name}/preview",
        "/api/v1/risk/validate",
        "/api/v1/risk/size",
        "/api/v1/reports",
        "/api/v1/quantconnect/estimate",
        "/api/v1/quantconnect/export",
        "/api/v1/quantconnect/backtests/compare",
        "/api/v1/ai/llm/prompts/{name}/preview",
        "/api/v1/ai/strategy/data",
    }
)
"""What is asked by POST and changes nothing of the desk's."""
OWNERS = ("/api/v1/settings", "/api/v1/secrets", "/api/v1/tokens", "/api/v1/sessions", "/api/v1/ai/llm/providers/")
"""Where only who may do everything may change anything."""
TRICKS = (
    "../../etc/passwd",
    "..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "%252e%252e%252fetc%252fpasswd",
    "/etc/passwd",
    "%2fetc%2fpasswd",
    "..%5c..%5cetc%5cpasswd",
    "%00",
    "%ff%fe",
    "x" * 5_000,
)
NOBODY = ("nothing-of-this-name", "999999999", "job-9-9", "NOTHING_OF_THIS_NAME")
CHOICES = ENDLESS | {"/api/v1/export/{table}.{form}"}
"""Where what may stand in the path is a list of choices or a session first of all."""
GARBAGE = (b"[1, 2, 3]", b'"a text"', b"{", b"\xff\xfe{}", b"[" * 5_000, b'{"no": {"such": "member"}, "\\ud800": 1e999}')


def _named(found: Address) -> str:
    return str(found)


every_change = pytest.mark.parametrize("address", CHANGES, ids=_named)


@pytest.fixture(scope="module")
def inside(demo: House) -> Session:
    """A browser that is in."""
    return session(demo)


@pytest.fixture(scope="module")
def passes(demo: House) -> Iterator[str]:
    """Headers of ever new administrators: what is tried here is refused for what it is, not for how often."""
    made = (bearer(another_token(demo, Scope.ADMIN)) for _ in itertools.count())
    kept = [next(made) for _ in range(12)]
    return itertools.cycle(kept)


@pytest.fixture(scope="module", autouse=True)
def nothing_is_done(demo: House) -> Iterator[None]:
    """Whatever is tried in this module, the world is afterwards as it was, and the audit knows of no change by any of us."""
    before = _world(demo)
    yield
    after = _world(demo)
    for path, known in before.items():
        assert after[path] == known, path


def _world(demo: House) -> dict[str, Any]:
    asked = ("/settings", "/secrets", "/quantconnect/config", "/ai/llm/config", "/ai/llm/prompts", "/reports")
    found: dict[str, Any] = {path: _still(demo.ask(path)) for path in asked}
    audit = demo.ask("/audit", limit=500)["items"]
    ours = [line for line in audit if line["actor"].startswith("web:") and line["outcome"] == "ok"]
    found["/audit"] = [line for line in ours if not line["command"].startswith("access.session-")]  # how this module came in
    found["/tokens"] = sorted(each["name"] for each in demo.ask("/tokens") if not each["name"].startswith("test-"))
    found["/sources"] = [(each["name"], each["threshold"], each["off"]) for each in demo.ask("/sources")["sources"]]
    found["/risk/state"] = demo.ask("/risk/state")["state"]
    found["/ai/chat/sessions"] = len(demo.ask("/ai/chat/sessions")["sessions"])
    return found


def _still(value: Any) -> Any:
    """Without what moves by itself while the desk trades."""
    moving = {"at", "now", "seen", "age", "last", "heard", "used", "decisions", "calls", "spent", "cost", "checked", "state"}
    if isinstance(value, dict):
        return {name: _still(each) for name, each in value.items() if name not in moving}
    return [_still(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("address", [each for each in ALL if each.path not in PUBLIC], ids=_named)
def test_a_stranger_gets_nothing(demo: House, address: Address) -> None:
    refused(
        ask(demo, address.method, address.filled("1"), body=b"{}" if address.changes else b"", accept="application/json"), 401
    )


@pytest.mark.parametrize("address", [each for each in ALL if not each.path.startswith(("/api/", "/ui/", "/metrics"))], ids=_named)
def test_a_stranger_in_a_browser_is_shown_the_door_only(demo: House, address: Address) -> None:
    if address.path in PUBLIC or address.changes:
        return
    answer = ask(demo, "GET", address.path, accept="text/html")
    assert answer.status == 303
    assert answer.headers["location"].startswith("/login?next=%2F")
    assert not answer.body


@every_change
def test_who_may_only_read_changes_nothing(demo: House, address: Address) -> None:
    if address.path in QUESTIONS:
        return
    reader = bearer(demo.token(Scope.READ))
    refused(ask(demo, address.method, address.filled("1"), body=b"{}", authorization=reader), 403)


@every_change
def test_who_may_only_trade_changes_no_settings_secrets_or_keys(demo: House, address: Address) -> None:
    if not address.path.startswith(OWNERS):
        return
    trader = bearer(demo.token(Scope.TRADE))
    refused(ask(demo, address.method, address.filled("1"), body=b"{}", authorization=trader), 403)


@every_change
def test_a_session_without_the_token_of_our_pages_changes_nothing(demo: House, inside: Session, address: Address) -> None:
    sent = {"cookie": inside.cookie, "origin": demo.url}
    refused(ask(demo, address.method, address.filled("1"), body=b"{}", **sent), 403)
    refused(ask(demo, address.method, address.filled("1"), body=b"{}", x_csrf_token="0" * 64, **sent), 403)


@every_change
def test_a_page_of_another_origin_changes_nothing(demo: House, inside: Session, address: Address) -> None:
    sent = {"cookie": inside.cookie, "x_csrf_token": inside.csrf}
    for foreign in (
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {},
        {"origin": demo.url, "sec_fetch_site": "cross-site"},
    ):
        refused(ask(demo, address.method, address.filled("1"), body=b"{}", **sent, **foreign), 403)


@every_change
def test_a_body_beyond_the_limit_is_not_even_read(demo: House, passes: Iterator[str], address: Address) -> None:
    answer = ask(demo, address.method, address.filled("1"), body=b" " * 300_000, authorization=next(passes))
    refused(answer, 413)
    assert answer.headers["connection"] == "close"


def _described(address: Address) -> dict[str, Any]:
    found: dict[str, Any] = document()["paths"].get(address.path.replace(":path", ""), {}).get(address.method.lower(), {})
    return found


@pytest.mark.parametrize("address", [each for each in CHANGES if "requestBody" in _described(each)], ids=_named)
def test_a_body_of_the_wrong_type_is_not_acceptable(demo: House, passes: Iterator[str], address: Address) -> None:
    for body in GARBAGE:
        refused(ask(demo, address.method, address.filled("1"), body=body, authorization=next(passes)), 400, 404, 422)


def _typed() -> Iterator[Any]:
    """Every parameter that is a number, a choice or a flag, with what it cannot be."""
    for path, operations in document()["paths"].items():
        for method, operation in operations.items():
            for given in operation.get("parameters", ()):
                schema = given["schema"]
                choices = schema.get("anyOf", [schema])
                plain = any(each.get("type") == "string" and "enum" not in each for each in choices)
                if given["in"] == "query" and not plain and "$ref" not in str(choices) and path not in ENDLESS:
                    yield pytest.param(method.upper(), path, given["name"], id=f"{method.upper()} {path} {given['name']}")


@pytest.mark.parametrize(("method", "path", "name"), list(_typed()))
def test_a_parameter_of_the_wrong_type_is_not_acceptable(
    demo: House, passes: Iterator[str], method: str, path: str, name: str
) -> None:
    target = Address(method, path).filled("1")
    for value in ("not-a-number", "1e999", "99999999999999999999999999", "-1.5", "%00"):
        refused(ask(demo, method, f"{target}?{name}={value}", authorization=next(passes)), 422)


@pytest.mark.parametrize("address", [each for each in ALL if each.parts and not each.changes], ids=_named)
def test_what_does_not_exist_is_not_found(demo: House, passes: Iterator[str], address: Address) -> None:
    given = _described(address).get("parameters", ())
    query = "?" + "&".join(f"{each['name']}=1" for each in given if each["in"] == "query" and each.get("required"))
    answers = [ask(demo, "GET", address.filled(name) + query, authorization=next(passes)) for name in NOBODY]
    elsewhere = "/quantconnect/" in address.path
    for answer in answers:
        refused(answer, 404, 422, *([409] if elsewhere else []))
    assert elsewhere or address.path in CHOICES or 404 in {answer.status for answer in answers}


@pytest.mark.parametrize("address", [each for each in ALL if each.parts], ids=_named)
def test_no_path_leads_out_of_what_is_served(demo: House, passes: Iterator[str], address: Address) -> None:
    for trick in TRICKS:
        answer = ask(
            demo, address.method, address.filled(trick), body=b"{}" if address.changes else b"", authorization=next(passes)
        )
        _led_nowhere(answer)


@pytest.mark.parametrize("root", ["/static/", "/ui/", "/", "/api/v1/", "/api/v1/export/", "/docs/"])
def test_no_path_leads_into_the_files(demo: House, passes: Iterator[str], root: str) -> None:
    for trick in TRICKS:
        _led_nowhere(ask(demo, "GET", root + trick, authorization=next(passes)))


def _led_nowhere(answer: Answer) -> None:
    assert b"root:" not in answer.body
    refused(answer, 400, 404, 405, 409, 413, 422, 428)


def test_forged_and_expired_tokens_open_nothing(demo: House) -> None:
    right = demo.token(Scope.ADMIN)
    old = another_token(demo, Scope.ADMIN, lasting=HOUR_MS, ago=2 * HOUR_MS)
    swapped = right[:-1] + ("A" if right[-1] != "A" else "B")
    forged = (old, swapped, right[:-1], right + "=", right.upper(), "arb_" + secrets.token_urlsafe(32), "", "null", "\xff" * 9)
    for value in forged:
        refused(ask(demo, "GET", "/api/v1/status", authorization=bearer(value)), 401, 429)
    refused(ask(demo, "GET", "/api/v1/status", authorization=f"Basic {right}"), 401, 429)
    refused(ask(demo, "GET", "/api/v1/status", authorization="Bearer x", cookie=session(demo).cookie), 401, 429)
    assert ask(demo, "GET", "/api/v1/status", authorization=bearer(right)).status == 200


def test_forged_sessions_open_nothing(demo: House, inside: Session) -> None:
    name, _, key = inside.cookie.partition("=")
    for value in (key[:-2] + "AA", key[:-1], "", "x" * 5_000, orjson.dumps({"admin": True}).hex()):
        refused(ask(demo, "GET", "/api/v1/status", cookie=f"{name}={value}"), 401)
    assert ask(demo, "GET", "/api/v1/status", cookie=inside.cookie).status == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "a b", ""])
def test_another_name_for_this_machine_is_not_served(demo: House, host: str) -> None:
    refused(ask(demo, "GET", "/api/v1/world", host=host, authorization=bearer(demo.token())), 400, 421)
