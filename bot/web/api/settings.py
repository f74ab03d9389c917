"""Settings, sources' switches and secrets. A change is checked here as the next start would read it, then made by the bot.

The ETag of `/settings` is that of everything that a change builds on; `If-Match` refuses one that builds on what is no longer so.
Secrets go in and never come out.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, JsonValue, SecretStr

from bot.services.configuring.changing import digest
from bot.services.configuring.use_cases import Key
from bot.settings import ConfigError, Settings, reloaded
from bot.settings.overlay import Overlay, overlay_path, read_overlay, refused
from bot.web.api.etags import TaggedRoute, etag_of, outdated, require_match
from bot.web.auditing import noted
from bot.web.paging import Cursor, Limit, Page, decoded, encoded
from bot.web.problems import Problem, described, not_found
from bot.web.room import ControlRoom, Room
from bot.web.security.binding import PASSWORD
from bot.web.security.gate import Admin, Reader
from bot.web.security.idempotency import nonce_of
from bot.web.security.principal import Principal
from bot.web.setting_fields import SettingField, setting_field

router = APIRouter(tags=["settings"], route_class=TaggedRoute)
# Without records of requests and answers: a secret must not even be remembered as the hash of a request.
secrets = APIRouter(tags=["settings"])

Answer = dict[str, Any]
_OUTDATED = described(412)
Note = Annotated[str, Field(max_length=200, description="why, in a line; kept in the history")]
Section = Annotated[str | None, Query(min_length=1, max_length=32, description="such as risk; absent: everything")]
DottedKey = Annotated[
    str,
    Path(max_length=500, pattern=r"^[a-z][a-z0-9_]{0,31}(\.[A-Za-z0-9_:-]{1,64}){1,6}$", description="such as risk.max_position"),
]
Because = Annotated[str, Query(max_length=200, description="why, in a line; kept in the history")]
SourceName = Annotated[str, Path(min_length=1, max_length=64, description="a source's name, such as rules:sma-cross")]
SecretName = Annotated[str, Path(max_length=64, pattern=r"^[A-Z][A-Z0-9_]{1,63}$", description="such as BINANCE_API_KEY")]
_SHOWN = "settings.shown"
_MOST_FILES = 1_000
_Wish = ConfigDict(extra="forbid", allow_inf_nan=False)


class Changes(BaseModel):
    """Settings to say over the YAML files, by dotted key."""

    model_config = _Wish

    changes: dict[Key, JsonValue] = Field(min_length=1, max_length=50, description="values as YAML says them, by dotted key")
    note: Note = ""


class Change(BaseModel):
    """One setting to say over the YAML files."""

    model_config = _Wish

    value: JsonValue = Field(description="as YAML says it")
    note: Note = ""


class Switch(BaseModel):
    """Whether the next start lets a source in."""

    model_config = _Wish

    enabled: bool
    note: Note = ""


class Value(BaseModel):
    """A secret."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    value: SecretStr = Field(min_length=1, max_length=4_096, description="never shown again")


@router.get("/settings")
async def settings(room: Room, principal: Reader, response: Response, section: Section = None) -> Answer:
    """Settings in force with the origin of each value, what the next start would change, and the sources."""
    if section is not None and section not in Settings.model_fields:
        raise not_found(f"there is no section {section!r}; there are {', '.join(Settings.model_fields)}")
    shown = await shown_settings(room, principal)
    response.headers["etag"] = etag_of(shown)
    if section is None:
        return shown
    return shown | {"settings": [row for row in shown["settings"] if row["key"].partition(".")[0] == section]}


@router.get("/settings/fields")
async def fields(room: Room, principal: Reader) -> list[SettingField]:
    """What each setting means, how it is written, and why it cannot be changed here, where it cannot."""
    shown = await shown_settings(room, principal)
    return [setting_field(row["key"]) for row in shown["settings"]]


