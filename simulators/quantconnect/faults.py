"""The ways in which the service can go wrong, as values, and what is switched on at the moment.

Faults of answers strike by path: a shell-like pattern over what follows `/api/v2` (`/backtests/*`). Faults of jobs wait for the
next job. A count says how often; `Clear` ends everything.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Annotated, Literal, TypeVar

from pydantic import Field, TypeAdapter

Count = Annotated[int, Field(gt=0, le=100_000)]
Seconds = Annotated[float, Field(ge=0, le=120, allow_inf_nan=False)]

NO_SPARE_NODES = (
    "There are no spare nodes available in your cluster. To launch a new backtest please stop an existing running backtest "
    "or add more compute nodes to your organization."
)
SLOW_DOWN = "Too many backtest requests; please slow down."
NO_COMPILE = "Compile id not found"
NO_DEPLOYMENT = "No live deployment found for this project"
INTERNAL = "Internal Error 21"
_MAX_ON = 1_000


@dataclass(frozen=True, slots=True)
class Status:
    """The next requests are answered with this HTTP status: empty, with a gateway's page, or with an envelope."""

    code: Annotated[int, Field(ge=400, le=599)]
    path: str = "*"
    count: Count = 1
    body: Literal["empty", "html", "json"] = "empty"
    retry_after: int | None = None
    fault: Literal["status"] = "status"


@dataclass(frozen=True, slots=True)
class Page:
    """The next requests are answered with an HTML page and status 200, or with the true answer cut off in the middle."""

    path: str = "*"
    count: Count = 1
    cut: bool = False
    fault: Literal["page"] = "page"


@dataclass(frozen=True, slots=True)
class Refuse:
    """The next requests are refused with this text, which stands under errors, messages or Message."""

    text: str
    path: str = "*"
    count: Count = 1
    under: Literal["errors", "messages", "Message"] = "errors"
    fault: Literal["refuse"] = "refuse"


@dataclass(frozen=True, slots=True)
class BadHash:
    """The next requests are told that their hash does not match, whatever it is."""

    path: str = "*"
    count: Count = 1
    fault: Literal["bad_hash"] = "bad_hash"


@dataclass(frozen=True, slots=True)
class Slow:
    """The next requests are answered this many seconds later."""

    seconds: Seconds
    path: str = "*"
    count: Count = 1
    fault: Literal["slow"] = "slow"


@dataclass(frozen=True, slots=True)
class Drop:
    """The next connections are cut without an answer: before the request is acted on, or after."""

    path: str = "*"
    count: Count = 1
    after: bool = False
    fault: Literal["drop"] = "drop"


@dataclass(frozen=True, slots=True)
class ClockSkew:
    """The service's clock is this many seconds ahead (0 ends it); old timestamps are stale by it."""

    seconds: int
    fault: Literal["clock_skew"] = "clock_skew"


@dataclass(frozen=True, slots=True)
class RateLimit:
    """From now on so many requests a minute, 429 above; 0 ends it."""

    per_minute: Annotated[int, Field(ge=0)]
    fault: Literal["rate_limit"] = "rate_limit"


@dataclass(frozen=True, slots=True)
class CompileError:
    """The next compile ends in BuildError at this line of `main.py`."""

    line: int = 12
    message: str = "invalid syntax"
    count: Count = 1
    fault: Literal["compile_error"] = "compile_error"


@dataclass(frozen=True, slots=True)
class CompileStuck:
    """The next compile stays InQueue for ever."""

    count: Count = 1
    fault: Literal["compile_stuck"] = "compile_stuck"


@dataclass(frozen=True, slots=True)
class CompileLag:
    """The next `backtests/create` or `live/create` do not find their compile id."""

    count: Count = 1
    fault: Literal["compile_lag"] = "compile_lag"


@dataclass(frozen=True, slots=True)
class NodesBusy:
    """The next `backtests/create` find every node busy."""

    count: Count = 1
    fault: Literal["nodes_busy"] = "nodes_busy"


@dataclass(frozen=True, slots=True)
class HalfStatistics:
    """The next backtest is completed without statistics for so many reads, after which they are there (or never: None)."""

    reads: Count | None = 3
    count: Count = 1
    fault: Literal["half_statistics"] = "half_statistics"


@dataclass(frozen=True, slots=True)
class NeverCompletes:
    """The next backtest stays queued, or runs without getting further, until it is deleted. Its node is busy."""

    running: bool = True
    count: Count = 1
    fault: Literal["never_completes"] = "never_completes"


@dataclass(frozen=True, slots=True)
class LyingStatus:
    """The status text of the next backtest says this from the beginning to the end."""

    text: str = "Completed."
    count: Count = 1
    fault: Literal["lying_status"] = "lying_status"


