"""The prompt editor: versions, placeholders with samples, a preview while one types, and what two versions differ in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import HTMLResponse
from pydantic import Field

from bot.web.api.ai_common import Wish, found
from bot.web.api.ai_prompts import tag_of
from bot.web.pages.render import fragment
from bot.web.pages.words import cut
from bot.web.problems import Problem
from bot.web.room import ControlRoom, Room
from bot.web.security.gate import Reader
from bot.web.security.principal import Principal
from sources.llm.answer import decision_schema, in_words
from sources.llm.params import LlmParams
from sources.llm.prompts.example import example_snapshot
from sources.llm.prompts.placeholders import PLACEHOLDERS, Terms, values
from sources.llm.thinking import limits_in_words

router = APIRouter()

Name = Annotated[str, Path(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")]
_SYMBOL = "BTC/USDT"


class Typed(Wish):
    """What stands in the editor, with the fields beside it."""

    body: str = Field("", max_length=50_000)
    note: str = Field("", max_length=2_000)
    symbol: str = Field(_SYMBOL, min_length=1, max_length=40)


@dataclass(frozen=True, slots=True)
class Sample:
    """A placeholder: what it stands for, and what that could be."""

    name: str
    about: str
    required: bool
    sample: str


@router.post("/ui/ai/prompts/{name}/preview")
async def preview(request: Request, room: Room, principal: Reader, name: Name, typed: Typed) -> HTMLResponse:
    """What would be sent, what is wrong with it, what it would cost."""
    if not typed.body.strip():
        return fragment(request, "ai/preview.html", {"seen": None, "why": "Nothing is written yet."})
    args = {"name": name, "body": typed.body, "symbol": typed.symbol}
    try:
        return fragment(request, "ai/preview.html", {"seen": await room.ask("llm.prompt-preview", args, principal), "why": ""})
    except Problem as problem:
        return fragment(request, "ai/preview.html", {"seen": None, "why": problem.detail or problem.title})


async def shown(
    room: ControlRoom, principal: Principal, name: str, version: int | None, pair: tuple[int | None, int | None]
) -> dict[str, Any]:
    """All that the tab shows: templates, the one that is open, its versions, results, and the difference of two."""
    listed = await room.ask("llm.prompts", {"limit": 200}, principal)
    args = {"name": name, "limit": 50} | ({} if version is None else {"version": version})
    opened = await found(room, "llm.prompt", args, principal)
    old, new = pair
    changed = None
    if old is not None and new is not None:
        changed = await found(room, "llm.prompt-diff", {"name": name, "old": old, "new": new}, principal)
    return {
        "prompts": listed["prompts"],
        "prompt": opened,
        "active": opened["activations"][0]["version"] if opened["activations"] else 0,
        "tag": tag_of(opened),
        "results": {one["version"]: one for one in (await room.ask("llm.prompt-results", {"name": name}, principal))["results"]},
        "changed": None if changed is None else {**changed, "lines": lines_of(changed["diff"])},
        "placeholders": samples(),
        "symbols": list(room.loaded.settings.exchange.symbols),
    }


def lines_of(diff: str) -> list[tuple[str, str]]:
    """The lines of a unified diff, each with what it is: `ins`, `del`, `head` or nothing."""
    kinds = {"+": "ins", "-": "del", "@": "head"}
    body = diff.splitlines()[2:]  # the first two name the versions
    return [(kinds.get(line[:1], ""), line[1:] if line[:1] in "+- " else line) for line in body]


@cache
def samples() -> Sequence[Sample]:
    """The placeholders, each with a value of a made-up market."""
    terms = Terms(in_words(decision_schema((_SYMBOL,))), limits_in_words(LlmParams().bounds))
    given = values(example_snapshot(_SYMBOL), terms)
    return [Sample(one.name, one.description, one.required, _sample(given.get(one.name))) for one in PLACEHOLDERS.values()]


def _sample(value: object) -> str:
    return cut(", ".join(map(str, value)) if isinstance(value, tuple) else "none" if value is None else value, 160)
