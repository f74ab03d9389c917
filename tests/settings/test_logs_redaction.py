"""Logs: JSON off a terminal, colour on one, and no secret in any of them."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from bot import logs

PLANTED = 'CANARY-"quoted"-é-0123456789'


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _untouched_logging() -> Iterator[None]:
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    for handler in set(root.handlers) - set(handlers):
        root.removeHandler(handler)
        handler.close()
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()


def _speak() -> None:
    log = structlog.get_logger("test")
    log.info("said", text=f"x {PLANTED} y", nested={"deep": [PLANTED]}, odd=_Odd())
    log.info("keys", api_key="abc", headers={"Authorization": "Bearer abcdefghijkl"}, tokens=12, token=None, secret="s3")
    log.info("url", url="postgresql://u:hunter2@h/db")
    try:
        raise ValueError(PLANTED)
    except ValueError:
        log.exception("failed")
        logging.getLogger("library").exception("foreign %s", PLANTED)


class _Odd:
    def __repr__(self) -> str:
        return f"Odd({PLANTED})"


def test_off_a_terminal_every_line_is_json_and_no_secret_is_in_it(tmp_path: Path) -> None:
    stream, file = io.StringIO(), tmp_path / "logs" / "bot.log"
    logs.configure(secrets=[PLANTED], stream=stream, file=file)
    _speak()
    for text in (stream.getvalue(), file.read_text()):
        lines = [json.loads(line) for line in text.splitlines()]
        assert [line["event"] for line in lines] == ["said", "keys", "url", "failed", "foreign ***"]
        assert "CANARY" not in text
        assert "0123456789" not in text
        assert "hunter2" not in text
        assert lines[1]["api_key"] == lines[1]["secret"] == lines[1]["headers"]["Authorization"] == "***"
        assert lines[1]["tokens"] == 12
        assert lines[1]["token"] is None
        assert "ValueError: ***" in lines[3]["exception"]
        assert "ValueError: ***" in lines[4]["exception"]


def test_on_a_terminal_lines_are_coloured_and_as_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    stream = _Terminal()
    logs.configure(secrets=[PLANTED], stream=stream)
    _speak()
    assert "\x1b[" in stream.getvalue()
    assert "CANARY" not in stream.getvalue()


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    stream = _Terminal()
    logs.configure(stream=stream)
    _speak()
    assert "\x1b[" not in stream.getvalue()


def test_a_secret_that_is_learnt_later_is_starred_too() -> None:
    stream = io.StringIO()
    redactor = logs.configure(stream=stream)
    redactor.add("LATER-123456")
    structlog.get_logger("test").info("said", text="LATER-123456")
    assert "LATER" not in stream.getvalue()


def test_the_level_is_kept_and_a_second_configuration_replaces_the_first() -> None:
    first, second = io.StringIO(), io.StringIO()
    logs.configure(stream=first)
    logs.configure(stream=second, level="warning")
    structlog.get_logger("test").info("quiet")
    structlog.get_logger("test").warning("loud")
    assert first.getvalue() == ""
    assert [json.loads(line)["event"] for line in second.getvalue().splitlines()] == ["loud"]


@pytest.mark.parametrize("key", ["api_key", "apiKey", "BINANCE_API_SECRET", "password", "master_key", "x-api-key", "auth_token"])
def test_keys_that_look_secret(key: str) -> None:
    assert logs.Redactor().fields(None, "", {key: "abcdef"})[key] == "***"


@pytest.mark.parametrize("key", ["key", "tokens", "max_tokens", "token_count", "keys", "symbol", "secretary"])
def test_keys_that_only_sound_like_it(key: str) -> None:
    assert logs.Redactor().fields(None, "", {key: "abcdef"})[key] == "abcdef"
