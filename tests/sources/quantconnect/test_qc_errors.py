"""Failures are sorted by what the service says, and each says what to do; what is not an answer is never taken for one."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import orjson
import pytest

from sources.quantconnect.envelope import Reply, opened, retry_after
from sources.quantconnect.errors import REMEDIES, Kind, QcError, cleaned

NOW = 1_772_449_200.0
HASH = "Hash doesn't match. UID: 1 Hash: " + "b" * 64 + " Timestamp: 1772449200"
LATER = format_datetime(datetime.fromtimestamp(NOW + 90, UTC), usegmt=True)
NO_NODES = (
    "There are no spare nodes available in your cluster. To launch a new backtest please stop an existing running backtest or "
    "add more compute nodes to your organization."
)


def failure(body: object, status: int = 200, headers: dict[str, str] | None = None) -> QcError:
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    with pytest.raises(QcError) as caught:
        opened("backtests/create", Reply(status, headers or {}, content), lambda: NOW, ["deadbeef"])
    return caught.value


@pytest.mark.parametrize(
    ("text", "kind", "transient"),
    [
        ("Hash doesn't match.", Kind.AUTHENTICATION, False),
        (HASH, Kind.AUTHENTICATION, False),
        ("hash DOESN'T match", Kind.AUTHENTICATION, False),
        ("UserID not valid", Kind.AUTHENTICATION, False),
        ("Invalid argument", Kind.BAD_REQUEST, False),
        ("Compile id not found", Kind.BAD_REQUEST, False),
        (NO_NODES, Kind.CAPACITY, True),
        ("Too many backtest requests; please slow down.", Kind.RATE_LIMIT, True),
        ("No live deployment found for project 7", Kind.NOT_FOUND, False),
        ("Project not found", Kind.NOT_FOUND, False),
        ("File exceeds the maximum size of 32,000 characters.", Kind.BAD_REQUEST, False),
        ("File exceeds the maximum size of 64,000 characters.", Kind.BAD_REQUEST, False),
        ("Internal Error 21", Kind.SERVER, True),
        ("A sentence that nobody has seen before", Kind.BAD_REQUEST, False),
    ],
)
@pytest.mark.parametrize("place", ["errors", "messages", "Message"])
def test_a_sentence_of_the_service_is_sorted(place: str, text: str, kind: Kind, transient: bool) -> None:
    error = failure({"success": False, place: text if place == "Message" else [text]})
    assert (error.kind, error.transient, error.may_have_happened) == (kind, transient, False)
    assert error.reason == (text if text is not HASH else "Hash doesn't match.")
    assert error.remedy == REMEDIES[kind]
    assert error.compile_unknown is text.startswith("Compile id")


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize(
    "body", [b"", b"<html>Hash doesn't match.</html>", {"success": False, "errors": ["Hash doesn't match."]}]
)
def test_trouble_of_the_server_is_never_a_matter_of_credentials(status: int, body: object) -> None:
    assert failure(body, status).kind is Kind.SERVER


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, Kind.AUTHENTICATION),
        (403, Kind.AUTHENTICATION),
        (404, Kind.NOT_FOUND),
        (408, Kind.TRANSPORT),
        (413, Kind.BAD_REQUEST),
        (429, Kind.RATE_LIMIT),
        (500, Kind.SERVER),
        (302, Kind.UNREADABLE),
        (418, Kind.UNREADABLE),
    ],
)
@pytest.mark.parametrize("body", [b"", b"<html></html>"])
def test_a_status_is_sorted(status: int, kind: Kind, body: bytes) -> None:
    error = failure(body, status)
    assert (error.kind, error.status) == (kind, status)


def test_a_refusal_with_another_status_is_sorted_by_its_sentence() -> None:
    assert failure({"success": False, "errors": [NO_NODES]}, 400).kind is Kind.CAPACITY


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "an empty page"),
        (b"  \n", "an empty page"),
        (b"<!DOCTYPE html><html>Just a moment</html>", "a web page instead of an answer"),
        (b"[]", "no JSON object"),
        (b"null", "no JSON object"),
        (b'{"success": tr', "an answer without success or a reason"),
        (b"\xff\xfe", "no JSON object"),
    ],
)
def test_what_is_no_answer_is_unreadable_and_may_have_happened(body: bytes, reason: str) -> None:
    error = failure(body)
    assert (error.kind, error.reason, error.may_have_happened) == (Kind.UNREADABLE, reason, True)


def test_an_answer_that_says_nothing_of_success_is_a_failure() -> None:
    assert failure({"backtests": []}).kind is Kind.UNREADABLE
    assert failure({"success": None}).kind is Kind.BAD_REQUEST
    assert failure({"success": False}).kind is Kind.BAD_REQUEST


@pytest.mark.parametrize("yes", [True, 1, "true", "1"])
@pytest.mark.parametrize("key", ["success", "Success"])
def test_a_success_in_other_words_is_one(key: str, yes: object) -> None:
    body = orjson.dumps({key: yes, "errors": [], "messages": None})
    assert opened("x", Reply(200, {}, body), lambda: NOW)[key] == yes


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"errors": ["a"], "messages": ["b"], "Message": "c"}, "a"),
        ({"errors": [], "messages": ["b"], "Message": "c"}, "b"),
        ({"errors": None, "messages": [], "Message": "c"}, "c"),
        ({"errors": {"0": "a", "1": "b"}}, "a; b"),
        ({"errors": "plain"}, "plain"),
        ({}, "HTTP 200: an answer without success or a reason"),
    ],
)
def test_the_reason_is_looked_for_in_the_documented_order(answer: dict[str, Any], reason: str) -> None:
    assert failure({"success": False, **answer}).reason == reason


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        (format_datetime(datetime.fromtimestamp(NOW + 90, UTC), usegmt=True), 90.0),
        ("soon", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after(header, lambda: NOW) == seconds
    assert failure(b"", 429, {} if header is None else {"Retry-After": header}).retry_after_s == seconds


def test_an_error_says_where_what_and_what_to_do_in_one_line() -> None:
    text = str(failure({"success": False, "errors": ["Invalid\nargument deadbeef"]}))
    assert text == f"QuantConnect backtests/create: bad_request: Invalid argument ***; {REMEDIES[Kind.BAD_REQUEST]}"
    assert "size of files" in str(failure(b"", 413))


def test_every_kind_has_a_remedy() -> None:
    assert set(REMEDIES) == set(Kind)


def test_a_text_of_the_service_is_short_and_holds_no_digest() -> None:
    assert cleaned("x" * 1_000) == "x" * 299 + "…"
    assert cleaned(f"a {'0f' * 32} b token", ["token", ""]) == "a *** b ***"
