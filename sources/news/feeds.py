"""The feeds of the list, each asked at its own pace by a task of its own; what they say passes the gate and is remembered.

A feed that fails is asked less and less often and says why; the others do not notice. What is said counts from when it was seen
here. At the first answer of a feed what has no date is left out: nobody knows how old it is.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any, Self

import structlog

from sources.news.archive import Archive
from sources.news.fetching import Fetcher, FetchError
from sources.news.gate import Gate
from sources.news.items import Item, Raw, Unavailable
from sources.news.lexicon import Lexicon
from sources.news.reading import UnreadableFeed, read_feed, read_posts
from sources.news.settings import NewsSettings
from sources.news.states import FeedState, FeedView
from sources.news.view import News, block, look

_log = structlog.get_logger(__name__)

OnNew = Callable[[Sequence[Item]], Awaitable[None]]
_PARSE_S = 20.0
_SPREAD_S = 5.0  # first polls are spread over this


class Feeds:
    """Open between `async with` and its end; `run` polls until it is cancelled. `now` gives ms UTC.

    `on_new` is told of new items, say to have a model read them; it bounds its own time and its failures end nothing.
    """

    def __init__(
        self,
        settings: NewsSettings,
        now: Callable[[], int],
        *,
        on_new: OnNew | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        draw: Callable[[], float] = random.random,
        deadline_s: float = 15.0,
    ) -> None:
        self.settings = settings
        self.lexicon = Lexicon(settings.names)
        self.archive = Archive(settings.keep, self.lexicon, Gate(settings.summaries))
        self._now = now
        self._on_new = on_new
        self._sleep = sleep
        self._draw = draw
        self._began = now()
        self._fetcher = Fetcher(settings.allowed, deadline_s=deadline_s)
        self._states = {feed.id: FeedState(feed, self._began) for feed in settings.feeds}
        self._thread = asyncio.Lock()  # the gate's counters have one writer at a time
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._fetcher)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def run(self) -> None:
        """Poll every feed until cancelled."""
        async with asyncio.TaskGroup() as group:
            for feed in self.settings.feeds if self.settings.enabled else ():
                group.create_task(self._forever(feed.id), name=f"news-{feed.id}")

    async def _forever(self, feed: str) -> None:
        await self._sleep(_SPREAD_S * self._draw())
        while True:
            pause = await self.poll(feed)
            self._states[feed].next_poll = self._now() + round(1000 * pause)
            await self._sleep(pause)

    async def poll(self, feed: str) -> float:
        """Ask a feed once; seconds until it may be asked again. Whatever the feed does, nothing is raised."""
        state = self._states[feed]
        asked_s = None
        try:
            new = await self._polled(state)
        except FetchError as error:
            asked_s = error.retry_after_s
            self._failed(state, error.reason)
        except UnreadableFeed as error:
            self._failed(state, str(error))
        except TimeoutError:
            self._failed(state, f"not read within {_PARSE_S:g} s")
        except Exception as error:  # noqa: BLE001 - the boundary of a feed: a parser met what nobody thought of
            _log.exception("news_feed_broke", feed=feed)
            self._failed(state, type(error).__name__)
        else:
            await self._tell(new)
        return state.pause_s(self._draw, asked_s)

    async def _polled(self, state: FeedState) -> list[Item]:
        feed = state.settings
        fetched = await self._fetcher.fetch(feed.url, state.etag, state.modified)
        at = self._now()
        if fetched.body is None:
            state.answered(at, "unchanged")
            return []
        async with self._thread, asyncio.timeout(_PARSE_S):
            raws = await asyncio.to_thread(_READERS[feed.format], fetched.body)
            judged = await asyncio.to_thread(self.archive.judged, self.archive.unseen(raws, feed), feed)
        new: list[Item] = []
        for one in judged:  # each is compared with all recent titles: nobody else waits for a whole feed of that
            new += self.archive.stored([one], feed, at, undated=state.last_good is not None)
            await asyncio.sleep(0)
        state.etag, state.modified = fetched.etag, fetched.modified
        state.counts["items"] += len(new)
        state.answered(at, "answers")
        if new:
            _log.info("news_came", feed=feed.id, items=len(new))
        return new

    def _failed(self, state: FeedState, trouble: str) -> None:
        state.failed(self._now(), trouble)
        _log.warning("news_feed_failed", feed=state.settings.id, failures=state.failures, reason=trouble)

    async def _tell(self, new: Sequence[Item]) -> None:
        if self._on_new is None or not new:
            return
        try:
            await self._on_new(new)
        except Exception:  # noqa: BLE001 - the boundary to whoever reads the items: the lexicon's numbers stay
            self.archive.unread += len(new)
            _log.exception("news_not_read", items=len(new))

    def view(self, symbol: str, at: int) -> News:
        """The news for a symbol at a time (ms UTC, about now), or why there are none and since when."""
        if not self.settings.enabled:
            return Unavailable("news are switched off", self._began)
        states = list(self._states.values())
        fresh = sum(state.fresh(at) for state in states)
        since = max((state.last_good for state in states if state.last_good is not None), default=self._began)
        troubles = sorted({state.trouble for state in states if state.trouble})
        reason = f"no feed answers: {'; '.join(troubles)}" if troubles else "no feed has answered yet"
        return look(self.archive, symbol, at, self.settings.window_ms, fresh, len(states), since, reason)

    def block(self, symbol: str, at: int) -> dict[str, Any] | None:
        """The view as a decision's snapshot takes it; None while there is none."""
        return block(self.view(symbol, at), titles=self.settings.shows_titles)

    def views(self) -> tuple[FeedView, ...]:
        """Every feed as it stands."""
        at, gate = self._now(), self.archive.gate
        return tuple(
            FeedView(
                id=name,
                host=state.settings.host,
                fresh=state.fresh(at),
                last_poll=state.last_poll,
                last_good=state.last_good,
                next_poll=state.next_poll,
                failures=state.failures,
                trouble=state.trouble,
                polls=state.counts["polls"],
                unchanged=state.counts["unchanged"],
                items=state.counts["items"],
                duplicates=self.archive.duplicates[name],
                dropped={flag.value: count for (feed, flag), count in sorted(gate.dropped.items()) if feed == name},
            )
            for name, state in self._states.items()
        )


_READERS: dict[str, Callable[[bytes], tuple[Raw, ...]]] = {"feed": read_feed, "json": read_posts}
