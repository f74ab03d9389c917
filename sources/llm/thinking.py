"""One question about one snapshot: who is asked, with what prompt, what they said, and what it cost.

Nothing here touches the desk: a `Thinker` gives back what each model answered, and whoever asked judges it by the market as it is
then. Whatever goes wrong is an `Unusable` with the reason code of an abstention.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import structlog

from bot.core.market import timeframe_ms
from bot.store.errors import StoreUnavailable
from sources.llm.answer import VERSION, Unusable, decision_schema, in_words
from sources.llm.asking import Ask, LlmError, Reply, Role
from sources.llm.budget import Advice, SourceBudget
from sources.llm.cache import LiveReplies, Situation
from sources.llm.leaks import Guard
from sources.llm.ledger import Payer
from sources.llm.minds import About, Consultation, Minds
from sources.llm.models import Candidate
from sources.llm.params import BoundsParams, LlmParams
from sources.llm.prompts.placeholders import Terms
from sources.llm.prompts.template import PromptLeak, Template, TemplateError
from sources.llm.snapshot import Snapshot
from sources.llm.templates import Templates

log = structlog.get_logger(__name__)

_COST_ROWS = 200


@dataclass(slots=True)
class Said:
    """What one member answered, or why it did not. `cached`: it is an answer that was there already, at no cost."""

    consultation: Consultation
    cached: bool = False
    situation: Situation | None = None
    cost: Decimal = Decimal(0)

    @property
    def reply(self) -> Reply:
        """The reply, or `Unusable` with what went wrong."""
        reply, error = self.consultation.reply, self.consultation.error
        if reply is None:
            assert error is not None
            raise Unusable(error.trouble.value, str(error)[:500])
        return reply

    @property
    def member(self) -> str:
        """Provider and model."""
        reply, error = self.consultation.reply, self.consultation.error
        if reply is not None:
            return f"{reply.provider}/{reply.model}"
        return f"{error.provider}/{error.model}" if error is not None and error.model else "nobody"


@dataclass(frozen=True, slots=True)
class Member:
    """Who is asked together with others: `among` in their order (None: the role's own); nobody where `cached` is there."""

    among: tuple[Candidate, ...] | None
    situation: Situation | None = None
    cached: Reply | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A question that can be asked."""

    snapshot: Snapshot
    template: Template
    ask: Ask
    about: About
    payer: Payer
    advice: Advice
    members: tuple[Member, ...]

    @property
    def calls(self) -> bool:
        """Whether anybody will be asked."""
        return any(member.cached is None for member in self.members)


class Thinker:
    """Asks for one source. `candidates` empty: those of the role. `guard` knows the secrets that no prompt may hold."""

    def __init__(
        self,
        source: str,
        params: LlmParams,
        minds: Minds,
        templates: Templates,
        candidates: Sequence[Candidate] = (),
        guard: Guard | None = None,
        every_s: float | None = None,
    ) -> None:
        self.minds = minds
        self.live = LiveReplies(minds.now)
        self._source = source
        self._params = params
        self._templates = templates
        self._candidates = tuple(candidates)
        self.guard = guard or Guard()
        self._every_s = every_s
        self._terms = Terms("", limits_in_words(params.bounds))
        self._limits = SourceBudget(params.budget.per_call, params.budget.per_day)

    async def prepare(self, snapshot: Snapshot) -> Prepared:
        """The prompt, and who is to be asked; `Unusable` where nobody may be."""
        schema = decision_schema((snapshot.symbol,))
        try:
            # Two looks into the database at once: each is a thread's way there and back.
            template, advice = await asyncio.gather(self._templates.get(self._params.template), self._advice())
            rendered = template.render(snapshot, replace(self._terms, schema=in_words(schema)))
            rendered.check(self.guard)
        except (TemplateError, StoreUnavailable) as error:
            reason = "template"
            raise Unusable(reason, str(error)) from error
        except PromptLeak as error:
            reason = "leak"
            raise Unusable(reason, str(error)) from error
        if advice is Advice.OFF:
            reason = "budget"
            raise Unusable(reason, "the budget is used up, or cannot be read: nobody is asked")
        ask = rendered.ask(schema, max_output_tokens=self._params.max_output_tokens, every_s=self._every_s)
        payer = Payer(self._source, Role.DECISION, ask.prompt_hash, self.minds.run, self._limits)
        version = VERSION if template.version else f"{VERSION}+{template.hash[:12]}"
        about = About(snapshot.symbol, template.name, template.version, version, snapshot.canonical.decode())
        members = tuple(self._remembered(snapshot, template.label, one) for one in self._members(ask, advice))
        return Prepared(snapshot, template, ask, about, payer, advice, members)

    async def ask(self, prepared: Prepared, deadline_s: float) -> list[Said]:
        """What every member says, in the order of the members."""
        return list(await asyncio.gather(*(self._said(prepared, member, deadline_s) for member in prepared.members)))

    def keep(self, said: Said, outcome: str) -> None:
        """Let an answer that led to a decision serve again while nothing changes."""
        reply = said.consultation.reply
        if said.situation is not None and reply is not None and not said.cached:
            self.live.put(said.situation, reply, outcome)

    async def _advice(self) -> Advice:
        self.minds.ledger.purse(Payer(self._source, Role.DECISION, limits=self._limits))  # so that it knows our own limits
        return await self.minds.ledger.advice(self._source)

    def _members(self, ask: Ask, advice: Advice) -> list[tuple[Candidate, ...] | None]:
        """Whom each member of this question asks; `Unusable` where the role rests or nobody can be asked."""
        router, wanted = self.minds.router, self._params.ensemble.members
        listed = self._candidates or router.candidates(Role.DECISION)
        able = [one for one in listed if one.model.provider not in self.minds.disabled]
        if not able:
            reason, why = "disabled", "; ".join(f"{name}: {text}" for name, text in self.minds.disabled.items())
            raise Unusable(reason, f"nobody can be asked: {why or 'no candidate is configured'}"[:500])
        rest = None if self._candidates else router.resting(Role.DECISION)
        if rest is not None:
            reason = "resting"
            raise Unusable(reason, f"it rests after {rest.failures} failures ({rest.detail})"[:500])
        if advice is Advice.CHEAPER:
            return [tuple(replace(one, rank=place, weight=None) for place, one in enumerate(self._cheapest_first(ask, able)))]
        if wanted > 1:
            return [(one,) for one in able[:wanted]]
        return [tuple(able) if self._candidates else None]

    def _cheapest_first(self, ask: Ask, able: Sequence[Candidate]) -> list[Candidate]:
        def amount(candidate: Candidate) -> Decimal:
            try:
                return self.minds.router.reservation(ask, candidate.model)
            except LlmError:  # it has no price, and will not be asked
                return Decimal("Infinity")

        return sorted(able, key=amount)

    def _remembered(self, snapshot: Snapshot, label: str, among: tuple[Candidate, ...] | None) -> Member:
        """The member with the situation that it is asked in, and its answer of then."""
        symbol, timeframe, ts = [*snapshot.candle_id.split("|"), "", ""][:3]
        if not ts.isdecimal():
            return Member(among)
        who = "" if among is None else ",".join(map(str, among))
        situation = self.live.situation(
            f"{self._source}|{label}|{who}|{snapshot.body['news_state']}",
            symbol,
            candle=int(ts),
            candle_ms=timeframe_ms(timeframe),
            indicators={},
            position=snapshot.dedupe_key,
        )
        return Member(among, situation, self.live.get(situation))

    async def _said(self, prepared: Prepared, member: Member, deadline_s: float) -> Said:
        ask, payer, about = prepared.ask, prepared.payer, prepared.about
        if member.cached is not None:
            # Without the state: an answer is kept for replay once, where it was given.
            purse = self.minds.ledger.purse(payer)
            consultation = Consultation(self.minds, ask, payer, replace(about, state=""), purse, reply=member.cached)
            return Said(consultation, cached=True, situation=member.situation)
        consultation = await self.minds.consult(ask, payer, about, among=member.among, deadline_s=deadline_s)
        return Said(consultation, situation=member.situation, cost=await self._cost(consultation))

    async def _cost(self, consultation: Consultation) -> Decimal:
        """USD of every try, those that failed included."""
        calls, reply = list(consultation.purse.calls), consultation.reply
        spent = Decimal(0) if reply is None else reply.cost
        failed = calls if reply is None else calls[:-1]  # the last one answered
        if not failed:
            return spent
        try:
            rows = await self.minds.costs.calls(source=self._source, limit=_COST_ROWS)
        except StoreUnavailable as error:
            log.warning("llm_cost_unread", source=self._source, error=str(error))
            return spent
        return spent + sum((row.usd for row in rows if row.id in failed), Decimal(0))


def limits_in_words(bounds: BoundsParams) -> str:
    """What will be refused, as a prompt tells it."""
    lines = [
        f"- A buy needs a stop between {bounds.stop_nearest:.2%} and {bounds.stop_farthest:.2%} below the live price.",
        f"- Its target must be worth at least {bounds.reward_risk:g} times the way to the stop, after fees."
        if bounds.reward_risk
        else "- It may have a target.",
        f"- size_fraction is at most {bounds.size:g}.",
        "- Sell only what is held; a sell closes the whole position.",
        "- Only ids that stand in the snapshot may be cited.",
    ]
    if bounds.confidence:
        lines.append(f"- A buy below a confidence of {bounds.confidence:g} is not made.")
    return "\n".join(lines)
