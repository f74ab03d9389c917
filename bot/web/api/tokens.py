"""Who may come in: tokens for programs, each shown once, and the end of all sessions."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from bot.web.api.etags import TaggedRoute
from bot.web.auditing import noted
from bot.web.problems import Problem, not_found
from bot.web.room import Room
from bot.web.security.errors import AccessError
from bot.web.security.gate import Admin
from bot.web.security.principal import Scope
from bot.web.security.store import Token

router = APIRouter(tags=["access"], route_class=TaggedRoute)
# Without records of answers: a token must be kept nowhere but by whoever asked for it.
making = APIRouter(tags=["access"])

_DAY_MS = 86_400_000
Name = Annotated[str, Path(max_length=48, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,47}$", description="what the token is called")]


class TokenWanted(BaseModel):
    """A token to be made."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,47}$", description="what it is called, such as grafana")
    scope: str = Field("read", pattern="^(read|trade|admin)$", description="read, trade or admin; each contains the one before")
    days: int = Field(30, ge=1, le=400, description="how long it is good")


class TokenShown(BaseModel):
    """What may be shown of a token; times are ms UTC."""

    id: str
    name: str
    scope: str
    created: int
    expires: int
    used: int | None
    revoked: int | None
    state: str


class TokenMade(TokenShown):
    """A token that was just made, with its value: the only time that it is shown."""

    value: str = Field(description="keep it: it is not shown again")


class Ended(BaseModel):
    """How many sessions were ended."""

    ended: int


def token_shown(token: Token, now: int) -> TokenShown:
    """A token as it is shown at `now` (ms UTC)."""
    return TokenShown(
        id=token.id,
        name=token.name,
        scope=token.scope.label,
        created=token.created,
        expires=token.expires,
        used=token.used,
        revoked=token.revoked,
        state=token.state(now),
    )


@router.get("/tokens")
async def tokens(room: Room, principal: Admin) -> list[TokenShown]:
    """Every token that is remembered, the newest first; what is over is kept for 90 days."""
    del principal
    return [token_shown(each, room.now()) for each in await room.access.tokens()]


@making.post("/tokens", status_code=201)
async def new_token(room: Room, principal: Admin, wish: TokenWanted) -> TokenMade:
    """Make a token. Its value is in this answer, and nowhere else."""
    try:
        made = await room.access.new_token(wish.name, Scope.of(wish.scope), room.now() + wish.days * _DAY_MS)
    except AccessError as error:
        raise Problem(409, "Not made", str(error)) from error
    await noted(room, principal, "access.token-new", wish.name, None, {"scope": wish.scope, "expires": made.token.expires})
    return TokenMade(**token_shown(made.token, room.now()).model_dump(), value=made.value)


@router.delete("/tokens/{name}")
async def revoke(room: Room, principal: Admin, name: Name) -> TokenShown:
    """Revoke a token, at once."""
    if not await room.access.revoke(name):
        raise not_found(f"no token that is good is called {name}")
    gone = next(each for each in await room.access.tokens() if each.name == name and each.revoked is not None)
    await noted(room, principal, "access.token-revoke", name, {"state": "active"}, {"state": "revoked"})
    return token_shown(gone, room.now())


@router.delete("/sessions")
async def end_sessions(room: Room, principal: Admin) -> Ended:
    """Sign out everywhere: every session ends, this one too, and no one-time link that waits is good any more."""
    ended = await room.access.end_all_sessions()
    await noted(room, principal, "access.sign-out-everywhere", "", {"sessions": ended}, {"sessions": 0})
    return Ended(ended=ended)


ROUTERS = (router, making)
