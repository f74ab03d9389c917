"""Tear sheets of recorded runs: build one, list them, take one home."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field

from bot.web.api.etags import TaggedRoute
from bot.web.problems import not_found
from bot.web.reports import Report
from bot.web.room import Room
from bot.web.security.gate import Reader, Trader

router = APIRouter(tags=["trading"], route_class=TaggedRoute)


class Wanted(BaseModel):
    """Which run to report on."""

    model_config = ConfigDict(extra="forbid")

    run: str = Field(pattern=r"^[0-9A-Za-z-]{1,64}$", description="a run's id, or `latest` of this bot")


@router.get("/reports")
async def reports(room: Room, principal: Reader) -> list[Report]:
    """What is being built, then the newest that are there."""
    del principal
    return room.reports.all(room.now())


@router.post("/reports", status_code=202)
async def build(room: Room, principal: Trader, wanted: Wanted) -> Report:
    """Begin to build the tear sheet of a run."""
    del principal
    run = await room.run_named(wanted.run)
    if run is None:
        raise not_found(f"no run has the id {wanted.run!r}")
    return room.reports.build(run.id, room.now())


@router.get("/reports/{run}", response_class=FileResponse, status_code=200)
async def report(room: Room, principal: Reader, run: Annotated[str, Path(pattern=r"^[0-9A-Za-z-]{1,64}$")]) -> FileResponse:
    """The tear sheet: one HTML file that needs nothing else to be read. It is to be kept, not shown here."""
    del principal
    path = room.reports.path(run)
    return FileResponse(path, media_type="text/html; charset=utf-8", filename=path.name)


ROUTERS = (router,)
