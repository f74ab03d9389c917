"""What the `qc` commands show a person of the account, of live algorithms and of signals: aligned text, what matters first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from bot.cli.output import table
from bot.cli.screen import PLAIN, Ink, clean, cut, money, price, signed

Found = Mapping[str, Any]

_WHY = 60


def when(at: int | None) -> str:
    """A time in UTC, a dash for none."""
    return "-" if at is None else f"{datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%d %H:%M:%S}"


def access_lines(found: Found, ink: Ink = PLAIN) -> Iterator[str]:
    """Every check, then what there is."""
    yield f"QuantConnect at {found['base_url']}" + (" SIMULATED" if found["simulated"] else "")
    rows = [[one["check"], "ok" if one["ok"] else "BROKEN", one["found"], one["remedy"]] for one in found["checks"]]
    yield from table(["check", "state", "found", "remedy"], rows)
    if not found["ok"]:
        yield ink("not everything is well: the remedies are above", "yellow")


def projects_lines(found: Found, kept: str) -> Iterator[str]:
    """A line for each project."""
    rows = [
        [one["project"], one["name"], one["language"], when(one["modified"]), when(one["created"])] for one in found["projects"]
    ]
    yield from table(["project", "name", "language", "modified", "created"], rows) if rows else ["there is no project yet"]
    yield from _age(found, kept)


def algorithms_lines(found: Found, kept: str) -> Iterator[str]:
    """A line for each deployment."""
    head = ["project", "name", "deployment", "status", "brokerage", "equity", "launched", "stopped", "error"]
    rows = [
        [
            one["project"],
            one["name"],
            one["deployment"],
            one["status"],
            one["brokerage"],
            _money(one["equity"]),
            when(one["launched"]),
            when(one["stopped"]),
            cut(one["error"] or "", _WHY),
        ]
        for one in found["algorithms"]
    ]
    yield from table(head, rows) if rows else ["there is no live algorithm; start one with `qc deploy PROJECT`"]
    yield from _age(found, kept)


def _age(found: Found, kept: str) -> Iterator[str]:
    yield ""
    yield f"  read {found['age_ms'] / 1000:.0f} s ago, at {when(found['at'])} UTC; kept for {kept}, --fresh asks anew"


def algorithm_lines(found: Found, ink: Ink = PLAIN) -> Iterator[str]:
    """How it stands, what it earned there, what it holds, its last orders, and what the bot made of it."""
    state = ink(found["status"], "green" if found["active"] else "yellow")
    name = ink(clean(found["name"]) or "algorithm", "bold")
    yield f"{name}  project {found['project']}, {clean(found['deployment'])}  {state}"
    stopped = f", stopped {when(found['stopped'])} UTC" if found["stopped"] else ""
    yield f"  on {clean(found['brokerage']) or 'no brokerage named'}, launched {when(found['launched'])} UTC{stopped}"
    if found["message"]:
        yield f"  {ink('message', 'yellow')} {clean(found['message'])}"
    yield from _earned(found, ink)
    yield from _holdings(found)
    yield from _rows(
        "orders", found["orders"], _order_cells, ["at", "security", "side", "type", "quantity", "price", "status", "tag"]
    )
    yield from _rows(
        "closed trades", found["trades"], _trade_cells, ["exited", "security", "direction", "quantity", "entry", "exit", "P&L"]
    )
    yield from _ours(found["ours"], ink)
    for part, why in found["troubles"].items():
        yield f"  {ink('missing', 'yellow')} {part}: {clean(why)}"


def _earned(found: Found, ink: Ink) -> Iterator[str]:
    stats = found["statistics"]
    if stats is None:
        return
    earned = stats.get("net_profit")
    parts = [
        ("equity", _money(stats.get("equity"))),
        ("net profit", "-" if earned is None else ink.signed(earned, signed(earned))),
        ("unrealised", _money(stats.get("unrealized"))),
        ("return", _percent(stats.get("total_return"))),
        ("fees", _money(abs(stats.get("fees") or 0.0))),
        ("volume", _money(stats.get("volume"))),
    ]
    yield "  " + " · ".join(f"{name} {text}" for name, text in parts if text != "-")
    if found["equity"]:
        values = [value for _, value in found["equity"]]
        yield f"  equity curve {money(values[0])} -> {money(values[-1])}, between {money(min(values))} and {money(max(values))}"


def _holdings(found: Found) -> Iterator[str]:
    if found["holdings"] is None:
        return
    cash = ", ".join(f"{money(amount)} {currency}" for currency, amount in found["cash"].items())
    yield ""
    yield f"  holds {_securities(len(found['holdings']))}; cash {cash or 'none'}"
    if found["holdings"]:
        head = ["security", "quantity", "average", "price", "value", "unrealised"]
        rows = [_holding_cells(one) for one in found["holdings"]]
        yield from (f"  {line}" for line in table(head, rows))


def _securities(number: int) -> str:
    return "nothing" if not number else "1 security" if number == 1 else f"{number} securities"


def _holding_cells(one: Found) -> list[object]:
    prices = (price(one["average_price"]), price(one["market_price"]))
    unrealised = f"{signed(one['unrealised'])} ({one['unrealised_fraction']:+.2%})"
    return [one["security"], one["quantity"], *prices, money(one["market_value"]), unrealised]


def _rows(name: str, rows: Sequence[Found] | None, cells: Any, head: Sequence[str]) -> Iterator[str]:
    if rows is None:
        return
    yield ""
    yield f"  {name}: {'none' if not rows else 'the newest first'}"
    if rows:
        yield from (f"  {line}" for line in table(head, [cells(row) for row in rows]))


def _order_cells(one: Found) -> list[object]:
    shown = "-" if one["price"] is None else price(one["price"])
    return [
        when(one["at"]),
        one["security"],
        one["side"],
        one["type"],
        one["quantity"],
        shown,
        one["status"],
        cut(one["tag"], _WHY),
    ]


def _trade_cells(one: Found) -> list[object]:
    entry, left, pnl = one["entry_price"], one["exit_price"], one["pnl"]
    prices = ["-" if value is None else price(value) for value in (entry, left)]
    return [when(one["exited"]), one["security"], one["direction"], one["quantity"], *prices, "-" if pnl is None else signed(pnl)]


def _ours(ours: Found | None, ink: Ink) -> Iterator[str]:
    """The bot's own result beside it."""
    yield ""
    if ours is None or not ours["sources"]:
        yield "  this bot: no decision of this project is journaled"
        return
    world = "SIMULATED " if ours["simulated"] else ""
    yield f"  this bot, {world}{ours['mode']}, {ours['currency']}, since its books began:"
    head = ["source", "decisions", "executed", "trades", "wins", "P&L", "shadow P&L", "shadow trades", "shadow equity"]
    yield from (f"  {line}" for line in table(head, [_source_cells(one, ink) for one in ours["sources"]]))


