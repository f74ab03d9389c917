"""Strangers may learn whether the bot is ready, and nothing of why it is not."""

from __future__ import annotations

import orjson
import pytest

from bot.web.pages.frame import without_reasons


def test_a_stranger_learns_the_word_alone() -> None:
    told = {"status": "not ready", "reasons": ["the account of binance could not be read in 3 passes of reconciliation"]}
    assert orjson.loads(without_reasons(orjson.dumps(told))) == {"status": "not ready"}


@pytest.mark.parametrize("body", [b"", b"a trace with a password", b"[1]", b"null"])
def test_what_cannot_be_read_is_not_passed_on(body: bytes) -> None:
    assert orjson.loads(without_reasons(body)) in ({}, {"status": None})
