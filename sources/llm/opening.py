"""From configuration and keys to a router with its providers.

A provider without a key is there all the same, disabled, and says which key it lacks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import structlog

from bot.core.market import timeframe_ms
from sources.llm.asking import LlmError, Provider, Role, Trouble
from sources.llm.breaker import BreakerLimits
from sources.llm.health import Change, RestLimits
from sources.llm.models import Candidate, Dialect, Model
from sources.llm.prices import PriceTable, shipped
from sources.llm.providers.calling import SdkProvider
from sources.llm.providers.chat import Chat
from sources.llm.providers.messages import Messages
from sources.llm.providers.responses import Responses
from sources.llm.providers.speech import Speech
from sources.llm.router import Deadline, Router
from sources.llm.settings import AccessSettings, CandidateSettings, ProviderSettings
from sources.llm.tokens import TokenScale

_log = structlog.get_logger(__name__)

Secrets = Callable[[str], str | None]
_NO_KEY = "none"  # the SDKs want one, also for servers that want none


@dataclass(frozen=True, slots=True)
class Access:
    """All that asks LLMs. `disabled` says why a provider cannot be asked."""

    router: Router
    providers: Mapping[str, Provider]
    disabled: Mapping[str, str]

    async def warm(self) -> None:
        """Load the SDKs of the providers that roles ask first, before a call needs them; a fallback loads its own."""
        for name in sorted({name for role in Role if (name := self._first(role)) is not None}):
            await self.providers[name].open()

    def _first(self, role: Role) -> str | None:
        able = (one.model.provider for one in self.router.candidates(role) if one.model.provider in self.providers)
        return next(able, None)


@asynccontextmanager
async def opened(
    settings: AccessSettings,
    secret: Secrets,
    now: Callable[[], int],
    *,
    table: PriceTable | None = None,
    scale: TokenScale | None = None,
    on_change: Callable[[Change], None] | None = None,
) -> AsyncIterator[Access]:
    """Access by the configuration; `secret` gives a secret's value by its name, `now` ms UTC. It ends with its block."""
    providers: dict[str, Provider] = {}
    disabled: dict[str, str] = {}
    for name, one in settings.providers.items():
        try:
            providers[name] = provider_of(name, one, secret, now)
        except LlmError as error:
            disabled[name] = error.reason
    prices = table or shipped()
    router = Router(
        providers,
        {role: candidates_of(settings, role, prices) for role in Role},
        now=now,
        deadlines={role: _deadline(settings, role) for role in settings.deadlines},
        breaker=BreakerLimits(
            settings.breaker.failures, timeframe_ms(settings.breaker.open), timeframe_ms(settings.breaker.longest)
        ),
        rest=RestLimits(settings.rest.failures, timeframe_ms(settings.rest.rest), timeframe_ms(settings.rest.longest)),
        scale=scale,
        disabled=disabled,
        on_change=on_change,
    )
    try:
        yield Access(router, providers, disabled)
    finally:
        for closing in await asyncio.gather(*(one.close() for one in providers.values()), return_exceptions=True):
            if isinstance(closing, BaseException):
                _log.warning("llm_close_failed", error=type(closing).__name__)


def provider_of(name: str, settings: ProviderSettings, secret: Secrets, now: Callable[[], int]) -> Provider:
    """The provider, or `LlmError` that says which key is missing."""
    key = _NO_KEY if settings.key is None else secret(settings.key) or ""
    if not key:
        reason = f"its key is missing: set {settings.key}"
        raise LlmError(Trouble.AUTHENTICATION, reason, provider=name)
    return SdkProvider(
        name,
        _speech(settings.dialect),
        settings.base_url,
        key,
        now=now,
        trust_env=settings.trust_env,
        longest_s=settings.timeout_s,
    )


def candidates_of(settings: AccessSettings, role: Role, table: PriceTable) -> tuple[Candidate, ...]:
    """Whom a role may ask: its own candidates, else those of `decision`."""
    listed = settings.roles.get(role) or settings.roles.get(Role.DECISION, ())
    return tuple(_candidate(place, one, table) for place, one in enumerate(listed))


def _candidate(place: int, settings: CandidateSettings, table: PriceTable) -> Candidate:
    return Candidate(
        model=model_of(settings, table),
        rank=place if settings.rank is None else settings.rank,
        weight=settings.weight,
        effort=settings.effort,
    )


def model_of(settings: CandidateSettings, table: PriceTable) -> Model:
    """The model as the table knows it, and where the configuration knows better, as that does."""
    known = table.model(settings.provider, settings.model, None if settings.price is None else settings.price.price)
    said = {
        "structured": settings.structured,
        "sampling": settings.sampling,
        "effort": settings.takes_effort,
        "tools": settings.tools,
        "max_output": settings.max_output,
    }
    own: dict[str, Any] = {name: value for name, value in said.items() if value is not None}
    return replace(known, capabilities=replace(known.capabilities, **own))


def _speech(dialect: Dialect) -> Speech:
    match dialect:
        case Dialect.RESPONSES:
            return Responses()
        case Dialect.MESSAGES:
            return Messages()
        case Dialect.CHAT:
            return Chat()


def _deadline(settings: AccessSettings, role: Role) -> Deadline:
    one = settings.deadlines[role]
    return Deadline(timeframe_ms(one.total) / 1000, timeframe_ms(one.first) / 1000)
