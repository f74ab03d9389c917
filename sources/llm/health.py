"""What stands in the way of a call: a disabled provider or model, an open breaker, a role that rests.

Everything here is visible: each change is told once, with a reason and, where it passes by itself, until when.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import structlog

from sources.llm.asking import LlmError, Reply, Role, Trouble
from sources.llm.breaker import Breaker, BreakerLimits, BreakerState
from sources.llm.models import Candidate
from sources.llm.standing import Record, Standing

_log = structlog.get_logger(__name__)

_KEY_TROUBLES = frozenset({Trouble.AUTHENTICATION, Trouble.CREDIT})
_BREAKING = frozenset(
    {
        Trouble.RATE_LIMIT,
        Trouble.OVERLOAD,
        Trouble.SERVER,
        Trouble.TRANSPORT,
        Trouble.TIMEOUT,
        Trouble.UNREADABLE,
        Trouble.TOO_LARGE,
    }
)
_REFUSALS = 3  # bad requests in a row after which it is the model's configuration and not the prompt
_UNKNOWN_MODEL = 404


class ChangeKind(StrEnum):
    """What changed."""

    PROVIDER_DISABLED = "provider_disabled"
    MODEL_DISABLED = "model_disabled"
    ENABLED = "enabled"
    BREAKER_OPENED = "breaker_opened"
    BREAKER_CLOSED = "breaker_closed"
    RESTS = "rests"
    RESTED = "rested"


@dataclass(frozen=True, slots=True)
class Change:
    """Something that a person should see; `subject` is a provider, provider/model or role; times are ms UTC."""

    at: int
    kind: ChangeKind
    subject: str
    detail: str = ""
    until: int | None = None


@dataclass(frozen=True, slots=True)
class RestLimits:
    """After `failures` calls in a row to which no candidate answered, a role rests, twice as long each time."""

    failures: int = 3
    rest_ms: int = 60_000
    longest_ms: int = 900_000


@dataclass(frozen=True, slots=True)
class Rest:
    """A role does not ask before `until` (ms UTC)."""

    until: int
    failures: int
    detail: str


@dataclass(frozen=True, slots=True)
class CandidateView:
    """A candidate, as a page shows it: `disabled` says why, or nothing; `until` is when an open breaker lets a probe through."""

    provider: str
    model: str
    disabled: str
    breaker: BreakerState
    until: int | None
    standing: Standing


@dataclass(slots=True)
class _Chain:
    """How a role's calls have gone."""

    failures: int = 0
    rests: int = 0
    rest: Rest | None = None


@dataclass(slots=True)
class _Seat:
    """What is kept of a model at a provider."""

    breaker: Breaker
    record: Record = field(default_factory=Record)
    disabled: str = ""
    refusals: int = 0


