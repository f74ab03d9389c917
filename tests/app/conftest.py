"""Two whole runs of the same seed, started before the first test of this room and looked at by its last ones."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import redis

from tests.app.bot_process import Bot
from tests.servers import RedisProcess, redis_executable, redis_process

SECONDS = 22
RUN = ("--demo", "--duration", str(SECONDS), "--json", "--seed", "11")


@dataclass
class Subscriber:
    """A plain client of Redis that keeps every message of the feed."""

    url: str
    messages: list[tuple[str, bytes]] = field(default_factory=list)
    _done: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> Subscriber:
        client = redis.Redis.from_url(self.url)
        channels = client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
        channels.psubscribe("arbiter.v1.*")

        def listen() -> None:
            while not self._done.is_set():
                message = channels.get_message(timeout=0.1)
                if message is not None:
                    self.messages.append((message["channel"].decode(), message["data"]))
            channels.close()
            client.close()

        self._thread = threading.Thread(target=listen, daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        self._done.set()
        if self._thread is not None:
            self._thread.join(5)


@dataclass
class WholeRuns:
    """The runs, once they have ended."""

    first: Bot
    second: Bot
    heard: Subscriber | None


@pytest.fixture(scope="session", autouse=True)
def _started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeRuns]:
    """Both runs under way, the first with a Redis of its own where there is one."""
    place = tmp_path_factory.mktemp("whole")
    server: RedisProcess | None = None
    heard: Subscriber | None = None
    context = redis_process(place / "redis") if redis_executable() else None
    if context is not None:
        server = context.__enter__()
        heard = Subscriber(server.url).start()
    first = Bot(place / "first", RUN, {"ARBITER_REDIS__URL": server.url} if server else {}).start()
    second = Bot(place / "second", (*RUN, "--no-redis")).start()
    try:
        yield WholeRuns(first, second, heard)
    finally:
        first.end()
        second.end()
        if heard is not None:
            heard.stop()
        if context is not None:
            context.__exit__(None, None, None)


@pytest.fixture(scope="session")
def whole_runs(_started: WholeRuns) -> WholeRuns:
    """Both runs, ended."""
    _started.first.wait(90)
    _started.second.wait(90)
    if _started.heard is not None:
        _started.heard.stop()
    return _started
