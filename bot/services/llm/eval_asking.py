"""Several models about the snapshots of a recorded run: what is there already is taken, what is not is asked and paid for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from bot.core.decision import Action
from bot.runtime.jobs import Progress, Report
from bot.services.llm.prompt_cases import stored_template
from bot.services.use_case import Ground, UseCaseError
from sources.config import SourceConfig
from sources.llm.answer import Unusable, decision_schema, in_words, read
from sources.llm.asking import Ask, Reply, Role, Schema, Trouble
from sources.llm.cache import NotRecorded, Question, Recorded, RecordedReply
from sources.llm.deciding import Scene, Wanted, confident, judge
from sources.llm.leaks import Guard
from sources.llm.ledger import Payer
from sources.llm.minds import About, Minds
from sources.llm.models import Candidate
from sources.llm.params import LlmParams
from sources.llm.past import validation_of
from sources.llm.prompts.placeholders import Terms
from sources.llm.prompts.template import PromptLeak, Template, TemplateError
from sources.llm.recalled import NotRecallable, Recalled, recalled
from sources.llm.records import DECIDED
from sources.llm.thinking import limits_in_words

PAYER = "llm:eval"
_FEE = 0.001
_AT_ONCE = 4
_PAGE = 200


@dataclass(frozen=True, slots=True)
class Moment:
    """One recorded question: when it was answered (ms UTC), what was shown, and the template it was written with."""

    at: int
    source: str
    state: str
    seen: Recalled
    template: str
    schema_version: str
    first: RecordedReply


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a model made of a moment: what may be proposed, or the reason why nothing is. `paid` is what was spent on it now."""

    moment: Moment
    wanted: Wanted | None = None
    reason: str = ""
    cost: Decimal = Decimal(0)
    paid: Decimal = Decimal(0)
    recorded: bool = False

    @property
    def word(self) -> str:
        """The action, or `abstain`."""
        return "abstain" if self.wanted is None else self.wanted.action.value

    @property
    def trades(self) -> bool:
        """Whether it wants to buy or sell."""
        return self.wanted is not None and self.wanted.action is not Action.HOLD


@dataclass(slots=True)
class Panel:
    """The moments of a run, the models that are asked about them, and which answers are missing, with the most they may cost."""

    moments: Sequence[Moment]
    candidates: Sequence[Candidate]
    known: dict[tuple[int, str], Reply] = field(default_factory=dict)
    missing: list[tuple[int, Candidate]] = field(default_factory=list)
    usd: Decimal = Decimal(0)
    unpriced: list[tuple[int, Candidate]] = field(default_factory=list)


