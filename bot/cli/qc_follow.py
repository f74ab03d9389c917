"""Signals as they come: what the running bot decides on, else what the service says, asked again and again."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bot.cli.exits import ExitCode, StopError, one_line

if TYPE_CHECKING:
    from bot.outlets.local_client import LocalClient
    from bot.settings import Loaded

_MOST_KNOWN = 100_000


def follow_signals(loaded: Loaded, project: int | None, every: float, *, as_json: bool) -> None:
    """Until Ctrl-C, or until the bot goes away; `every` is in seconds."""
    asyncio.run(_follow(loaded, project, every, as_json))


async def _follow(loaded: Loaded, project: int | None, every: float, as_json: bool) -> None:
    from bot.outlets.errors import NotRunning
    from bot.outlets.local_client import LocalClient

    try:
        client = await LocalClient.connect(loaded.settings.bot.data_dir)
    except NotRunning:
        await _ask_again(loaded, project, every, as_json)
        return
    async with client:
        await _hear(client, project, as_json)


async def _hear(client: LocalClient, project: int | None, as_json: bool) -> None:
    """The decisions of the highest tier and what becomes of them."""
    from bot.cli.output import say, say_json
    from bot.core.decision import Tier
    from bot.outlets.envelope import Channel

    ours: dict[str, None] = {}
    async for message in client.follow([Channel.DECISIONS]):
        if message.channel == "resync":
            raise StopError(ExitCode.FAILURE, f"{message.data['dropped']} messages were lost on the way; follow again")
        decision = message.data.get("decision")
        inner: Mapping[str, Any] = decision if isinstance(decision, Mapping) else message.data
        name = str(inner.get("id") or inner.get("decision_id") or "")
        if name not in ours:
            of_project = project is None or (inner.get("evidence") or {}).get("project") == project
            if inner.get("tier") != int(Tier.QUANTCONNECT) or not of_project:
                continue
            ours[name] = None
            if len(ours) > _MOST_KNOWN:
                del ours[next(iter(ours))]
        if as_json:
            say_json({"type": message.type, "seq": message.seq, "ts": message.ts, "data": message.data})
        else:
            say(_line(message.type, message.ts, inner, message.data))
    raise StopError(ExitCode.NOT_RUNNING, "the bot has gone away")


def _line(kind: str, ts: str, inner: Mapping[str, Any], outer: Mapping[str, Any]) -> str:
    from bot.cli.screen import clean

    names = ("source", "symbol", "action", "confidence", "price", "fate", "denial", "filled_fraction", "reason", "reasoning")
    facts = {**inner, **{key: value for key, value in outer.items() if key != "decision"}}
    told = " ".join(f"{name}={facts[name]}" for name in names if facts.get(name) not in {None, ""})
    return clean(f"{ts} {kind} {told}")


async def _ask_again(loaded: Loaded, project: int | None, every: float, as_json: bool) -> None:
    """What the service holds, then what is new at every look; a look that fails is said, and the next one is tried."""
    from bot.cli.errand import alone
    from bot.cli.output import say, say_json, table
    from bot.cli.qc_views import FRESH, fresh_cells
    from bot.services.quantconnect.signals import signals
    from sources.quantconnect.errors import QcError

    known: dict[str, None] = {}
    if not as_json:
        sys.stderr.write(f"no bot runs here: the service is asked every {every:g} s\n")
        sys.stderr.flush()
    async with alone(loaded) as ground:
        while True:
            rows: list[Mapping[str, Any]] = []
            try:
                found = (await signals(ground, lambda _: None, limit=1_000, project=project, journal=False)).as_json()
                _say_troubles(found)
                rows = [one for one in reversed(list(found["fresh"] or ())) if one["id"] not in known]  # type: ignore[call-overload]
            except QcError as error:
                if not error.transient:
                    raise
                sys.stderr.write(f"{one_line(error)}\n")
            known |= dict.fromkeys(str(one["id"]) for one in rows)
            while len(known) > _MOST_KNOWN:
                del known[next(iter(known))]
            if as_json:
                for one in rows:
                    say_json(one)
            elif rows:
                say(*table(FRESH, [fresh_cells(one) for one in rows]))
            await asyncio.sleep(every)


def _say_troubles(found: Mapping[str, Any]) -> None:
    for name, why in found["troubles"].items():
        sys.stderr.write(f"{name}: {why}\n")
    sys.stderr.flush()
