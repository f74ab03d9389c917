"""When a scheduled function is called, and how small bars become large ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from simulators.quantconnect.lean_types import DayOfWeek, Symbol, TradeBar, milliseconds, naive

DateRule = Callable[[date], bool]
TimeRule = Callable[[date], Iterator[datetime]]

_FAR = 3_660
"""Days after which a rule that never fits is given up."""


class DateRules:
    """On which days: `every_day`, `every(days...)`, `week_start`, `month_start`, `today`-like rules are not there."""

    def every_day(self, _: Symbol | None = None) -> DateRule:
        """Each day; the stand-in's markets never close."""
        return lambda _: True

    def every(self, *days: DayOfWeek) -> DateRule:
        """These days of the week."""
        wanted = {int(day) for day in days}
        return lambda day: day.isoweekday() % 7 in wanted

    def week_start(self, _: Symbol | None = None, days_offset: int = 0) -> DateRule:
        """Mondays, or some days later."""
        return lambda day: day.weekday() == days_offset

    def month_start(self, _: Symbol | None = None, days_offset: int = 0) -> DateRule:
        """The first of each month, or some days later."""
        return lambda day: day.day == 1 + days_offset

    def on(self, year: int, month: int, day: int) -> DateRule:
        """One day."""
        wanted = date(year, month, day)
        return lambda each: each == wanted


class TimeRules:
    """At which times of such a day, in the algorithm's time zone."""

    def every(self, interval: timedelta) -> TimeRule:
        """Each interval from midnight on."""
        if interval <= timedelta(0):
            message = f"the interval is {interval}; it must be positive"
            raise ValueError(message)

        def instants(day: date) -> Iterator[datetime]:
            moment, end = datetime.combine(day, time()), datetime.combine(day + timedelta(1), time())
            while moment < end:
                yield moment
                moment += interval

        return instants

    def at(self, hour: int, minute: int = 0, second: int = 0) -> TimeRule:
        """One time of the day."""
        return lambda day: iter([datetime.combine(day, time(hour, minute, second))])

    def midnight(self) -> TimeRule:
        """00:00."""
        return self.at(0)

    def noon(self) -> TimeRule:
        """12:00."""
        return self.at(12)

    def after_market_open(self, _: Symbol, minutes_after_open: float = 0) -> TimeRule:
        """Minutes after 00:00: the market of the stand-in opens when the day begins."""
        return lambda day: iter([datetime.combine(day, time()) + timedelta(minutes=minutes_after_open)])

    def before_market_close(self, _: Symbol, minutes_before_close: float = 0) -> TimeRule:
        """Minutes before the day ends."""
        return lambda day: iter([datetime.combine(day + timedelta(1), time()) - timedelta(minutes=minutes_before_close)])


@dataclass(slots=True)
class ScheduledEvent:
    """A function and the next moment (ms UTC) at which it is due."""

    dates: DateRule
    times: TimeRule
    call: Callable[[], object]
    zone: ZoneInfo
    due: int | None = None
    over: bool = False

    def advance(self, after: int) -> None:
        """Find the first moment later than `after`; None when there is none in ten years."""
        day = naive(after, self.zone).date()
        for _ in range(_FAR):
            if self.dates(day):
                moments = (milliseconds(moment, self.zone) for moment in self.times(day))
                self.due = next((moment for moment in moments if moment > after), None)
                if self.due is not None:
                    return
            day += timedelta(1)
        self.due, self.over = None, True


@dataclass(slots=True)
class Schedule:
    """`self.schedule`: what is due when. `now` and `zone` are asked of the run."""

    now: Callable[[], int]
    zone: Callable[[], ZoneInfo]
    events: list[ScheduledEvent] = field(default_factory=list)

    def on(self, *given: object) -> ScheduledEvent:
        """`on([name,] date_rule, time_rule, function)`."""
        dates, times, call = given[-3:]
        if not (callable(dates) and callable(times) and callable(call)):
            message = "schedule.on takes a date rule, a time rule and a function"
            raise TypeError(message)
        event = ScheduledEvent(dates, times, call, self.zone())
        self.events.append(event)
        return event

    def start(self, after: int) -> None:
        """Nothing before this moment is due."""
        for event in self.events:
            event.advance(after)

    def due(self, until: int) -> Iterator[tuple[int, ScheduledEvent]]:
        """What comes up to a moment, in time order; each must have been called before the next is asked for."""
        while True:
            for fresh in (event for event in self.events if event.due is None and not event.over):
                fresh.advance(self.now())
            soon = min((event for event in self.events if event.due is not None), key=_due, default=None)
            if soon is None or _due(soon) > until:
                return
            moment = _due(soon)
            yield moment, soon
            soon.advance(moment)


def _due(event: ScheduledEvent) -> int:
    assert event.due is not None
    return event.due


@dataclass(slots=True)
class Consolidator:
    """Makes bars of `length` ms, aligned to UTC, of the bars of a symbol, and hands each on when its time is over."""

    symbol: Symbol
    length: int
    zone: ZoneInfo
    handlers: list[Callable[[TradeBar], object]] = field(default_factory=list)
    _working: TradeBar | None = None

    def take(self, bar: TradeBar, own_length: int) -> None:
        """The next bar of the subscription, which has bars of `own_length` ms."""
        if own_length >= self.length:
            self._emit(bar)
            return
        start = (bar.end_ms - own_length) // self.length * self.length
        working = self._working
        if working is not None and working.end_ms != start + self.length:
            self._working = None
            self._emit(working)
            working = None
        if working is None:
            working = self._working = TradeBar(
                self.symbol, start + self.length, self.length, bar.open, bar.high, bar.low, bar.close, bar.volume, self.zone
            )
        else:
            working.high, working.low = max(working.high, bar.high), min(working.low, bar.low)
            working.close = bar.close
            working.volume += bar.volume
        if bar.end_ms >= working.end_ms:
            self._working = None
            self._emit(working)

    def _emit(self, bar: TradeBar) -> None:
        for handler in list(self.handlers):
            handler(bar)
