"""Settings: sources on and off, every setting and what says it, its changes, channels, secrets, keys to this room, the theme."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from bot.settings import OriginKind, Settings
from bot.web.api.etags import etag_of
from bot.web.api.settings import overlay_of, shown_settings
from bot.web.api.tokens import token_shown
from bot.web.pages.asking import if_it_can
from bot.web.pages.render import fragment, page
from bot.web.problems import Problem
from bot.web.room import ControlRoom, Room
from bot.web.security.gate import Admin, Reader
from bot.web.security.principal import Principal, Scope
from bot.web.setting_fields import SettingField, section_about, setting_field

router = APIRouter()

_REFUSED = 409
_CHANGES = 30
_ABOVE = frozenset({OriginKind.ENVIRONMENT.value, OriginKind.COMMAND_LINE.value})
_SECTIONS = tuple(Settings.model_fields)
Section = Annotated[str, Query(pattern=f"^({'|'.join(_SECTIONS)})$")]


@dataclass(frozen=True, slots=True)
class Row:
    """A setting as the page shows it. `later` is what the next start would take, `above` what is said over the overlay."""

    key: str
    text: str
    kind: str
    origin: str
    field: SettingField
    changed: bool
    later: str | None
    above: bool


@router.get("/settings")
async def settings(request: Request, room: Room, principal: Reader, section: Section = "risk") -> HTMLResponse:
    """The page."""
    admin = principal.scope >= Scope.ADMIN
    shown = {
        **await _settings(room, principal, section),
        **await _history(room, principal),
        **await _channels(room, principal),
        **(await _secrets(room, principal) if admin else {"vault": None}),
        **(await _tokens(room) if admin else {"tokens": ()}),
        "admin": admin,
    }
    return await page(request, "settings/page.html", "settings", shown)


@router.get("/ui/settings/sources")
async def sources(request: Request, room: Room, principal: Reader) -> HTMLResponse:
    """Every source: what its file says, and how it is heard now."""
    return fragment(request, "settings/sources.html", await _settings(room, principal, "risk"))


@router.get("/ui/settings/section")
async def of_section(request: Request, room: Room, principal: Reader, section: Section = "risk") -> HTMLResponse:
    """The settings of a section."""
    return fragment(request, "settings/section.html", await _settings(room, principal, section))


@router.get("/ui/settings/pending")
async def pending(request: Request, room: Room, principal: Reader) -> HTMLResponse:
    """What waits for the next start."""
    return fragment(request, "settings/pending.html", await _settings(room, principal, "risk"))


@router.get("/ui/settings/history")
async def history(request: Request, room: Room, principal: Reader) -> HTMLResponse:
    """Who changed what."""
    return fragment(request, "settings/history.html", await _history(room, principal))


@router.get("/ui/settings/channels")
async def channels(request: Request, room: Room, principal: Reader) -> HTMLResponse:
    """Where notifications go."""
    return fragment(request, "settings/channels.html", await _channels(room, principal))


@router.get("/ui/settings/secrets")
async def secrets(request: Request, room: Room, principal: Admin) -> HTMLResponse:
    """Which secrets are set, masked."""
    return fragment(request, "settings/secrets.html", await _secrets(room, principal))


@router.get("/ui/settings/tokens")
async def tokens(request: Request, room: Room, principal: Admin) -> HTMLResponse:
    """Tokens for programs, without their values."""
    del principal
    return fragment(request, "settings/tokens.html", await _tokens(room))


async def _settings(room: ControlRoom, principal: Principal, section: str) -> dict[str, Any]:
    shown = await shown_settings(room, principal)
    try:
        said = tuple((await overlay_of(room)).settings)
    except Problem:
        said = ()  # `problem` of what is shown says why
    later = {row["key"]: row for row in shown["pending"]}
    rows = [_row(row, said, later) for row in shown["settings"] if row["key"].partition(".")[0] == section]
    return {
        "section": section,
        "sections": _SECTIONS,
        "about": section_about(section),
        "rows": rows,
        "pending": shown["pending"],
        "problem": shown["problem"],
        "overlay": shown["overlay"],
        "match": etag_of(shown),
        "files": _with_state(shown["sources"], await if_it_can(room, "desk.sources", principal)),
        "files_problem": shown["sources_problem"],
    }


def _row(row: Mapping[str, Any], said: Sequence[str], later: Mapping[str, Mapping[str, Any]]) -> Row:
    key = row["key"]
    changed = any(key == each or key.startswith(f"{each}.") for each in said)
    coming = _text(later[key]["next"]) if key in later else None
    return Row(key, row["text"], row["kind"], row["origin"], setting_field(key), changed, coming, row["kind"] in _ABOVE)


def _text(value: object) -> str:
    plain = {None: "null", True: "true", False: "false"}
    return plain[value] if value is None or isinstance(value, bool) else str(value)


def _with_state(files: Sequence[Mapping[str, Any]], live: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """The files of sources, each with how the running bot has it; None where it does not, or none runs."""
    known = {} if live is None else {each["name"]: each for each in live["sources"]}
    return [{**each, "live": known.get(each["name"])} for each in files]


async def _history(room: ControlRoom, principal: Principal) -> dict[str, Any]:
    try:
        return {"history": (await room.ask("config.history", {"limit": _CHANGES}, principal))["changes"]}
    except Problem as problem:
        if problem.status != _REFUSED:
            raise
        return {"history": ()}


async def _channels(room: ControlRoom, principal: Principal) -> dict[str, Any]:
    return {"channels": await if_it_can(room, "notify.channels", principal)}


async def _secrets(room: ControlRoom, principal: Principal) -> dict[str, Any]:
    return {"vault": await if_it_can(room, "config.secrets", principal)}


async def _tokens(room: ControlRoom) -> dict[str, Any]:
    return {"tokens": [token_shown(each, room.now()) for each in await room.access.tokens()]}
