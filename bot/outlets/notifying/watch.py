"""The watch: shows a run to the alerts, and has what they find told. It never raises into trading."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence

import structlog

from bot.core.effects import Notify
from bot.core.facts import Fact
from bot.outlets.alerts import Alert, Alerts
from bot.outlets.topics import Topic

_log = structlog.get_logger(__name__)

_LOOK_SECONDS = 1.0
_MOST_ERRORS = 1_000
_OUR_OWN = frozenset({"notice"})  # a critical notice is written into the log as such, and is no error

Troubles = Callable[[], Mapping[str, Sequence[str]]]
Failing = Callable[[], Mapping[str, str]]
Hindered = Callable[[], str | None]


def _nothing() -> None:
    """There is no journal, or nothing hinders it."""


class ErrorTap(logging.Handler):
    """Hears of errors in the log, from whatever thread, by the names of their events."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._events: deque[str] = deque(maxlen=_MOST_ERRORS)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the name of the event, never what it says."""
        event = record.msg.get("event") if isinstance(record.msg, Mapping) else record.name
        if event not in _OUR_OWN:
            self._events.append(str(event))

    def drain(self) -> list[str]:
        """The events since the last time."""
        return [self._events.popleft() for _ in range(len(self._events))]


class Watch:
    """Watches one run. `tell` takes a notice and returns at once; `now` is ms UTC.

    `troubles` says what ails the sources, `failing` why tasks are down or keep failing, `hindered` what keeps the journal from
    being written.
    """

    def __init__(
        self,
        alerts: Alerts,
        tell: Callable[[Topic, Notify], None],
        now: Callable[[], int],
        troubles: Troubles,
        failing: Failing = dict,
        hindered: Hindered = _nothing,
    ) -> None:
        self._alerts, self._tell, self._now = alerts, tell, now
        self._troubles, self._failing, self._hindered = troubles, failing, hindered
        self._tap = ErrorTap()
        self.failures = 0

    def saw(self, fact: Fact) -> None:
        """Show it a fact. Never waits, never raises."""
        try:
            self._told(self._alerts.saw(fact))
        except Exception:  # noqa: BLE001 - an outlet's boundary: what cannot be told must not stop trading
            self._failed()

    async def run(self) -> None:
        """Look around every second, until cancelled."""
        logging.getLogger().addHandler(self._tap)
        try:
            while True:
                await asyncio.sleep(_LOOK_SECONDS)
                self.look()
        finally:
            logging.getLogger().removeHandler(self._tap)

    def look(self) -> None:
        """Look around once. Never raises."""
        try:
            at = self._now()
            self._alerts.troubled(at, self._troubles())
            self._alerts.failing(at, self._failing())
            self._alerts.hindered(at, self._hindered())
            self._alerts.erred(at, self._tap.drain())
            self._told(self._alerts.wake(at))
        except Exception:  # noqa: BLE001 - the same boundary: this task must outlive whatever it looks at
            self._failed()

    def _told(self, alerts: Sequence[Alert]) -> None:
        for alert in alerts:
            self._tell(alert.topic, alert.notice)

    def _failed(self) -> None:
        """Count it, and log the first: thousands may follow."""
        self.failures += 1
        if self.failures == 1:
            _log.exception("alerts_failed")