@router.get("/settings/history")
async def history(room: Room, principal: Reader, limit: Limit = 50, after: Cursor = None) -> Page[Answer]:
    """Who changed which setting, source or secret, when, from what to what."""
    before = decoded(after)
    if before is not None and not (before.isascii() and before.isdigit() and len(before) <= 32):
        raise Problem(400, "Not a cursor", "`after` must be the `next` of a page before, unchanged")
    found = await room.ask("config.history", {"limit": limit, "before": before}, principal)
    return Page(items=list(found["changes"]), next=None if found["next"] is None else encoded(found["next"]))


@router.put("/settings", responses=_OUTDATED)
async def change(room: Room, principal: Admin, request: Request, wish: Changes) -> Answer:
    """Say settings over the YAML files: all of them, or none. They act when the bot starts again."""
    return await _set(room, principal, request, wish.changes, wish.note)


@router.put("/settings/sources/{source:path}", responses=_OUTDATED)
async def switch(room: Room, principal: Admin, request: Request, source: SourceName, wish: Switch) -> Answer:
    """Switch a source on or off for the next start."""
    shown, base = await _based(room, principal, request)
    if shown["sources_problem"] is None and source not in {row["name"] for row in shown["sources"]}:
        raise not_found(f"no file describes a source {source!r}")
    args = {"source": source, "enabled": wish.enabled, "note": wish.note, "author": _author(principal)}
    return await changed(room, "config.source", args, principal, base, nonce_of(request))


@router.put("/settings/{setting}", responses=_OUTDATED)
async def change_one(room: Room, principal: Admin, request: Request, setting: DottedKey, wish: Change) -> Answer:
    """Say one setting over the YAML files."""
    return await _set(room, principal, request, {setting: wish.value}, wish.note)


@router.delete("/settings/{setting}", responses=_OUTDATED)
async def unset(room: Room, principal: Admin, request: Request, setting: DottedKey, note: Because = "") -> Answer:
    """Leave a setting to the YAML files again."""
    _, base = await _based(room, principal, request)
    said = (await overlay_of(room)).settings
    if not any(each == setting or each.startswith(f"{setting}.") for each in said):
        raise not_found(f"{setting} was not changed from here: the files, or the defaults, say it")
    args = {"keys": [setting], "note": note, "author": _author(principal)}
    return await changed(room, "config.unset", args, principal, base, nonce_of(request))


@secrets.get("/secrets")
async def all_secrets(room: Room, principal: Admin) -> Answer:
    """Which secrets are set: where, and their last four signs."""
    return dict(await room.ask("config.secrets", {}, principal))


@secrets.put("/secrets/{name}")
async def set_secret(room: Room, principal: Admin, request: Request, name: SecretName, wish: Value) -> Answer:
    """Seal a secret in the encrypted file; the bot uses it when it starts again. Another WEB_PASSWORD ends all other sessions."""
    args = {"name": name, "value": wish.value.get_secret_value(), "author": _author(principal)}
    async with _changing(room, principal, name) as more:
        done = dict(await room.ask("config.secret-set", args, principal, nonce=nonce_of(request)))
    return done | more


@secrets.delete("/secrets/{name}")
async def delete_secret(room: Room, principal: Admin, request: Request, name: SecretName) -> Answer:
    """Forget a secret of the encrypted file. Forgetting WEB_PASSWORD ends all other sessions."""
    args = {"name": name, "author": _author(principal)}
    async with _changing(room, principal, name) as more:
        found = await room.ask("config.secrets", {}, principal)
        if not any(row["name"] == name and row["set"] for row in found["secrets"]):
            raise not_found(f"no secret {name} is set")
        done = dict(await room.ask("config.secret-delete", args, principal, nonce=nonce_of(request)))
    return done | more


@asynccontextmanager
async def _changing(room: ControlRoom, principal: Principal, name: str) -> AsyncIterator[Answer]:
    """Around the change of a secret: whoever came in by a password that changes must come in anew. Yields what to tell of it.

    Whatever comes of the change, for it may have been made although nobody says so, or by a request before this one.
    """
    more: Answer = {}
    try:
        yield more
    finally:
        if name == PASSWORD:
            ended = await room.access.end_all_sessions(but=principal.id)
            await noted(room, principal, "access.sign-out-others", name, {"sessions": ended}, {"sessions": 0})
            more |= {"acts": "at once", "told": f"the control room asks for it as it is now; other sessions that ended: {ended}"}


