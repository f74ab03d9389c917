"""Many tabs, and readers that never read: the room stays within its memory, and says so where it is full."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from urllib.parse import urlsplit

import psutil
import pytest

from bot.web.place import Place
from tests.web.house import House, house
from tests.web.whole.asking import ask, bearer, refused

_STREAMS = 64
_SLOW = 40
_GROWTH_BYTES = 48 * 1024 * 1024
_SECONDS = 6.0


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One of our own: what is crowded is not what others are served by."""
    with house(tmp_path_factory.mktemp("crowd")) as running:
        running.decided(1)
        yield running


def _memory(demo: House) -> int:
    """What the control room's process holds (bytes)."""
    place = Place.read(demo.data)
    assert place is not None
    return int(psutil.Process(place.pid).memory_info().rss)


def _warm(demo: House) -> None:
    """What is loaded once with the first that ask is no growth."""
    for path in ("/", "/decisions", "/metrics", "/api/v1/status", "/api/v1/decisions"):
        assert ask(demo, "GET", path, authorization=bearer(demo.token())).status == 200


def test_the_sixty_fifth_stream_is_told_when_to_come_again_and_a_place_that_is_left_is_free(demo: House) -> None:
    _warm(demo)
    before = _memory(demo)
    with ExitStack() as tabs:
        opened = []
        for number in range(_STREAMS):
            client = tabs.enter_context(demo.client())
            answer = tabs.enter_context(client.stream("GET", "/ui/events" if number % 2 else "/api/v1/stream"))
            assert answer.status_code == 200
            opened.append(answer)
        for path in ("/ui/events", "/api/v1/stream"):
            full = ask(demo, "GET", path, authorization=bearer(demo.token()))
            refused(full, 503)
            assert full.headers["retry-after"] == "5"
        assert ask(demo, "GET", "/", authorization=bearer(demo.token())).status == 200
        until = time.monotonic() + _SECONDS
        pieces = [answer.iter_raw() for answer in opened]
        while time.monotonic() < until:
            assert all(next(each) for each in pieces[:8])
        assert _memory(demo) - before < _GROWTH_BYTES
    assert _comes_in(demo)


def test_who_never_reads_costs_no_memory_and_holds_nobody_up(demo: House) -> None:
    _warm(demo)
    assert _comes_in(demo)
    before, parts = _memory(demo), urlsplit(demo.url)
    assert parts.hostname is not None
    assert parts.port is not None
    with ExitStack() as slow:
        for _ in range(_SLOW):
            one = slow.enter_context(closing(socket.socket()))
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            one.connect((parts.hostname, parts.port))
            one.sendall(
                f"GET /api/v1/stream?channels=quotes,candles,decisions HTTP/1.1\r\nHost: {parts.netloc}\r\n"
                f"Authorization: {bearer(demo.token())}\r\n\r\n".encode()
            )
        worst, until = 0.0, time.monotonic() + _SECONDS
        while time.monotonic() < until:
            began = time.monotonic()
            assert ask(demo, "GET", "/api/v1/world", authorization=bearer(demo.token())).status == 200
            worst = max(worst, time.monotonic() - began)
        assert worst < 5.0
        assert _memory(demo) - before < _GROWTH_BYTES


def _comes_in(demo: House) -> bool:
    """Whether a tab is let in, within a few tries: those that left are noticed at once, but not before."""
    for _ in range(100):
        with demo.client() as client, client.stream("GET", "/ui/events") as answer:
            if answer.status_code == 200:
                return True
        time.sleep(0.05)
    return False
