"""What `queue`, `sources`, `positions` and `risk` show a person: aligned text, what matters first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bot.cli.output import table
from bot.cli.screen import clean, clock, cut

Found = Mapping[str, Any]

_WORDS = 60


def queue_lines(found: Found) -> Iterator[str]:
    """Who stands, who waits in which order, who thinks, what works."""
    yield f"policy {found['policy']}, {clock(found['now'])} UTC"
    head = ["symbol", "source", "says", "conf", "target", "held", "until", "outranked"]
    yield from _part("standing", found["standing"], head, [
        [each["symbol"], each["source"], each["action"], f"{each['confidence']:.2f}", each["target"], each["position"],
         clock(each["expires"]), ", ".join(loser["source"] for loser in each["outranked"]) or "-"]
        for each in found["standing"]
    ])  # fmt: skip
    head = ["symbol", "source", "tier", "says", "conf", "settles", "waits for", "why"]
    yield from _part("waiting", found["waiting"], head, [
        [each["symbol"], each["source"], each["tier_name"], each["action"], f"{each['confidence']:.2f}",
         _time(each["settles_at"]), each["waits_for"], cut(clean(each["reasoning"]), _WORDS)]
        for each in found["waiting"]
    ])  # fmt: skip
    thinking = [[each["symbol"], each["source"], clock(each["until"])] for each in found["claims"]]
    yield from _part("thinking", thinking, ["symbol", "source", "until"], thinking)
    working = [
        [each["id"], each["symbol"], each["side"], each["type"], each["amount"], each["filled"], each["state"], each["source"]]
        for each in found["working"]
    ]
    yield from _part("working", working, ["order", "symbol", "side", "type", "amount", "filled", "state", "source"], working)


def sources_lines(found: Found) -> Iterator[str]:
    """A line for each source, then what is wrong with any."""
    head = ["source", "tier", "state", "threshold", "capital", "sizing", "P&L", "alone", "trades", "won", "decided"]
    yield from table(head, [_source(each) for each in found["sources"]])
    yield f"money in {found['currency']}; alone: what the source would have earned had nobody else spoken"
    for each in found["sources"]:
        if each["off"]:
            yield clean(f"{each['name']} is off: {each['off']}")
        yield from (clean(f"{each['name']}: {trouble}") for trouble in each["troubles"])


def threshold_lines(found: Found) -> Iterator[str]:
    """Before and after."""
    yield clean(f"{found['source']} is heard from {found['after']:g} on; it was {found['before']:g}")


def positions_lines(found: Found) -> Iterator[str]:
    """A line for each position, then the book."""
    rows = [
        [each["symbol"], each["amount"], each["average"], each["price"], _money(each["value"]), f"{each['share']:.1%}",
         _money(each["unrealised"]), each["stop_loss"], each["take_profit"], each["trailing_stop"], each["opener"]]
        for each in found["positions"]
    ]  # fmt: skip
    head = ["symbol", "amount", "average", "price", "value", "share", "P&L", "stop", "target", "trailing", "opened by"]
    yield from table(head, rows) if rows else ["nothing is held"]
    yield f"equity {_money(found['equity'])} {found['currency']}, cash {_money(found['cash'])}"


def state_lines(found: Found) -> Iterator[str]:
    """The state, the limits, and what is wrong."""
    since = f" since {clock(found['since'])}" if found["since"] else ""
    yield clean(f"trading is {found['state']}{since}{': ' + found['reason'] if found['reason'] else ''}")
    rows = [
        [each["setting"].removeprefix("risk."), each["subject"], _used(each, "used"), _used(each, "limit"),
         f"{each['share']:.0%}", _hit(each), each["unit"]]
        for each in found["limits"]
    ]  # fmt: skip
    yield from table(["limit", "of", "used", "allowed", "full", "", "unit"], rows)
    yield f"off: {', '.join(found['off']) or 'none'}"
    yield from (clean(f"{each['symbol']} is frozen: order {each['order']} is unknown") for each in found["frozen"])
    yield from (f"market data of {each['symbol']} is {each['health']}" for each in found["health"] if each["health"] != "fresh")
    yield from (clean(f"unexplained at the venue: {each}") for each in found["unexplained"])
    if found["unread"]:
        yield clean(f"the account at the venue is not read: {found['unread']}")


def assess_lines(found: Found) -> Iterator[str]:
    """The book in a few lines, then what a person should know."""
    currency, stops, at_risk = found["currency"], found["stops"], found["at_risk"]
    yield f"equity    {_money(found['equity'])} {currency}, today {_money(found['day_pnl'])}, drawdown {found['drawdown']:.2%}"
    gross, net = f"gross {found['gross_share']:.1%}", f"net {found['net_share']:.1%}"
    yield f"exposure  {gross}, {net}, cash {found['cash_share']:.1%}"
    concentration = found["concentration"]
    largest = f"{concentration['largest'] or 'none'} {concentration['largest_share']:.1%}"
    yield f"largest   {largest}, Herfindahl index {concentration['herfindahl']:.2f}"
    if at_risk["var"] is None or not at_risk["returns"]:
        yield f"at risk   {at_risk['reason']}"
    else:
        worth = f"{_money(at_risk['var'])} (95 %), expected shortfall {_money(at_risk['expected_shortfall'])}"
        yield f"at risk   in a day {worth}, from {at_risk['returns']} returns of {at_risk['timeframe']}"
    yield f"stops     if all are hit {_money(stops['loss'])} are lost, {stops['share']:.2%} of equity"
    yield from (f"warning   {clean(warning)}" for warning in found["warnings"])


def validate_lines(found: Found) -> Iterator[str]:
    """Check by check, then what would leave."""
    rows = [
        [each["name"], each["answer"], each["notional"] and _money(each["notional"]), each["reason"]] for each in found["checks"]
    ]
    yield from table(["check", "says", "notional", "why"], rows)
    if not found["admitted"]:
        yield clean(f"refused: {found['denial']}: {found['reason']}")
        return
    fee, exposure = found["fee"], found["exposure"]
    order = f"{found['side']} {found['amount']} {found['symbol']} for {_money(found['notional'])}"
    yield f"admitted: {order}, fee about {fee['amount']} {fee['currency']}"
    yield f"exposure {exposure['before_share']:.1%} -> {exposure['after_share']:.1%} of equity"


def size_lines(found: Found) -> Iterator[str]:
    """A line for each policy; the one that would be used is marked."""
    head = ["", "sizing", "holds", "of equity", "amount", "order now", "at the stop", "why"]
    rows = [
        ["*" if each["used"] else "", each["name"], _money(each["notional"]), f"{each['fraction']:.1%}", each["amount"],
         _ordered(each["order"]), each["at_stop"] and _money(each["at_stop"]), each["basis"]]
        for each in found["policies"]
    ]  # fmt: skip
    yield from table(head, rows)
    unheard = "" if found["heard"] else "; a decision with that confidence would not be heard"
    yield f"* is used; confidence {found['confidence']:g}, held {found['held']}{unheard}"


def _part(name: str, any_there: Sequence[object], head: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    yield ""
    yield name if any_there else f"{name}: nothing"
    if any_there:
        yield from table(head, rows)


def _source(one: Found) -> list[object]:
    shadow = one["shadow"] or {"pnl": None, "trades": None, "wins": None}
    alone = None if shadow["pnl"] is None else _money(shadow["pnl"])
    return [
        one["name"], one["tier_name"], one["state"], f"{one['threshold']:g}", one["capital"], one["sizing"], _money(one["pnl"]),
        alone, shadow["trades"], shadow["wins"], _time(one["last_decision"]),
    ]  # fmt: skip


def _ordered(order: Found) -> str:
    return str(order["amount"]) if not (order["denial"] or order["fate"]) else str(order["denial"] or order["fate"])


def _hit(limit: Found) -> str:
    if not limit["hit"]:
        return ""
    return f"HIT until {clock(limit['until'])}" if limit["until"] else f"HIT: {limit['detail']}" if limit["detail"] else "HIT"


def _used(limit: Found, key: str) -> str:
    """A fraction as a percentage, a time in seconds, a count as it is."""
    value = limit[key]
    if limit["unit"].startswith("fraction"):
        return f"{value:.1%}"
    return f"{value / 1000:g}s" if limit["unit"] == "ms" else f"{value:g}"


def _money(digits: str) -> str:
    """Two digits after the point."""
    return f"{float(digits):,.2f}"


def _time(at: int | None) -> str | None:
    return None if at is None else clock(at)
