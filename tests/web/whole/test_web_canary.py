"""A secret in every place where one can be, a script in every text that others write; then all there is, is read."""

from __future__ import annotations

import json
import re
import secrets
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit

import httpx2
import pytest

from bot.outlets.envelope import Channel
from bot.secrets import WELL_KNOWN
from bot.web.security.principal import Scope
from tests.app.bot_process import Bot, eventually
from tests.web.house import _LINK, House, contents
from tests.web.whole.addresses import ENDLESS, addresses

SEALED = ("GEMINI_API_KEY", "OKX_API_SECRET", "QUANTCONNECT_API_TOKEN", "CANARY_OF_OUR_OWN")
"""What is set over the API; the others come from the environment."""
SCRIPT = "<script>canary()</script><img src=x onerror=canary()>"
CHANNELS = ",".join(Channel)
_MOST = 600
_LINKS = re.compile(r"""(?:href|src|data-src|data-chart|data-drawer)="(/[^"#]*)\"""")
_SHOWN = 4


def _canary() -> str:
    return f"canary{secrets.token_hex(20)}"


@dataclass
class Planted:
    """A house with a canary in every place; `values` by the name of the place."""

    house: House
    values: dict[str, str]
    read: dict[str, bytes] = field(default_factory=dict)

    def leaks(self, content: bytes) -> list[str]:
        """Whose canary is in there, by more than the last four signs that may be shown."""
        return [name for name, value in self.values.items() if value[:-_SHOWN].encode() in content]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planted]:
    """The demonstration, with everything set that can be."""
    values = {name: _canary() for name in (*WELL_KNOWN, "NOTIFY_OPS", "ARBITER_MASTER_KEY", "REDIS_URL", *SEALED)}
    environment = {name: values[name] for name in WELL_KNOWN if name not in SEALED}
    environment |= {
        "ARBITER_SECRET_NOTIFY_OPS": f"json://ops:{values['NOTIFY_OPS']}@127.0.0.1:9/hook",
        "ARBITER_NOTIFICATIONS__CHANNELS": json.dumps({"ops": {"url_secret": "NOTIFY_OPS", "severity": "info"}}),
        "ARBITER_MASTER_KEY": values["ARBITER_MASTER_KEY"],
        "ARBITER_REDIS__URL": f"redis://:{values['REDIS_URL']}@127.0.0.1:9/0",
        "ARBITER_WEB__ENABLED": "true",
        "ARBITER_WEB__PORT": "0",
    }
    bot = Bot(tmp_path_factory.mktemp("canary"), ("--demo", "--seed", "7"), environment).start()
    try:
        eventually(lambda: _LINK.search(bot.stdout) is not None, "the control room opened", 90.0)
        found = _LINK.search(bot.stdout)
        assert found is not None
        house = House(bot, found[1], found[1] + found[2])
        house.decided(3)
        _filled(house, values)
        yield Planted(house, values)
    finally:
        bot.end()


def _filled(house: House, values: dict[str, str]) -> None:
    """What is set over the API; and texts with a script in them."""
    values["bearer"] = house.token(Scope.ADMIN)
    decision = house.ask("/decisions")["items"][0]["id"]
    with house.client() as client:
        for name in SEALED:
            _done(client.put(f"/api/v1/secrets/{name}", json={"value": values[name]}))
        made = client.post("/api/v1/tokens", json={"name": "canary", "scope": "trade", "days": 1})
        _done(made)
        values["token"] = made.json()["value"]
        client.post("/api/v1/notifications/channels/ops/test")
        client.post("/api/v1/quantconnect/auth/test")
        _done(client.post("/api/v1/ai/learning/feedback", json={"decision": decision, "opined": "wrong", "note": SCRIPT}))
        _done(client.post("/api/v1/ai/chat/sessions", json={"title": SCRIPT}))
        _done(client.put("/api/v1/settings/risk.max_position", json={"value": 0.2, "note": SCRIPT}))
        asked = client.post("/api/v1/risk/reduce", json={"reason": SCRIPT})
        again = {"Confirmation": asked.json()["confirmation"]}
        _done(client.post("/api/v1/risk/reduce", json={"reason": SCRIPT}, headers=again))
        _done(client.post("/api/v1/reports", json={"run": "latest"}))


def _done(answer: httpx2.Response) -> None:
    assert answer.is_success, (answer.request.url, answer.status_code, answer.text[:300])


