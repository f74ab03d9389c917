"""`decisions` and `orders`: what the journal holds, and what the running bot decides just now."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from bot.cli.exits import ExitCode, StopError
from bot.cli.options import AsJson, ConfigDir, Database, DataDir, settings_for

Limit = Annotated[int, typer.Option(metavar="N", min=1, max=10_000, help="How many, the newest.")]
Run = Annotated[str | None, typer.Option(metavar="RUN", help="Only this run's; `latest` is the newest run.")]
SymbolName = Annotated[str | None, typer.Option(metavar="SYMBOL", help="Only this symbol's.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("decisions")(decisions)
    app.command("orders")(orders)


def decisions(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Follow the running bot until Ctrl-C.")] = False,
    source: Annotated[str | None, typer.Option(metavar="SOURCE", help="Only this source's.")] = None,
    symbol: SymbolName = None,
    fate: Annotated[str | None, typer.Option(metavar="FATE", help="Only those that met this fate, such as outranked.")] = None,
    run: Run = None,
    limit: Limit = 50,
    as_json: AsJson = False,
    config: ConfigDir = None,
    data_dir: DataDir = None,
    database: Database = None,
) -> None:
    """List decisions with what became of them and why."""
    chosen = _fate(fate)
    settings = settings_for(config, data_dir, database).settings
    if follow:
        wanted = {name: value for name, value in (("source", source), ("symbol", symbol), ("fate", fate)) if value is not None}
        asyncio.run(_follow(settings.bot.data_dir, as_json, wanted))
        return
    from bot.journal.queries import Queries

    with Queries(settings.database_url) as queries:
        found = queries.decisions(run=_run(queries, run), source=source, symbol=_upper(symbol), fate=chosen, limit=limit)
    if as_json:
        _print_json(found)
        return
    head = ["at", "source", "symbol", "action", "confidence", "price", "fate", "why"]
    rows = [
        [
            _when(d.at),
            d.source,
            d.symbol,
            d.action.value,
            d.confidence,
            d.price,
            _fate_text(d.fate, d.denial),
            d.fate_reason or "",
        ]
        for d in reversed(found)
    ]
    _print_table(head, rows, "no decision is journaled there")


def orders(
    symbol: SymbolName = None,
    run: Run = None,
    limit: Limit = 50,
    as_json: AsJson = False,
    config: ConfigDir = None,
    data_dir: DataDir = None,
    database: Database = None,
) -> None:
    """List orders as they stand."""
    from bot.journal.queries import Queries

    url = settings_for(config, data_dir, database).settings.database_url
    with Queries(url) as queries:
        found = queries.orders(run=_run(queries, run), symbol=_upper(symbol), limit=limit)
    if as_json:
        _print_json(found)
        return
    head = ["created", "order", "symbol", "side", "type", "leg", "amount", "filled", "average", "state", "source", "why"]
    rows = [
        [
            _when(o.created),
            o.id,
            o.symbol,
            o.side.value,
            o.type.value,
            o.leg.value,
            o.amount,
            o.filled,
            o.average,
            o.state.value,
            o.source,
            o.reason,
        ]
        for o in reversed(found)
    ]
    _print_table(head, rows, "no order is journaled there")


def _run(queries: Any, wanted: str | None) -> str | None:
    """The run's id, or an error that names the remedy."""
    if wanted is None:
        return None
    found = queries.run(wanted)
    if found is None:
        known = ", ".join(run.id for run in queries.runs(limit=5)) or "none"
        raise StopError(ExitCode.FAILURE, f"--run: there is no run {wanted!r} in {queries.path}; the newest are: {known}")
    return str(found.id)


def _fate(text: str | None) -> Any:
    from bot.core.decision import Fate

    if text is None:
        return None
    try:
        return Fate(text.lower())
    except ValueError:
        listed = ", ".join(fate.value for fate in Fate)
        message = f"{text!r} is not a fate; write one of {listed}"
        raise typer.BadParameter(message, param_hint="--fate") from None


def _fate_text(fate: Any, denial: str | None) -> str:
    if fate is None:
        return "standing"
    return f"{fate.value} ({denial})" if denial else str(fate.value)


def _upper(text: str | None) -> str | None:
    return text.upper() if text else None


def _when(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _print_json(found: Sequence[object]) -> None:
    """One JSON array, the newest first."""
    from dataclasses import asdict

    from bot.cli.output import say_json

    say_json([asdict(record) for record in found])  # type: ignore[call-overload]


def _print_table(head: Sequence[str], rows: Sequence[Sequence[object]], empty: str) -> None:
    from bot.cli.output import say, table

    say(*(table(head, rows) if rows else [empty]))


async def _follow(place: Path, as_json: bool, wanted: Mapping[str, str]) -> None:
    """Print decisions and their fates as they happen, until the bot goes away or Ctrl-C."""
    from bot.cli.output import say, say_json
    from bot.outlets.envelope import Channel
    from bot.outlets.local_client import LocalClient

    async with await LocalClient.connect(place) as client:
        async for message in client.follow([Channel.DECISIONS]):
            if message.channel == "resync":
                raise StopError(ExitCode.FAILURE, f"{message.data['dropped']} messages were lost on the way; follow again")
            facts = _flat(message.data)
            if any(str(facts.get(name, "")).lower() != value.lower() for name, value in wanted.items()):
                continue
            if as_json:
                say_json({"type": message.type, "seq": message.seq, "ts": message.ts, "data": message.data})
            else:
                say(_followed(message.type, message.ts, facts))
    raise StopError(ExitCode.NOT_RUNNING, "the bot has gone away")


def _flat(data: Mapping[str, Any]) -> dict[str, Any]:
    """The fact's own fields and those of the decision in it."""
    inner = data.get("decision")
    return {**(inner if isinstance(inner, Mapping) else {}), **{key: value for key, value in data.items() if key != "decision"}}


def _followed(kind: str, ts: str, facts: Mapping[str, Any]) -> str:
    from bot.cli.screen import clean

    names = ("source", "symbol", "action", "confidence", "price", "fate", "denial", "filled_fraction", "reason", "reasoning")
    told = " ".join(f"{name}={facts[name]}" for name in names if facts.get(name) not in {None, ""})
    return clean(f"{ts} {kind} {told}")