def _source_cells(one: Found, ink: Ink) -> list[object]:
    shadow = one["shadow"]
    alone: list[object] = ["-", "-", "-"]
    if shadow is not None:
        earned = float(shadow["realised"]) + (shadow["unrealised"] or 0.0)
        alone = [signed(earned), shadow["trades"], _money(shadow["equity"])]
    pnl = float(one["pnl"])
    del ink
    return [one["source"], one["decisions"], one["fates"].get("executed", 0), one["trades"], one["wins"], signed(pnl), *alone]


def nodes_lines(found: Found) -> Iterator[str]:
    """A line for each machine."""
    rows = [
        [kind, one["id"], one["name"], one["sku"], one["cpu"], one["ram"], "busy" if one["busy"] else "free", one["project_name"]]
        for kind, machines in found["nodes"].items()
        for one in machines
    ]
    yield from (
        table(["for", "node", "name", "sku", "cores", "GB", "state", "project"], rows) if rows else ["the account has no node"]
    )


def signals_lines(found: Found, ink: Ink = PLAIN) -> Iterator[str]:
    """What was decided on, then what the service holds."""
    if found["journaled"] is not None:
        yield ink("decided on by the bot, the newest last", "bold")
        rows = [decided_cells(one) for one in reversed(found["journaled"])]
        yield from table(DECIDED, rows) if rows else ["  nothing yet"]
    if found["fresh"] is not None:
        yield from [""] if found["journaled"] is not None else []
        yield ink(f"held by QuantConnect at {when(found['at'])} UTC, the newest last, as the bot would take them now", "bold")
        rows = [fresh_cells(one) for one in reversed(found["fresh"])]
        yield from table(FRESH, rows) if rows else ["  nothing"]
    for name, why in found["troubles"].items():
        yield f"  {ink('missing', 'yellow')} {name}: {clean(why)}"


DECIDED = ("at", "source", "symbol", "action", "confidence", "price", "project", "fate", "why")
FRESH = ("generated", "project", "security", "symbol", "heading", "confidence", "price", "verdict", "why", "tag")


def decided_cells(one: Found) -> list[object]:
    """A row of `DECIDED`."""
    fate = one["fate"] or "standing"
    told = f"{fate} ({one['denial']})" if one["denial"] else fate
    why = cut(one["why"] or "", _WHY)
    return [
        when(one["at"]),
        one["source"],
        one["symbol"],
        one["action"],
        one["confidence"],
        one["price"],
        one["project"],
        told,
        why,
    ]


def fresh_cells(one: Found) -> list[object]:
    """A row of `FRESH`."""
    return [
        when(one["generated"]),
        one["project"],
        one["security"],
        one["symbol"],
        one["heading"],
        one["confidence"],
        one["price"],
        one["verdict"],
        cut(one["why"], 100),
        cut(one["tag"], 40),
    ]


def outcome_line(verb: str, found: Found) -> str:
    """What became of a live algorithm."""
    where = f" on {found['brokerage']}" if found["brokerage"] else ""
    node = f", node {found['node']}" if found["node"] else ""
    looked = "; the answer was lost, so it was looked up" if found["looked"] else ""
    return clean(f"{verb}: project {found['project']}, {found['deployment']} is {found['status']}{where}{node}{looked}")


def _money(value: float | None) -> str:
    return "-" if value is None else money(value)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2%}"