@dataclass(slots=True)
class Asker:
    """Asks as a source with these bounds would."""

    ground: Ground
    minds: Minds
    config: SourceConfig
    params: LlmParams
    _templates: dict[str, Template] = field(default_factory=dict)

    async def panel(self, run: str, candidates: Sequence[Candidate], most: int) -> Panel:
        """What is to be asked; nobody is asked yet. `UseCaseError` where the run has no answers that can be read."""
        moments = await self._moments(run, most)
        panel = Panel(moments, candidates)
        recorded = Recorded(self.minds.database)
        for number, moment in enumerate(moments):
            for candidate in candidates:
                reply = await self._known(recorded, moment, candidate)
                if reply is not None:
                    panel.known[number, str(candidate)] = reply
                    continue
                if candidate.model.price is None:  # nobody asks it, whatever the budget
                    panel.unpriced.append((number, candidate))
                    continue
                panel.missing.append((number, candidate))
                panel.usd += self.minds.router.reservation(await self._ask_of(moment), candidate.model)
        return panel

    async def opinions(self, panel: Panel, report: Report) -> Mapping[str, Sequence[Opinion]]:
        """By model, an opinion on every moment, in their order."""
        found: dict[str, dict[int, Opinion]] = {str(candidate): {} for candidate in panel.candidates}
        for (number, name), reply in panel.known.items():
            found[name][number] = self._judged(panel.moments[number], reply, recorded=True)
        for number, candidate in panel.unpriced:
            found[str(candidate)][number] = Opinion(panel.moments[number], reason=Trouble.UNPRICED.value)
        gate, done = asyncio.Semaphore(_AT_ONCE), 0
        pace = self._pace(len(panel.missing))

        async def one(place: int, number: int, candidate: Candidate) -> None:
            nonlocal done
            await asyncio.sleep(place * pace)
            async with gate:
                found[str(candidate)][number] = await self._asked(panel.moments[number], candidate)
            done += 1
            report(Progress("asking", done, len(panel.missing), str(candidate)))

        async with asyncio.TaskGroup() as tasks:
            for place, (number, candidate) in enumerate(panel.missing):
                tasks.create_task(one(place, number, candidate), name=f"eval {candidate} {number}")
        return {name: [opinions[number] for number in sorted(opinions)] for name, opinions in found.items()}

    def _pace(self, calls: int) -> float:
        """Seconds between two calls, so that the limit of calls a minute is not reached; none where they all fit."""
        limit = self.minds.ledger.budget.calls_per_minute
        return 0.0 if calls <= limit else 60.0 / limit

    async def _moments(self, run: str, most: int) -> list[Moment]:
        """The questions of a run, each once, oldest first."""
        found: dict[tuple[str, str], Moment] = {}
        unread = ""
        after: RecordedReply | None = None
        while len(found) < most:
            page = await self.minds.replies.of_run(run, limit=_PAGE, after=after)
            for reply in page:
                key = reply.question.template_version, reply.question.state_hash
                try:
                    if key not in found and len(found) < most:
                        found[key] = _moment(reply)
                except NotRecallable as error:
                    unread = str(error)
            if len(page) < _PAGE:
                break
            after = page[-1]
        if not found:
            why = unread or "it asked no language model, or nothing it was answered led to a decision"
            message = f"run {run} has no answers to compare with: {why}"
            raise UseCaseError(message)
        return list(found.values())

    async def _known(self, recorded: Recorded, moment: Moment, candidate: Candidate) -> Reply | None:
        """The answer that this model has given to this question already."""
        model = candidate.model
        for effort in dict.fromkeys(
            (candidate.effort, model.capabilities.effort_for(candidate.effort), moment.first.question.effort)
        ):
            question = Question(model.provider, model.name, effort, moment.schema_version, moment.template, moment.state)
            try:
                return await recorded.reply(question)
            except NotRecorded:
                continue
        return None

    async def _asked(self, moment: Moment, candidate: Candidate) -> Opinion:
        """Ask and pay; the answer is kept, so that nobody pays for it twice."""
        ask, symbol = await self._ask_of(moment), moment.seen.snapshot.symbol
        name, number = _named(moment)
        about = About(symbol, name, number, moment.schema_version, moment.state)
        payer = Payer(PAYER, Role.DECISION, ask.prompt_hash, self.minds.run)
        consultation = await self.minds.consult(
            ask, payer, about, among=(replace(candidate, rank=0, weight=None),), deadline_s=self.params.deadline_s
        )
        if consultation.reply is None:
            assert consultation.error is not None
            opinion = Opinion(moment, reason=consultation.error.trouble.value)
        else:
            opinion = self._judged(moment, consultation.reply)
        fields = {} if consultation.reply is None else dict(consultation.reply.parsed or {})
        await consultation.close(
            opinion.reason or DECIDED, validation=validation_of(fields, [opinion.reason] if opinion.reason else [])
        )
        return opinion

    def _judged(self, moment: Moment, reply: Reply, *, recorded: bool = False) -> Opinion:
        """By the market of the snapshot: the checks of the desk's door, as if no time had passed."""
        told = Opinion(moment, cost=reply.cost, paid=Decimal(0) if recorded else reply.cost, recorded=recorded)
        seen = moment.seen
        scene = Scene(
            symbol=seen.snapshot.symbol,
            bid=seen.bid,
            ask=seen.ask,
            fee=_FEE,
            share=seen.share,
            ids=seen.snapshot.ids,
            asked_at=moment.at,
            asked_price=seen.snapshot.price or seen.bid,
            now=moment.at,
            longest_ms=self.config.horizon,
        )
        try:
            wanted = judge(read(reply), scene, self.params.bounds)
            confident(wanted.confidence, wanted.action, max(self.config.threshold, self.params.bounds.confidence))
        except Unusable as problem:
            return replace(told, reason=problem.reason)
        return replace(told, wanted=wanted)

    async def _ask_of(self, moment: Moment) -> Ask:
        """The question as it was asked: the same template on the same snapshot."""
        schema = self._schema(moment)
        template = await self._template(moment)
        try:
            rendered = template.render(moment.seen.snapshot, Terms(in_words(schema), limits_in_words(self.params.bounds)))
            rendered.check(Guard(value for value in self.ground.secrets.values() if value))
        except (TemplateError, PromptLeak) as error:
            raise UseCaseError(str(error)) from error
        return rendered.ask(schema, max_output_tokens=self.params.max_output_tokens)

    def _schema(self, moment: Moment) -> Schema:
        return decision_schema((moment.seen.snapshot.symbol,))

    async def _template(self, moment: Moment) -> Template:
        """The template of that question; a file that was changed since is refused, for it would be another question."""
        label = f"{moment.template} {moment.schema_version}"
        if label not in self._templates:
            name, version = _named(moment)
            template = await stored_template(self.ground, self.minds, name, version)
            if not version and not moment.schema_version.endswith(f"+{template.hash[:12]}"):
                message = f"the file of the prompt {name} has changed since that run: bring back the one that it asked with"
                raise UseCaseError(message)
            self._templates[label] = template
        return self._templates[label]


def _named(moment: Moment) -> tuple[str, int]:
    """Name and version of a template; 0 is a file."""
    name, _, version = moment.template.rpartition("@")
    return name, int(version) if version.isdecimal() and len(version) < 10 else 0


def _moment(reply: RecordedReply) -> Moment:
    question = reply.question
    seen = recalled(question.state, reply.ts)
    return Moment(reply.ts, reply.source, question.state, seen, question.template_version, question.schema_version, reply)