def _roots(house: House) -> list[str]:
    """Every address without a variable part, and those with one filled by what there is."""
    found = [each.path for each in addresses() if not each.changes and not each.parts and each.path not in ENDLESS]
    lists = {"decisions": "decisions", "orders": "orders", "runs": "runs"}
    for path, name in lists.items():
        listed = house.ask(f"/{path}")
        items = listed["items"] if isinstance(listed, dict) else listed
        found += [f"/api/v1/{name}/{quote(each['id'], safe='')}" for each in items[:5]]
    found += [
        f"/api/v1/export/{table}.{form}" for table in ("decisions", "orders", "fills", "commands") for form in ("csv", "json")
    ]
    found += [f"/api/v1/ai/llm/prompts/{each['name']}" for each in house.ask("/ai/llm/prompts")["prompts"]]
    found += [f"/api/v1/ai/chat/sessions/{each['id']}" for each in house.ask("/ai/chat/sessions")["sessions"]]
    return found


def _crawled(planted: Planted) -> None:
    """Everything that can be had by GET, and what the pages lead to."""
    house = planted.house
    waiting, known = deque(_roots(house)), set(_roots(house))
    shapes: dict[str, int] = {}
    with house.client() as client:
        while waiting and len(planted.read) < _MOST:
            path = waiting.popleft()
            answer = client.get(path, headers={"Accept": "text/html,application/json"})
            planted.read[path] = repr(answer.headers).encode() + answer.content
            if not answer.headers.get("content-type", "").startswith("text/html"):
                continue
            for link in _LINKS.findall(answer.text):
                target = urljoin(path, link.replace("&amp;", "&"))
                shape = re.sub(r"[0-9a-f]{6,}|\d+", "*", urlsplit(target).path)
                if target in known or target.startswith(tuple(ENDLESS)) or "plotly" in target or shapes.get(shape, 0) > 2:
                    continue
                shapes[shape] = shapes.get(shape, 0) + 1
                known.add(target)
                waiting.append(target)


@pytest.fixture(scope="module")
def everything(planted: Planted) -> Planted:
    """With all that was read of it."""
    streams = [f"/api/v1/stream?channels={CHANNELS}", "/ui/events"]
    threads = [threading.Thread(target=_listened, args=(planted, path)) for path in streams]
    for thread in threads:
        thread.start()
    _crawled(planted)
    for thread in threads:
        thread.join(40)
    return planted


def _listened(planted: Planted, path: str) -> None:
    """A stream, for as long as a hundred messages take, at most eight seconds."""
    until, heard = time.monotonic() + 8, bytearray()
    with planted.house.client() as client, client.stream("GET", path) as answer:
        if answer.status_code != 200:
            planted.read[path] = answer.read()
            raise AssertionError(answer.read())
        for piece in answer.iter_raw():
            heard += piece
            if time.monotonic() > until:
                break
    planted.read[path] = bytes(heard)


def test_enough_was_read_for_this_to_mean_something(everything: Planted) -> None:
    assert len(everything.read) > 200
    assert {
        "/",
        "/decisions",
        "/settings",
        "/metrics",
        "/api/v1/openapi.json",
        "/api/v1/secrets",
        "/ui/events",
    } <= everything.read.keys()
    assert b"decision" in everything.read[f"/api/v1/stream?channels={CHANNELS}"]
    assert b"canary()" in b"".join(everything.read.values())
    assert everything.values["OKX_API_KEY"][-_SHOWN:].encode() in everything.read["/api/v1/secrets"]
    assert everything.leaks(everything.values["OKX_API_KEY"].encode()) == ["OKX_API_KEY"]


def test_no_secret_is_in_any_answer_page_stream_or_metric(everything: Planted) -> None:
    leaks = {path: found for path, content in everything.read.items() if (found := everything.leaks(content))}
    assert not leaks


def test_no_script_in_a_text_is_a_script_on_a_page(everything: Planted) -> None:
    alive = re.compile(rb"<script>canary|<img src=x")
    pages = {path: content for path, content in everything.read.items() if b"'content-type': 'text/html" in content[:600]}
    assert len(pages) > 50
    assert not [path for path, content in pages.items() if alive.search(content)]


def test_no_secret_is_in_any_log_or_file(everything: Planted) -> None:
    place: Path = everything.house.bot.place
    files = contents(place)
    assert {"stderr", "stdout", "arbiter.db", "web.db", "secrets.json"} <= {file.name for file in files}
    leaks = {str(file.relative_to(place)): found for file, content in files.items() if (found := everything.leaks(content))}
    assert not leaks


def test_no_secret_is_in_what_the_command_line_tells(everything: Planted) -> None:
    for command in (("config", "show"), ("secret", "list"), ("audit",)):
        told = everything.house.bot.tell(*command)
        assert not everything.leaks((told.stdout + told.stderr).encode()), command
