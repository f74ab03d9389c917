"""Who is asked: the candidates of a role in their order, by one deadline, until one answers.

A fallback is another mind, so the reply says how many failed before it. When nobody answers the caller gets an `LlmError` and
abstains: a failure is never an opinion. An answer without use (refused, cut off, not in the schema) is an answer; nobody else is
asked in its place, for that would be shopping for the opinion one likes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from time import perf_counter
from typing import Any

from sources.llm.asking import Ask, LlmError, Provider, Reply, Role, Trouble
from sources.llm.breaker import BreakerLimits
from sources.llm.health import CandidateView, Change, Health, Rest, RestLimits
from sources.llm.models import Candidate, Model
from sources.llm.order import Turns
from sources.llm.prices import most
from sources.llm.purse import Purse, PurseEmpty, Ticket
from sources.llm.tally import Tally
from sources.llm.tokens import TokenScale, count_ask

_LEAST_S = 0.25  # with less time left nobody else is asked
_LEDGER_S = 10.0  # longest that the ledger may take to book what has happened
_OF_MONEY = frozenset({Trouble.BUDGET, Trouble.UNPRICED})


@dataclass(frozen=True, slots=True)
class Deadline:
    """Seconds for a whole chain of candidates, and for each of them while another one is left."""

    total_s: float = 20.0
    first_s: float = 12.0


@dataclass(frozen=True, slots=True)
class RouterView:
    """How things stand, as plain values: candidates by role in their configured order, and the roles that rest."""

    roles: Mapping[Role, tuple[CandidateView, ...]]
    resting: Mapping[Role, Rest]


@dataclass(slots=True)
class _Attempt:
    """A call that is paid for; `reply` is set when it has come."""

    ask: Ask
    reply: Reply | None = None


class Router:
    """Holds the providers, but does not own them. `now` gives ms UTC; `on_change` hears what a person should see."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        roles: Mapping[Role, Sequence[Candidate]],
        *,
        now: Callable[[], int],
        deadlines: Mapping[Role, Deadline] | None = None,
        breaker: BreakerLimits | None = None,
        rest: RestLimits | None = None,
        scale: TokenScale | None = None,
        disabled: Mapping[str, str] | None = None,
        on_change: Callable[[Change], None] | None = None,
    ) -> None:
        self.scale = scale or TokenScale()
        self.tally = Tally()
        self._providers = dict(providers)
        self._roles = {role: tuple(candidates) for role, candidates in roles.items()}
        self._now = now
        self._deadlines = dict(deadlines or {})
        self._turns = Turns()
        missing = {one.model.provider for each in self._roles.values() for one in each} - set(providers)
        reasons = dict.fromkeys(sorted(missing), "it is not configured") | dict(disabled or {})
        self._health = Health(now, breaker or BreakerLimits(), rest or RestLimits(), reasons, on_change)

    def candidates(self, role: Role) -> tuple[Candidate, ...]:
        """The candidates of a role, as configured."""
        return self._roles.get(role, ())

    def resting(self, role: Role) -> Rest | None:
        """Whether the source should rest, until when and why."""
        return self._health.rest(role)

    def disable(self, provider: str, reason: str) -> None:
        """Ask a provider no more, until `enable`."""
        self._health.disable(provider, reason)

    def enable(self, provider: str) -> None:
        """Ask a provider again that was disabled, say because its key was replaced."""
        self._health.enable(provider)

    def view(self) -> RouterView:
        """How things stand."""
        resting = {role: rest for role in self._roles if (rest := self._health.rest(role)) is not None}
        return RouterView({role: tuple(map(self._health.view, each)) for role, each in self._roles.items()}, resting)

    def reservation(self, ask: Ask, model: Model) -> Decimal:
        """The most that a call may cost in USD, as far as can be told; `LlmError` for a model without a price."""
        return self._amount(ask, count_ask(ask), model)

    async def ask(
        self,
        ask: Ask,
        purse: Purse,
        *,
        among: Sequence[Candidate] | None = None,
        deadline_s: float | None = None,
    ) -> Reply:
        """The first answer of the role's candidates. `LlmError` with what each of them had where there is none.

        `among` asks those instead (one member of an ensemble, say), and then neither heeds nor moves the role's rest.
        """
        tried: list[LlmError] = []
        estimated = count_ask(ask)
        for candidate, seconds in self._chain(ask, estimated, among, deadline_s, tried):
            try:
                async with self._paid(ask, estimated, candidate, purse, seconds) as attempt:
                    provider = self._providers[candidate.model.provider]
                    attempt.reply = await provider.ask(attempt.ask, candidate.model, seconds())
                return self._stamped(ask, attempt.reply, tried, among)
            except LlmError as error:
                tried.append(error)
        raise self._nobody(ask, tried, among)

    async def stream(
        self,
        ask: Ask,
        purse: Purse,
        *,
        among: Sequence[Candidate] | None = None,
        deadline_s: float | None = None,
    ) -> AsyncIterator[str | Reply]:
        """Pieces of text, and the `Reply` as the last item. Another candidate takes over only before the first piece."""
        tried: list[LlmError] = []
        estimated = count_ask(ask)
        for candidate, seconds in self._chain(ask, estimated, among, deadline_s, tried):
            begun = False
            try:
                async with self._paid(ask, estimated, candidate, purse, seconds) as attempt:
                    provider = self._providers[candidate.model.provider]
                    pieces: Any = provider.stream(attempt.ask, candidate.model, seconds())
                    async with aclosing(pieces):
                        async for piece in pieces:
                            if isinstance(piece, Reply):
                                attempt.reply = piece
                            else:
                                begun = True
                                yield piece
                    if attempt.reply is None:
                        reason = "the stream had no end"
                        raise LlmError(Trouble.TRANSPORT, reason, provider=provider.name, may_have_been_billed=True)
                yield self._stamped(ask, attempt.reply, tried, among)
                return
            except LlmError as error:
                tried.append(error)
                if begun:
                    break
        raise self._nobody(ask, tried, among)

    def _chain(
        self,
        ask: Ask,
        estimated: int,
        among: Sequence[Candidate] | None,
        deadline_s: float | None,
        tried: list[LlmError],
    ) -> list[tuple[Candidate, Callable[[], float]]]:
        """Who may be asked, in order, each with the seconds that it has left when it is its turn; bars go to `tried`."""
        rest = self._health.rest(ask.role) if among is None else None
        if rest is not None:
            wait = (rest.until - self._now()) / 1000
            reason = f"it rests for {wait:.0f} s more after {rest.failures} failures ({rest.detail})"
            raise LlmError(Trouble.RESTING, reason, retry_after_s=wait)
        limits = self._deadlines.get(ask.role, Deadline())
        loop = asyncio.get_running_loop()
        end = loop.time() + (limits.total_s if deadline_s is None else deadline_s)
        open_ones = []
        for candidate in self._roles.get(ask.role, ()) if among is None else among:
            bar = self._health.bar(candidate)
            if bar is None:
                open_ones.append(candidate)
            else:
                tried.append(bar)
        ordered = self._turns.order(open_ones, self._health.success, lambda one: self._amount(ask, estimated, one.model))

        def seconds(last: bool) -> Callable[[], float]:
            return lambda: end - loop.time() if last else min(limits.first_s, end - loop.time())

        return [(one, seconds(at == len(ordered) - 1)) for at, one in enumerate(ordered)]

    def _amount(self, ask: Ask, estimated: int, model: Model) -> Decimal:
        if model.price is None:
            reason = "no price is known; give it a `price` in the configuration"
            raise LlmError(Trouble.UNPRICED, reason, provider=model.provider, model=model.name)
        prompt = self.scale.stretched(estimated, model)
        output = model.capabilities.output_for(ask.max_output_tokens)
        return most(prompt, output, model.price, self._now(), caches=ask.caching is not None)

    @asynccontextmanager
    async def _paid(
        self, ask: Ask, estimated: int, candidate: Candidate, purse: Purse, seconds: Callable[[], float]
    ) -> AsyncIterator[_Attempt]:
        """Around one try: its money is set aside before, and booked after, whatever happens."""
        ticket = await self._reserved(ask, estimated, candidate, purse, seconds())
        attempt = _Attempt(replace(ask, effort=candidate.effort or ask.effort))
        tally, began = self.tally, perf_counter()
        tally.under_way += 1
        try:
            yield attempt
        except LlmError as error:
            self._health.failed(candidate, error)
            tally.failed(candidate, error, ticket.amount)
            async with asyncio.timeout(_LEDGER_S):
                await (purse.lost(ticket) if error.may_have_been_billed else purse.release(ticket))
            raise
        except BaseException:  # cancelled, or nobody listens any more: what was sent may be billed
            self._health.gave_up(candidate)
            tally.cancelled(candidate, ticket.amount)
            async with asyncio.timeout(_LEDGER_S):
                await purse.lost(ticket)
            raise
        finally:
            tally.under_way -= 1
        reply = attempt.reply
        assert reply is not None  # or the body would have raised
        self._health.answered(candidate, reply)
        tally.answered(candidate, reply, perf_counter() - began)
        if not reply.usage_estimated:
            self.scale.learn(candidate.model, estimated, reply.usage.input)
        async with asyncio.timeout(_LEDGER_S):
            await purse.settle(ticket, reply.cost, reply.usage)

    async def _reserved(self, ask: Ask, estimated: int, candidate: Candidate, purse: Purse, seconds: float) -> Ticket:
        """A ticket for a call that may go out now; from here on the breaker counts it as begun."""
        if seconds < _LEAST_S:
            raise _not_made(candidate, Trouble.TIMEOUT, "no time was left for it; nothing was sent")
        if candidate.model.provider not in self._providers:
            raise _not_made(candidate, Trouble.DISABLED, "it is not configured")
        bar = self._health.bar(candidate)  # things may have changed while others were asked
        if bar is not None:
            raise bar
        self._health.began(candidate)
        try:
            async with asyncio.timeout(seconds):
                return await purse.reserve(candidate, self._amount(ask, estimated, candidate.model))
        except BaseException as error:
            self._health.gave_up(candidate)
            if isinstance(error, PurseEmpty):
                raise _not_made(candidate, Trouble.BUDGET, str(error)) from error
            if isinstance(error, TimeoutError):
                raise _not_made(candidate, Trouble.BUDGET, "the ledger did not answer in time; nothing was sent") from error
            raise

    def _stamped(self, ask: Ask, reply: Reply, tried: Sequence[LlmError], among: Sequence[Candidate] | None) -> Reply:
        if among is None:
            self._health.chain_answered(ask.role)
        return replace(reply, fallback=len(tried))

    def _nobody(self, ask: Ask, tried: Sequence[LlmError], among: Sequence[Candidate] | None) -> LlmError:
        """What a chain came to in which nobody answered: the last that was asked says what it was."""
        asked = [error for error in tried if error.trouble not in {Trouble.BREAKER, Trouble.DISABLED, *_OF_MONEY}]
        barred = [error for error in tried if error.trouble in _OF_MONEY] or list(tried)
        leading = (asked or barred)[-1] if tried else LlmError(Trouble.DISABLED, f"no candidate for {ask.role} is configured")
        waits = [error.retry_after_s for error in tried if error.retry_after_s is not None]
        error = LlmError(
            leading.trouble,
            "; ".join(map(str, tried)) or leading.reason,
            provider=leading.provider if len(tried) == 1 else "",
            may_have_been_billed=any(each.may_have_been_billed for each in tried),
            retry_after_s=min(waits, default=None),
            status=leading.status,
            request_id=leading.request_id,
            tried=tuple(tried),
        )
        if among is None and not (tried and all(each.trouble in _OF_MONEY for each in tried)):
            self._health.chain_failed(ask.role, error)
        return error


def _not_made(candidate: Candidate, trouble: Trouble, reason: str) -> LlmError:
    return LlmError(trouble, reason, provider=candidate.model.provider, model=candidate.model.name)
