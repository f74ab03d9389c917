"""The minds of a process: whom it may ask, what that may cost, and what was said, behind one door.

`consult` asks and pays; `close` of what it gives books what became of the answer. Between the two nothing is lost: a call is
reserved for before it is made and settled when it has ended, whatever the caller does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog

from bot.store.database import Database
from bot.store.errors import StoreUnavailable
from sources.llm.asking import Ask, LlmError, Reply, Speaker
from sources.llm.budget import Alert, Budget
from sources.llm.cache import Question, Replies
from sources.llm.costs import Costs
from sources.llm.health import Change
from sources.llm.ledger import Ledger, LedgerPurse, Payer
from sources.llm.models import Candidate
from sources.llm.opening import Access, Secrets, opened
from sources.llm.prompt_store import PromptStore
from sources.llm.records import DECIDED, Clamp, Record, Records, Redact
from sources.llm.retention import Retention
from sources.llm.router import Router
from sources.llm.settings import AccessSettings
from sources.llm.tables import open_tables

log = structlog.get_logger(__name__)

_CLOSE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class About:
    """What a question is about, for the records: a symbol, the template it was written with, the market state it shows.

    `state` is canonical JSON, empty where there is none; such an answer is not kept for replay.
    """

    symbol: str = ""
    template: str = ""
    template_version: int = 0
    schema_version: str = ""
    state: str = ""


@dataclass(frozen=True, slots=True)
class Minds:
    """Everything that asking takes. `run` names the run whose questions these are; `disabled` who cannot be asked, and why."""

    access: Access
    ledger: Ledger
    records: Records
    replies: Replies
    prompts: PromptStore
    costs: Costs
    database: Database
    now: Callable[[], int]
    run: str = ""

    @property
    def router(self) -> Router:
        """Who is asked."""
        return self.access.router

    @property
    def disabled(self) -> Mapping[str, str]:
        """Providers that cannot be asked, and why."""
        return self.access.disabled

    async def consult(
        self,
        ask: Ask,
        payer: Payer,
        about: About,
        *,
        among: Sequence[Candidate] | None = None,
        deadline_s: float | None = None,
    ) -> Consultation:
        """Ask, and pay. Always gives a consultation: with a reply, which may have a `fault`, or with the error of who failed."""
        purse = self.ledger.purse(payer)
        consultation = Consultation(self, ask, payer, about, purse)
        try:
            consultation.reply = await self.router.ask(ask, purse, among=among, deadline_s=deadline_s)
        except LlmError as error:
            consultation.error = error
        return consultation


@dataclass(slots=True)
class Consultation:
    """One question and what came of it. Whoever has it calls `close` once the outcome is known."""

    minds: Minds
    ask: Ask
    payer: Payer
    about: About
    purse: LedgerPurse
    reply: Reply | None = None
    error: LlmError | None = None
    unrecorded: bool = field(default=False, init=False)

    @property
    def question(self) -> Question | None:
        """What the answer depends on, None without an answer or a market state."""
        reply, about = self.reply, self.about
        if reply is None or not about.state:
            return None
        template = f"{about.template}@{about.template_version}"
        return Question(reply.provider, reply.model, reply.effort, about.schema_version, template, about.state)

    async def close(
        self, outcome: str = DECIDED, *, decision: str | None = None, validation: str = "", clamps: Sequence[Clamp] = ()
    ) -> None:
        """Book what became of it: `outcome` is `decided`, or the reason code of an abstention.

        Trading goes on without its records: what cannot be written is logged, and `unrecorded` says so.
        """
        minds, reply = self.minds, self.reply
        try:
            await self.purse.decided(decision or "", outcome)
            await minds.records.add(self._record(outcome, decision, validation, clamps))
            question = self.question
            if question is not None and reply is not None:
                await minds.replies.keep(
                    question, reply, outcome=outcome, ts=minds.now(), run=minds.run, source=self.payer.source
                )
        except StoreUnavailable as error:
            self.unrecorded = True
            log.warning("llm_consultation_unrecorded", source=self.payer.source, error=str(error))

    def _record(self, outcome: str, decision: str | None, validation: str, clamps: Sequence[Clamp]) -> Record:
        reply, error, about = self.reply, self.error, self.about
        failed = "" if error is None else str(error)
        question = self.question
        return Record(
            ts=self.minds.now(),
            source=self.payer.source,
            role=self.ask.role,
            outcome=outcome,
            provider=reply.provider if reply is not None else "" if error is None else error.provider,
            model=reply.model if reply is not None else "" if error is None else error.model,
            prompt=prompt_text(self.ask),
            prompt_hash=self.ask.prompt_hash,
            reply=b"" if reply is None else reply.raw or reply.text.encode(),
            symbol=about.symbol,
            run=self.minds.run,
            decision=decision,
            calls=tuple(self.purse.calls),
            template=about.template,
            template_version=about.template_version,
            state_hash="" if question is None else question.state_hash,
            cache_key="" if question is None else question.key,
            validation=validation or failed,
            clamps=clamps,
        )


def prompt_text(ask: Ask) -> str:
    """A prompt as a person reads it: the instructions, then each turn under who said it."""
    told = [f"## instructions\n{ask.instructions}"]
    for turn in ask.messages:
        who = f"tool {turn.answers}" if turn.speaker is Speaker.TOOL else turn.speaker.value
        told.append(f"## {who}\n{turn.text}")
    return "\n\n".join(told)


@asynccontextmanager
async def open_minds(
    settings: AccessSettings,
    budget: Budget,
    database_url: str,
    secret: Secrets,
    now: Callable[[], int],
    *,
    redact: Redact,
    alert: Callable[[Alert], None],
    change: Callable[[Change], None] | None = None,
    retention: Retention | None = None,
    run: str = "",
    simulated: bool = False,
) -> AsyncIterator[Minds]:
    """Open everything; the journal must be there already. `StoreUnavailable` if the ledger's database cannot be used.

    `secret` gives a secret's value by its name, `redact` takes all of them out of a text. `alert` hears of budgets, `change` of
    providers and models; both must return at once. What a `simulated` world spends is kept apart.
    """
    database = await open_tables(database_url)
    try:
        ledger = await Ledger.open(database, budget, now=now, told=alert, simulated=simulated)
        try:
            async with opened(settings, secret, now, on_change=change) as access:
                yield Minds(
                    access,
                    ledger,
                    Records(database, redact, retention),
                    Replies(database),
                    PromptStore(database, now),
                    Costs(database, simulated=simulated),
                    database,
                    now,
                    run,
                )
        finally:
            await _within(ledger.close())
    finally:
        await _within(database.close())


async def _within(closing: Awaitable[None]) -> None:
    """Close, but not for ever."""
    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            await closing
    except TimeoutError:
        log.error("llm_close_timed_out", seconds=_CLOSE_SECONDS)