async def shown_settings(room: ControlRoom, principal: Reader) -> Answer:
    """All settings with their origins, as the use case tells them; reckoned anew when a file of theirs changed, or the run."""
    run = await room.run()
    state = (None if run is None else run.id, await asyncio.to_thread(_files, room))
    held: tuple[object, Answer] | None = room.held.get(_SHOWN)
    if held is None or held[0] != state:
        held = room.held[_SHOWN] = (state, dict(await room.ask("config.show", {}, principal)))
    return held[1]


def _files(room: ControlRoom) -> tuple[tuple[str, int, int, int], ...]:
    """What the settings are made of, and which version of each file is there."""
    folder = room.loaded.directory
    paths = [] if folder is None else sorted(folder.rglob("*.yaml"))[:_MOST_FILES]
    found = []
    for path in (*paths, overlay_path(room.loaded.settings.bot.data_dir)):
        with suppress(FileNotFoundError):
            seen = path.stat()
            found.append((str(path), seen.st_ino, seen.st_mtime_ns, seen.st_size))
    return tuple(found)


async def overlay_of(room: ControlRoom) -> Overlay:
    """What was changed from here; `Problem` 409 where the file of that cannot be read."""
    try:
        return await asyncio.to_thread(read_overlay, room.loaded.settings.bot.data_dir)
    except ConfigError as error:
        raise Problem(409, "The overlay cannot be read", str(error.problems[0])) from error


async def base_of(room: ControlRoom, request: Request) -> str | None:
    """The digest of the overlay as it is, to be asked for before what the tag is of; None if the change builds on whatever is."""
    given = request.headers.get("if-match", "*")
    return None if given.strip() == "*" else digest(await overlay_of(room))


async def changed(
    room: ControlRoom, name: str, args: Mapping[str, object], principal: Principal, base: str | None, nonce: str | None
) -> Answer:
    """Have the overlay changed if it is still what the change builds on, which the bot judges; else `Problem` 412."""
    try:
        return dict(await room.ask(name, args if base is None else {**args, "base": base}, principal, nonce=nonce))
    except Problem as problem:
        if problem.status == 409 and base is not None and digest(await overlay_of(room)) != base:
            raise outdated() from problem
        raise


async def _based(room: ControlRoom, principal: Admin, request: Request) -> tuple[Answer, str | None]:
    """What the change builds on, and the digest of its overlay; `Problem` 412 if it says that it builds on something else."""
    base = await base_of(room, request)
    shown = await shown_settings(room, principal)
    require_match(request, etag_of(shown))
    return shown, base


async def _set(room: ControlRoom, principal: Admin, request: Request, changes: Mapping[str, Any], note: str) -> Answer:
    _, base = await _based(room, principal, request)
    await _acceptable(room, changes)
    args = {"changes": dict(changes), "note": note, "author": _author(principal)}
    return await changed(room, "config.set", args, principal, base, nonce_of(request))


async def _acceptable(room: ControlRoom, changes: Mapping[str, Any]) -> None:
    """`Problem` 403 for what is never changed here, 422 for a key that is none, or a value that no start would take."""
    for key, value in changes.items():
        reason = refused(key, value)
        if reason is not None:
            raise Problem(403, "Not changed here", reason)
    said = await overlay_of(room)
    try:
        await asyncio.to_thread(reloaded, room.loaded, said.with_settings(changes))
    except ConfigError as error:
        mine = [each for each in error.problems if any(each.key == key or each.key.startswith(f"{key}.") for key in changes)]
        first = (mine or list(error.problems))[0]
        raise Problem(422, "Not acceptable as it is", f"{first.key} {first.fault}; {first.remedy}") from error


def _author(principal: Admin) -> str:
    return principal.actor[:60]


ROUTERS = (router, secrets)