@dataclass(frozen=True, slots=True)
class RuntimeFailure:
    """The next backtest, or the running live algorithm, ends with this error."""

    error: str = "Algorithm.OnData() Error: boom"
    initializing: bool = False
    where: Literal["backtest", "live"] = "backtest"
    count: Count = 1
    fault: Literal["runtime_failure"] = "runtime_failure"


@dataclass(frozen=True, slots=True)
class Deleted:
    """A project, or a backtest of it, is gone, as if somebody else had deleted it; the newest unless an id is given.

    A deleted backtest is still answered, with null.
    """

    what: Literal["project", "backtest"] = "project"
    project_id: int | None = None
    backtest_id: str | None = None
    fault: Literal["deleted"] = "deleted"


@dataclass(frozen=True, slots=True)
class LiveStuck:
    """The next deployment stays in this state, or ends with it; any name, `Undefined` and `DeployError` among them."""

    status: str = "Initializing"
    count: Count = 1
    fault: Literal["live_stuck"] = "live_stuck"


@dataclass(frozen=True, slots=True)
class Webhook:
    """The next webhooks go wrong: sent twice, with a changed body, much later, or not at all."""

    how: Literal["twice", "tampered", "late", "lost"]
    count: Count = 1
    seconds: Seconds = 1.0
    fault: Literal["webhook"] = "webhook"


@dataclass(frozen=True, slots=True)
class Quirk:
    """One of PHP's habits, with this probability from now on (see `quirks`)."""

    name: Literal["empty_lists", "text_numbers", "text_insights", "capitals", "nulls", "numbered_maps", "other_dates"]
    probability: Annotated[float, Field(ge=0, le=1)] = 1.0
    fault: Literal["quirk"] = "quirk"


@dataclass(frozen=True, slots=True)
class Clear:
    """Everything that is on goes off; what happened stays."""

    fault: Literal["clear"] = "clear"


OfAnswers = Status | Page | Refuse | BadHash | Slow | Drop
OfJobs = (
    CompileError | CompileStuck | CompileLag | NodesBusy | HalfStatistics | NeverCompletes | LyingStatus | RuntimeFailure
    | LiveStuck | Webhook
)  # fmt: skip
AtOnce = ClockSkew | RateLimit | Deleted | Quirk | Clear
Fault = OfAnswers | OfJobs | AtOnce
F = TypeVar("F", bound=OfJobs)


def fault_reader() -> TypeAdapter[Fault]:
    """Reads a fault written as JSON, by its field `fault`."""
    return TypeAdapter(Annotated[Fault, Field(discriminator="fault")])


@dataclass(slots=True)
class _Rule:
    fault: OfAnswers | OfJobs
    left: int


@dataclass(slots=True)
class Switchboard:
    """What waits to strike. `counts` tells what struck, by the fault's name."""

    skew: int = 0
    per_minute: int | None = None
    counts: Counter[str] = field(default_factory=Counter)
    _rules: list[_Rule] = field(default_factory=list)

    def add(self, fault: OfAnswers | OfJobs) -> None:
        """Switch one on; `ValueError` when there are too many."""
        if len(self._rules) >= _MAX_ON:
            message = f"{_MAX_ON} faults are on already; send a clear first"
            raise ValueError(message)
        self._rules.append(_Rule(fault, fault.count))

    def clear(self) -> None:
        """Switch everything off."""
        self._rules.clear()
        self.skew, self.per_minute = 0, None

    def active(self) -> list[str]:
        """What is on, in words."""
        words = [f"{rule.fault!r} ({rule.left} left)" for rule in self._rules]
        words += [f"ClockSkew(seconds={self.skew})"] if self.skew else []
        return words + ([] if self.per_minute is None else [f"RateLimit(per_minute={self.per_minute})"])

    def of_answer(self, path: str) -> list[OfAnswers]:
        """What strikes a request: a delay, and one thing else at most."""
        struck: list[OfAnswers] = []
        for rule in list(self._rules):
            fault = rule.fault
            if not isinstance(fault, OfAnswers) or not fnmatchcase(path, fault.path):
                continue
            if any(isinstance(one, Slow) is isinstance(fault, Slow) for one in struck):
                continue
            struck.append(fault)
            self._use(rule)
        return struck

    def of_job(self, kind: type[F], **wanted: object) -> F | None:
        """The fault of this kind that strikes now, used up by asking."""
        for rule in self._rules:
            if isinstance(rule.fault, kind) and all(getattr(rule.fault, key) == value for key, value in wanted.items()):
                self._use(rule)
                return rule.fault
        return None

    def _use(self, rule: _Rule) -> None:
        rule.left -= 1
        self.counts[rule.fault.fault] += 1
        if rule.left <= 0:
            self._rules.remove(rule)
