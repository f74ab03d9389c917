"""What the addresses under `/ai` share: names in paths, what is asked by name and may not be there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict

from bot.web.api.offers import plain
from bot.web.room import ControlRoom
from bot.web.security.principal import Principal

Answer = dict[str, Any]
Version = Annotated[int | None, Query(ge=0, le=2**31, description="0: the file; none: the one that is used, else the file")]
PromptName = Annotated[str, Path(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$", description="a template's name")]
ProviderName = Annotated[str, Path(min_length=1, max_length=32, pattern=r"^[A-Za-z0-9_-]+$", description="a provider's name")]
SessionId = Annotated[str, Path(min_length=1, max_length=40, pattern=r"^[0-9a-f]+$", description="a chat session's id")]
ProposalId = Annotated[str, Path(min_length=1, max_length=40, pattern=r"^[0-9a-f]+$", description="a proposal's id")]


class Wish(BaseModel):
    """Base of what is sent here: strict, from JSON."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


async def found(room: ControlRoom, name: str, args: Mapping[str, object], principal: Principal) -> Answer:
    """The answer about something that is named by its id; `Problem` 404 where the use case says that there is none."""
    return dict(await room.ask(name, args, principal))


def given(wish: BaseModel) -> Answer:
    """What was said in a request, as the use cases take it."""
    return plain(wish)
