"""Alerts: which of all that happens a person is told, beyond what the desk says aloud by itself.

Facts, troubles of sources and errors in the log go in, notices with their topics come out; no clock, no I/O. What comes in crowds
is told in one: an order once it is over and not each of its fills, denials by their number, symbols that stall together. What the
desk notifies of by itself (the kill switch, differences, loss limits, exits that fail) is not told again.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from bot.core.decision import Denial, Fate
from bot.core.effects import Notify, Severity
from bot.core.facts import DecisionFate, Fact, FillBooked, HealthChanged, OrderChanged, RiskChanged
from bot.core.inputs import TradingState
from bot.core.market import Health, Side
from bot.core.orders import ZERO, Leg
from bot.core.risk import LOSS_LIMITS
from bot.outlets.topics import Topic

_MOST_ORDERS = 1_000
_MOST_NAMED = 10
_KNOWN_DENIALS = frozenset({*LOSS_LIMITS, Denial.REDUCING, Denial.HALTED})
_LEGS: Mapping[Leg, str] = MappingProxyType(
    {Leg.STOP_LOSS: "Stop-loss filled", Leg.TAKE_PROFIT: "Target reached", Leg.TRAILING_STOP: "Trailing stop filled"}
)


@dataclass(frozen=True, slots=True)
class Alert:
    """A notice and what it is about."""

    topic: Topic
    notice: Notify


@dataclass(frozen=True, slots=True)
class AlertRules:
    """Times in ms. `denials` are counted so long; an ailment shorter than `settle` is not told.

    What falls ill again sooner than `again` after that was told is told when the time is over, if it is still ill. `errors` log
    lines within `window` are a burst, told once in `quiet`.
    """

    denials: int = 300_000
    settle: int = 5_000
    again: int = 300_000
    errors: int = 10
    window: int = 60_000
    quiet: int = 600_000


@dataclass(slots=True)
class _Ailing:
    """What is ill, since when and why; of how many ailments of it was told, and when it was last said to be ill.

    Each recovery of what was told is told too, so that the last word on a thing is how it is; what keeps that from going on all
    night is the time between one fall and the next.
    """

    since: dict[str, int] = field(default_factory=dict)
    why: dict[str, Sequence[str]] = field(default_factory=dict)
    told: dict[str, int] = field(default_factory=dict)
    said: dict[str, int] = field(default_factory=dict)
    risen: dict[str, int] = field(default_factory=dict)

    def mark(self, name: str, at: int, why: Sequence[str]) -> None:
        """It is ill for these reasons, or well if there is none."""
        if why:
            self.since.setdefault(name, at)
            self.why[name] = why
        elif self.since.pop(name, None) is not None:
            del self.why[name]
            if name in self.told:
                self.risen[name] = self.told.pop(name)

    def look(self, at: int, ill: Mapping[str, Sequence[str]]) -> None:
        """All that are ill now; the others are well."""
        for name in [known for known in self.since if not ill.get(known)]:
            self.mark(name, at, ())
        for name, why in ill.items():
            self.mark(name, at, why)

    def fallen(self, at: int, rules: AlertRules) -> list[str]:
        """Those that have been ill for long enough, and of whose ailments not all are told; they are from now on."""
        self.said = {name: said for name, said in self.said.items() if at - said < rules.again}
        found = [
            name
            for name, since in self.since.items()
            if at - since >= rules.settle and len(self.why[name]) > self.told.get(name, 0) and name not in self.said
        ]
        for name in found:
            self.told[name], self.said[name] = len(self.why[name]), at
        return found

    def recovered(self) -> list[str]:
        """Those that were told to be ill and are well again; told from now on.

        Of one that fell ill again meanwhile nothing is told: what was said of it holds.
        """
        risen, self.risen = self.risen, {}
        self.told.update((name, count) for name, count in risen.items() if name in self.since)
        return [name for name in risen if name not in self.since]


class Alerts:
    """Observes a run. `wake` is to be called every second or so: it tells what was collected."""

    def __init__(self, rules: AlertRules | None = None) -> None:
        self._rules = rules or AlertRules()
        self._realised: dict[str, Decimal] = {}
        self._denied: Counter[Denial] = Counter()
        self._denied_since: int | None = None
        self._feeds = _Ailing()
        self._sources = _Ailing()
        self._tasks = _Ailing()
        self._journal = _Ailing()
        self._errors: deque[tuple[int, str]] = deque(maxlen=10 * self._rules.errors)
        self._burst_at: int | None = None
        self._sees: Mapping[type, Callable[[Any], list[Alert]]] = {
            FillBooked: self._fill,
            OrderChanged: self._order,
            DecisionFate: self._fate,
            RiskChanged: self._risk,
            HealthChanged: self._health,
        }

    def saw(self, fact: Fact) -> list[Alert]:
        """What is to be told of a fact at once."""
        sees = self._sees.get(fact.__class__)
        return [] if sees is None else sees(fact)

    def troubled(self, at: int, troubles: Mapping[str, Sequence[str]]) -> None:
        """What ails the sources now, by their names; those that are not named are well."""
        self._sources.look(at, troubles)

    def failing(self, at: int, tasks: Mapping[str, str]) -> None:
        """Why tasks of the bot are down or keep failing now, by their names; those that are not named are well."""
        self._tasks.look(at, {name: [error] for name, error in tasks.items()})

    def hindered(self, at: int, trouble: str | None) -> None:
        """What keeps the journal from being written now, if anything does."""
        self._journal.look(at, {} if trouble is None else {"the database": (trouble,)})

    def erred(self, at: int, events: Sequence[str]) -> None:
        """Errors that were logged since the last time, by the names of their events."""
        self._errors.extend((at, event) for event in events)

    def wake(self, at: int) -> list[Alert]:
        """What was collected and is due."""
        return [*self._tell_ailments(at), *self._tell_denials(at), *self._tell_errors(at)]

    def _fill(self, fact: FillBooked) -> list[Alert]:
        order = fact.fill.order_id
        self._realised[order] = self._realised.pop(order, ZERO) + fact.realised
        if len(self._realised) > _MOST_ORDERS:
            del self._realised[next(iter(self._realised))]
        return []

    def _order(self, fact: OrderChanged) -> list[Alert]:
        """An order that is over and traded."""
        if not fact.state.terminal:
            return []
        realised = self._realised.pop(fact.request.id, ZERO)
        if fact.filled <= ZERO:
            return []
        request, leg = fact.request, fact.request.leg
        did = f"{'Bought' if request.side is Side.BUY else 'Sold'} {_plain(fact.filled)} {request.symbol}"
        parts = [f"at {_plain(fact.average)}" if fact.average is not None else "", f"by {request.source}, {leg.value}"]
        if fact.filled < request.amount:
            parts.append(f"{fact.state.value} with {_plain(request.amount - fact.filled)} open")
        if leg is not Leg.ENTRY:
            parts.append(f"P&L {realised:+.2f}")
        text = ", ".join(part for part in parts if part)
        if not leg.protective:
            return [Alert(Topic.FILLS, Notify(Severity.INFO, did, text))]
        severity = Severity.INFO if leg is Leg.TAKE_PROFIT else Severity.WARNING
        return [Alert(Topic.STOPS, Notify(severity, f"{_LEGS[leg]}: {did[0].lower()}{did[1:]}", text))]

    def _fate(self, fact: DecisionFate) -> list[Alert]:
        if fact.fate is Fate.DENIED and fact.denial is not None and fact.denial not in _KNOWN_DENIALS:
            self._denied[fact.denial] += 1
            if self._denied_since is None:
                self._denied_since = fact.at
        return []

    def _risk(self, fact: RiskChanged) -> list[Alert]:
        """The desk says aloud that it stops; that it goes on, or has sold everything, is told here."""
        if fact.actor == "risk":
            return []
        if fact.state is TradingState.ACTIVE:
            notice = Notify(Severity.WARNING, "Trading is active", f"{fact.actor}: {fact.reason}")
        elif fact.actor == "desk":
            notice = Notify(Severity.WARNING, "Every position is closed", f"trading is {fact.state.value}: {fact.reason}")
        else:
            return []
        return [Alert(Topic.TRADING, notice)]

    def _health(self, fact: HealthChanged) -> list[Alert]:
        well = fact.health is Health.FRESH
        self._feeds.mark(fact.symbol, fact.at, () if well else (fact.detail or fact.health.value,))
        return []

    def _tell_ailments(self, at: int) -> list[Alert]:
        told = []
        loud, louder = Severity.WARNING, Severity.CRITICAL
        for topic, ailing, severity, ill, well in (
            (Topic.ERRORS, self._journal, louder, "The journal cannot be written", "The journal can be written again"),
            (Topic.FEEDS, self._feeds, loud, "Market data stalls", "Market data flows again"),
            (Topic.SOURCES, self._sources, loud, "A source is degraded", "A source is well again"),
            (Topic.ERRORS, self._tasks, loud, "A task of the bot fails", "A task of the bot is well again"),
        ):
            recovered = ailing.recovered()
            if fallen := ailing.fallen(at, self._rules):
                text = _named([f"{name} ({'; '.join(ailing.why[name])})" for name in fallen])
                told.append(Alert(topic, Notify(severity, ill, text)))
            if recovered:
                told.append(Alert(topic, Notify(Severity.INFO, well, _named(recovered))))
        return told

    def _tell_denials(self, at: int) -> list[Alert]:
        since = self._denied_since
        if since is None or at - since < self._rules.denials:
            return []
        denied, self._denied, self._denied_since = self._denied, Counter(), None
        text = ", ".join(f"{denial.value} {count}" for denial, count in denied.most_common())
        count = denied.total()
        title = f"Risk refused {count} decision{'s' if count > 1 else ''}"
        return [Alert(Topic.DENIALS, Notify(Severity.INFO, title, f"{text}, in {_span(at - since)}"))]

    def _tell_errors(self, at: int) -> list[Alert]:
        rules = self._rules
        while self._errors and at - self._errors[0][0] > rules.window:
            self._errors.popleft()
        if len(self._errors) < rules.errors or (self._burst_at is not None and at - self._burst_at < rules.quiet):
            return []
        self._burst_at = at
        counts = Counter(event for _, event in self._errors)
        text = _named([f"{event} {count}" for event, count in counts.most_common()])
        title = f"{len(self._errors)} errors in the log within {_span(rules.window)}"
        return [Alert(Topic.ERRORS, Notify(Severity.WARNING, title, text))]


def _plain(amount: Decimal) -> str:
    """A decimal without exponent and without zeros at its end."""
    return f"{amount.normalize():f}"


def _named(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _span(ms: int) -> str:
    return f"{ms / 60_000:.0f} min" if ms >= 120_000 else f"{ms / 1_000:.0f} s"