class Health:
    """Keeps it. `disabled`: providers that cannot be asked from the start, and why."""

    def __init__(
        self,
        now: Callable[[], int],
        breaker: BreakerLimits,
        rest: RestLimits,
        disabled: Mapping[str, str],
        on_change: Callable[[Change], None] | None,
    ) -> None:
        self._now = now
        self._breaker_limits = breaker
        self._rest_limits = rest
        self._disabled = dict(disabled)
        self._on_change = on_change
        self._seats: dict[str, _Seat] = {}
        self._chains: dict[Role, _Chain] = {}

    def _seat(self, candidate: Candidate) -> _Seat:
        return self._seats.setdefault(str(candidate), _Seat(Breaker(self._breaker_limits)))

    def success(self, candidate: Candidate) -> float:
        """Its recent share of useful answers, 0..1."""
        return self._seat(candidate).record.success

    def bar(self, candidate: Candidate) -> LlmError | None:
        """Why it cannot be asked now, or None."""
        model, seat, at = candidate.model, self._seat(candidate), self._now()
        provider, name = model.provider, model.name
        if reason := self._disabled.get(model.provider) or seat.disabled:
            return LlmError(Trouble.DISABLED, f"disabled: {reason}", provider=provider, model=name)
        if model.price is None:
            unpriced = "no price is known; give it a `price` in the configuration"
            return LlmError(Trouble.UNPRICED, unpriced, provider=provider, model=name)
        if not seat.breaker.lets(at):
            until = seat.breaker.until(at)
            wait = None if until is None else (until - at) / 1000
            reason = (
                "a probe is out" if wait is None else f"left alone for {wait:.0f} s more after {seat.breaker.failures} failures"
            )
            return LlmError(Trouble.BREAKER, reason, retry_after_s=wait, provider=provider, model=name)
        return None

    def began(self, candidate: Candidate) -> None:
        """A call goes out."""
        self._seat(candidate).breaker.begin(self._now())

    def gave_up(self, candidate: Candidate) -> None:
        """The call was not made, or was cancelled."""
        self._seat(candidate).breaker.gave_up()

    def answered(self, candidate: Candidate, reply: Reply) -> None:
        """An answer came, of use or not."""
        seat, at = self._seat(candidate), self._now()
        was = seat.breaker.state(at)
        seat.breaker.succeeded()
        seat.record.answered(reply)
        seat.refusals = 0
        if was is not BreakerState.CLOSED:
            self._tell(ChangeKind.BREAKER_CLOSED, str(candidate))

    def failed(self, candidate: Candidate, error: LlmError) -> None:
        """No answer came."""
        seat, at = self._seat(candidate), self._now()
        seat.record.failed(error)
        if error.trouble in _BREAKING:
            wait = None if error.retry_after_s is None else round(error.retry_after_s * 1000)
            seat.breaker.failed(at, wait)
            if (until := seat.breaker.until(at)) is not None:
                self._tell(ChangeKind.BREAKER_OPENED, str(candidate), f"{error.trouble}: {error.reason}", until)
            return
        seat.breaker.gave_up()
        if error.trouble in _KEY_TROUBLES:
            self.disable(candidate.model.provider, f"{error.trouble}: {error.reason}")
        elif error.trouble is Trouble.BAD_REQUEST:
            self._refused(candidate, seat, error)

    def _refused(self, candidate: Candidate, seat: _Seat, error: LlmError) -> None:
        seat.refusals += 1
        if error.status == _UNKNOWN_MODEL or seat.refusals >= _REFUSALS:
            seat.disabled = f"{error.trouble}: {error.reason}"
            self._tell(ChangeKind.MODEL_DISABLED, str(candidate), seat.disabled)

    def disable(self, provider: str, reason: str) -> None:
        """Ask a provider no more, until `enable`."""
        if provider not in self._disabled:
            self._disabled[provider] = reason
            self._tell(ChangeKind.PROVIDER_DISABLED, provider, reason)

    def enable(self, provider: str) -> None:
        """Ask it and its models again, say because its key was replaced."""
        known = self._disabled.pop(provider, None)
        for name, seat in self._seats.items():
            if name.startswith(f"{provider}/"):
                known = known or seat.disabled or None
                seat.disabled, seat.refusals = "", 0
        if known is not None:
            self._tell(ChangeKind.ENABLED, provider)

    def rest(self, role: Role) -> Rest | None:
        """The rest that a role takes now, or None."""
        chain, at = self._chains.get(role), self._now()
        if chain is None or chain.rest is None:
            return None
        if chain.rest.until - self._rest_limits.longest_ms <= at < chain.rest.until:
            return chain.rest
        chain.rest = None
        return None

    def chain_answered(self, role: Role) -> None:
        """Somebody answered."""
        chain = self._chains.get(role)
        if chain is not None and chain.rests:
            self._tell(ChangeKind.RESTED, role)
        self._chains[role] = _Chain()

    def chain_failed(self, role: Role, error: LlmError) -> None:
        """Nobody answered."""
        chain, limits = self._chains.setdefault(role, _Chain()), self._rest_limits
        chain.failures += 1
        if chain.failures % limits.failures and not chain.rests:
            return
        until = self._now() + min(limits.rest_ms * 2 ** min(chain.rests, 30), limits.longest_ms)
        chain.rests += 1
        chain.rest = Rest(until, chain.failures, f"{error.trouble}: {error.reason}")
        self._tell(ChangeKind.RESTS, role, chain.rest.detail, until)

    def view(self, candidate: Candidate) -> CandidateView:
        """A candidate as it stands."""
        model, seat, at = candidate.model, self._seat(candidate), self._now()
        return CandidateView(
            provider=model.provider,
            model=model.name,
            disabled=self._disabled.get(model.provider) or seat.disabled,
            breaker=seat.breaker.state(at),
            until=seat.breaker.until(at),
            standing=seat.record.standing(),
        )

    def _tell(self, kind: ChangeKind, subject: str, detail: str = "", until: int | None = None) -> None:
        change = Change(self._now(), kind, subject, detail, until)
        _log.warning("llm_health", change=kind.value, subject=subject, detail=detail, until=until)
        if self._on_change is not None:
            self._on_change(change)
