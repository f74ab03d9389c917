"""`token` and `web-link` as a shell sees them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from bot.web.security.principal import Scope
from bot.web.security.store import AccessStore

Cli = Callable[..., tuple[int, str, str]]


async def _principal(data_dir: Path, value: str, now: int) -> object:
    access = await AccessStore.open(data_dir, lambda: now)
    try:
        return await access.token(value)
    finally:
        await access.close()


def _asked(data_dir: Path, value: str, now: int) -> object:
    import asyncio

    return asyncio.run(_principal(data_dir, value, now))


def test_a_token_is_shown_once_and_opens_what_was_asked_for(cli: Cli, tmp_path: Path) -> None:
    data = tmp_path / "data"
    code, out, _ = cli("token", "new", "grafana", "--scope", "read", "--expires", "2d", "--json", "--data-dir", str(data))
    made = json.loads(out)
    assert code == 0
    assert made["expires"] - made["created"] == pytest.approx(2 * 86_400_000, abs=5_000)
    principal = _asked(data, made["token"], made["created"])
    assert getattr(principal, "scope", None) is Scope.READ
    assert _asked(data, made["token"], made["expires"]) is None
    code, out, _ = cli("token", "list", "--data-dir", str(data))
    assert code == 0
    assert "grafana" in out
    assert made["token"] not in out


def test_a_revoked_token_opens_nothing(cli: Cli, tmp_path: Path) -> None:
    data = tmp_path / "data"
    made = json.loads(cli("token", "new", "x", "--scope", "admin", "--json", "--data-dir", str(data))[1])
    assert cli("token", "revoke", "x", "--data-dir", str(data))[0] == 0
    assert _asked(data, made["token"], made["created"]) is None
    code, _, err = cli("token", "revoke", "x", "--data-dir", str(data))
    assert code == 1
    assert "token list" in err
    assert json.loads(cli("token", "list", "--json", "--data-dir", str(data))[1])[0]["state"] == "revoked"


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["x", "--scope", "root"], 2, "read, trade, admin"),
        (["x", "--scope", "read", "--expires", "soon"], 2, "30s"),
        (["x", "--scope", "read", "--expires", "9" * 400 + "d"], 2, "--expires"),
        (["x", "--scope", "read", "--expires", "401d"], 1, "400 days"),
        (["x", "--scope", "read", "--expires", "0"], 1, "400 days"),
        (["a b", "--scope", "read"], 1, "name"),
        (["x"], 2, "--scope"),
    ],
)
def test_a_token_that_cannot_be_made_is_a_line_that_says_why(
    cli: Cli, tmp_path: Path, options: list[str], code: int, says: str
) -> None:
    ended, out, err = cli("token", "new", *options, "--data-dir", str(tmp_path / "data"))
    assert ended == code
    assert says in " ".join(err.replace("│", " ").split())
    assert out == ""


def test_a_second_token_of_a_name_is_refused(cli: Cli, tmp_path: Path) -> None:
    command = ("token", "new", "x", "--scope", "read", "--data-dir", str(tmp_path / "data"))
    assert cli(*command)[0] == 0
    code, _, err = cli(*command)
    assert code == 1
    assert "token revoke x" in err


def test_web_link_prints_an_address_that_opens_one_session(cli: Cli, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "web.json").write_text(json.dumps({"host": "0.0.0.0", "port": 8123, "pid": os.getpid()}))
    code, out, _ = cli("web-link", "--data-dir", str(data))
    url = urlsplit(out.strip())
    assert code == 0
    assert (url.scheme, url.netloc, url.path) == ("http", "127.0.0.1:8123", "/enter")
    assert url.query.startswith("key=")
    assert len(parse_qs(url.query)["key"][0]) >= 43
    assert json.loads(cli("web-link", "--json", "--data-dir", str(data))[1])["url"] != out.strip()


@pytest.mark.parametrize("content", [None, "{", "[]", '{"host": "127.0.0.1", "port": 1, "pid": 99999999}'])
def test_web_link_says_plainly_that_no_control_room_runs(cli: Cli, tmp_path: Path, content: str | None) -> None:
    data = tmp_path / "data"
    data.mkdir()
    if content is not None:
        (data / "web.json").write_text(content)
    code, out, err = cli("web-link", "--data-dir", str(data))
    assert code == 3
    assert "no control room is running" in err
    assert out == ""
