"""The section `llm` of bot.yaml: who answers, who is asked for what, and what it may cost."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from bot.settings.kinds import Count, Share, Wait
from sources.llm.asking import Role
from sources.llm.settings import AccessSettings, CandidateSettings

Usd = Annotated[Decimal, Field(ge=0, le=100_000)]


class BudgetSettings(BaseModel):
    """What may be spent on LLMs. A call is reserved for before it is made; what is not known to be free counts as spent."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    per_call: Usd = Field(Decimal("0.25"), description="most that one call may cost (USD)")
    per_source_day: Usd = Field(Decimal(2), description="most that one source spends in a UTC day (USD)")
    per_day: Usd = Field(Decimal(5), description="most that all spend in a UTC day (USD)")
    per_month: Usd = Field(Decimal(50), description="most that all spend in a UTC month (USD)")
    per_session: Usd = Field(Decimal(1), description="most that one chat session spends (USD)")
    calls_per_minute: Count = Field(20, description="calls in any 60 seconds (count)")
    soft: Share = Field(0.8, description="from this part of a limit on, the cheaper model is asked (fraction)")


def _whoever_has_a_key() -> dict[Role, tuple[CandidateSettings, ...]]:
    """A small model of each well-known provider: those without a key are passed over."""
    small = (
        ("anthropic", "claude-haiku-5-5"),
        ("openai", "gpt-6-luna"),
        ("gemini", "gemini-3.1-flash-lite"),
        ("xai", "grok-4.3"),
    )
    return {Role.DECISION: tuple(CandidateSettings(provider=provider, model=model) for provider, model in small)}


class LlmSettings(AccessSettings):
    """Language models. Keys are never here: `python -m bot secrets set ANTHROPIC_API_KEY`."""

    roles: dict[Role, tuple[CandidateSettings, ...]] = Field(
        default_factory=_whoever_has_a_key,
        description="whom decision, chat, analysis and copilot ask, the first choice first; who has no key is passed over",
    )
    budget: BudgetSettings = Field(BudgetSettings(), description="what may be spent")
    keep: Wait | None = Field(7_776_000_000, description="prompts and raw replies are kept this long (duration); null: for ever")
