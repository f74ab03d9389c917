"""What language models were asked and what came of it, what it cost, and what is learnt from it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from bot.web.api.ai_common import Answer, found
from bot.web.api.etags import TaggedRoute
from bot.web.api.offers import Offer, router_of
from bot.web.paging import Cursor, Page, decoded, page_of
from bot.web.problems import Problem
from bot.web.room import Room
from bot.web.security.gate import Reader
from bot.web.security.principal import Scope

router = APIRouter(tags=["ai: signals"], route_class=TaggedRoute)

MOST = 199  # the use case tells 200, one of which says whether there are more
QuestionId = Annotated[str, Path(min_length=1, max_length=64, description="a question's id, or that of the decision it led to")]
Limit = Annotated[int, Query(ge=1, le=MOST, description="entries on a page")]
Text = Annotated[str | None, Query(min_length=1, max_length=64)]


@router.get("/ai/signals")
async def signals(
    room: Room,
    principal: Reader,
    limit: Limit = 50,
    after: Cursor = None,
    source: Text = None,
    run: Text = None,
    template: Text = None,
) -> Page[Answer]:
    """Questions to language models, newest first: who was asked, what was decided, what became of it, what it cost."""
    wanted = {"source": source, "run": run, "template": template, "limit": limit + 1, **_before(after)}
    told = await room.ask("llm.decisions", {name: value for name, value in wanted.items() if value is not None}, principal)
    return page_of(told["questions"], limit, lambda one: f"{one['ts']}:{one['id']}")


@router.get("/ai/signals/{id}")
async def signal(room: Room, principal: Reader, id: QuestionId) -> Answer:  # noqa: A002 - the word of the address
    """One question, or all of one decision: what the model was told, what it said, what the checks made of it, its calls."""
    return await found(room, "llm.decisions", {"id": id}, principal)


def _before(after: str | None) -> Answer:
    key = decoded(after)
    if key is None:
        return {}
    ts, _, name = key.partition(":")
    if not ts.isdigit() or len(ts) > 15 or not 0 < len(name) <= 64:
        raise Problem(400, "Not a cursor", "`after` must be the `next` of a page before, unchanged")
    return {"before_ts": int(ts), "before_id": name}


_SEND = "Ask {source} about {symbol} and propose what it decides: the desk treats it like any of its decisions, and may trade."
OFFERS = (
    Offer("POST", "/ai/signals", "llm.decide", Scope.TRADE, fixed={"send": False}),
    Offer("POST", "/ai/signals/send", "llm.decide", Scope.TRADE, confirm=_SEND, fixed={"send": True}),
)
COSTS = (
    Offer("GET", "/ai/risk-cost/costs", "llm.costs"),
    Offer("GET", "/ai/risk-cost/daily", "llm.costs", fixed={"by": "day"}),
    Offer("GET", "/ai/risk-cost/monthly", "llm.costs", fixed={"by": "month"}),
    Offer("GET", "/ai/risk-cost/by-model", "llm.costs", fixed={"by": "model"}),
    Offer("GET", "/ai/risk-cost/by-provider", "llm.costs", fixed={"by": "provider"}),
    Offer("GET", "/ai/risk-cost/by-source", "llm.costs", fixed={"by": "source"}),
    Offer("GET", "/ai/risk-cost/by-decision", "llm.costs", fixed={"by": "decision"}),
    Offer("GET", "/ai/risk-cost/budgets", "llm.status"),
)
LEARNING = (
    Offer("GET", "/ai/learning/calibration", "learning.calibration"),
    Offer("GET", "/ai/learning/outcomes", "learning.outcomes"),
    Offer("GET", "/ai/learning/insights", "learning.insights"),
    Offer("GET", "/ai/learning/thresholds", "learning.thresholds"),
    Offer("GET", "/ai/learning/feedback", "learning.feedback", hidden=frozenset({"opined", "note"})),
    Offer("POST", "/ai/learning/feedback", "learning.feedback", Scope.TRADE),
    Offer("POST", "/ai/learning/sources/{source:path}/freeze", "learning.freeze", Scope.ADMIN),
    Offer("POST", "/ai/learning/sources/{source:path}/unfreeze", "learning.unfreeze", Scope.ADMIN),
    Offer(
        "POST",
        "/ai/learning/sources/{source:path}/reset",
        "learning.reset",
        Scope.ADMIN,
        confirm="Begin the calibration of {source} anew: what is known until now is kept, and no longer learnt from.",
    ),
)
ROUTERS = (
    router,
    router_of(OFFERS, "ai: signals"),
    router_of(COSTS, "ai: costs and budgets"),
    router_of(LEARNING, "ai: learning"),
)
