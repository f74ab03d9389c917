"""What the `llm` commands show a person: aligned text, what matters first; texts of models and feeds without control marks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bot.cli.output import table
from bot.cli.qc_views import when
from bot.cli.screen import PLAIN, Ink, clean, cut

Found = Mapping[str, Any]

_WHY = 70
_STATES = {"good": "green", "broken": "red", "off": "dim"}


def usd(amount: str | None) -> str:
    """USD with as many digits as it deserves, a dash for none."""
    if amount is None:
        return "-"
    value = float(amount)
    return f"{value:.2f}" if abs(value) >= 10 or value == 0 else f"{value:.4f}" if abs(value) >= 0.01 else f"{value:.6f}"


def clamped(clamp: Found) -> Iterator[str]:
    """A number that the checks made smaller."""
    given, used = (
        f"{value:.6g}" if isinstance(value, float) else str(value) for value in (clamp.get("given"), clamp.get("used"))
    )
    yield "  " + clean(f"clamped {clamp.get('name')}: {given} -> {used}")


def _millis(value: int | None) -> str:
    return "-" if value is None else f"{value} ms"


def plain(text: object) -> Iterator[str]:
    """Lines of a text from outside, made harmless one by one."""
    for line in str(text or "").splitlines():
        yield "  " + "".join(mark if mark.isprintable() else " " for mark in line)


def access_lines(found: Found, ink: Ink = PLAIN) -> Iterator[str]:
    """A line for each provider, and below it each model that was asked."""
    if found["simulated"]:
        yield "SIMULATED language models"
    rows = [
        [
            one["provider"],
            one["state"].upper() if one["state"] == "broken" else one["state"],
            _millis(one["latency_ms"]),
            len(one["models"]) or None,
            "yes" if one["asked"] else "no",
            cut(one["detail"], _WHY),
            one["remedy"],
        ]
        for one in found["providers"]
    ]
    yield from table(["provider", "key", "latency", "models", "asked", "found", "remedy"], rows)
    calls = [
        [
            one["provider"],
            call["model"],
            "yes" if call["good"] else "NO",
            _millis(call["latency_ms"]),
            usd(call["usd"]),
            call["detail"],
        ]
        for one in found["providers"]
        for call in one["calls"]
    ]
    if calls:
        yield ""
        yield from table(["provider", "model", "answered", "latency", "USD", "found"], calls)
    if not found["ok"]:
        nobody = all(one["state"] == "off" for one in found["providers"])
        yield ink("no provider has a key" if nobody else "not everything is well: the remedies are above", "yellow")


def models_lines(found: Found, ink: Ink = PLAIN) -> Iterator[str]:
    """A table of candidates for each role; roles that ask the same are told together."""
    groups: list[tuple[list[str], Sequence[Found]]] = []
    for role, rows in found["roles"].items():
        same = next((roles for roles, known in groups if _names(known) == _names(rows)), None)
        if same is None:
            groups.append(([role], rows))
        else:
            same.append(role)
    for number, (roles, rows) in enumerate(groups):
        if number:
            yield ""
        yield ink(", ".join(roles), "bold")
        if not rows:
            yield "  nobody is asked: name candidates in llm.roles"
            continue
        head = ["rank", "model", "effort", "in", "out", "state", "success", "calls", "p50", "p95", "why"]
        yield from (f"  {line}" for line in table(head, [_candidate(one) for one in rows]))
    yield f"  prices in USD for one million tokens; calls and latencies of the last {found['calls_looked_at']:,} in the ledger"


def _names(rows: Sequence[Found]) -> list[tuple[str, str]]:
    return [(one["provider"], one["model"]) for one in rows]


def _candidate(one: Found) -> list[object]:
    price, known = one["price"], one["ledger"]
    state = "available" if one["available"] else "disabled" if one["disabled"] else f"breaker {one['breaker']}"
    share = known["answered"] / known["calls"] if known["calls"] else None
    return [
        one["rank"],
        f"{one['provider']}/{one['model']}",
        one["effort"],
        None if price is None else price["rate"]["input"],
        None if price is None else price["rate"]["output"],
        state,
        None if share is None else f"{share:.0%}",
        known["calls"],
        _millis(known["p50_ms"]),
        _millis(known["p95_ms"]),
        cut(one["disabled"], _WHY),
    ]


def prices_lines(found: Found) -> Iterator[str]:
    """A line for each model."""
    head = ["model", "in", "cached", "write", "out", "long from", "changes", "asked for", ""]
    rows = []
    for one in found["prices"]:
        price = one["price"]
        if price is None:
            rows.append([one["model"], None, None, None, None, None, None, ", ".join(one["roles"]), "no price: it is not asked"])
            continue
        rate = price["rate"]
        note = "yours" if one["configured"] else "" if price["verified"] else "not confirmed"
        long = None if price["long_above"] is None else f"{price['long_above'] // 1000}k"
        later = next(iter(price["later"]), None)
        asked = ", ".join(one["roles"])
        rows.append([one["model"], rate["input"], rate["cached"], rate["cache_write"], rate["output"], long, later, asked, note])
    yield from table(head, rows) if rows else ["no model is called that; a model without a price is not asked"]
    yield f"USD for one million tokens, as of {found['as_of']}; llm.roles.*.price goes before this table"


def status_lines(found: Found, ink: Ink = PLAIN) -> Iterator[str]:
    """The advice, the limits, what was used, and who cannot be asked."""
    told = {"normal": "asks as configured", "cheaper": "asks the cheaper model", "off": "asks nobody: the budget is used up"}
    colour = {"normal": "green", "cheaper": "yellow", "off": "red"}[found["advice"]]
    yield f"{ink(told[found['advice']], colour, 'bold')}{' · SIMULATED' if found['simulated'] else ''}"
    rows = [
        [
            one["limit"],
            one["source"] or "all",
            one["period"],
            usd(one["usd"]),
            usd(one["spent"]),
            usd(one["held"]),
            f"{one['used']:.0%}",
        ]
        for one in found["limits"]
    ]
    yield from (f"  {line}" for line in table(["limit", "of", "period", "USD", "spent", "reserved", "used"], rows))
    yield f"  at most {usd(found['per_call'])} USD a call and {found['calls_per_minute']} calls a minute"
    for name, used in found["usage"].items():
        tokens = used["tokens"]
        told_tokens = f"{tokens['input']:,} tokens in ({tokens['cached']:,} cached), {tokens['output']:,} out"
        yield f"  this {name}: {used['calls']} calls, {usd(used['usd'])} USD, {told_tokens}"
    for rest in found["resting"]:
        since = f"after {rest['failures']} failures: {clean(rest['detail'])}"
        yield f"  {ink('resting', 'yellow')} {rest['role']} until {when(rest['until'])} UTC {since}"
    for name, why in found["disabled"].items():
        yield f"  {ink('disabled', 'yellow')} {name}: {clean(why)}"
    for name in found["open"]:
        yield f"  {ink('breaker open', 'yellow')} {name}"


def cost_lines(found: Found, ink: Ink = PLAIN) -> Iterator[str]:
    """A line for each key, the total, and what the decisions brought."""
    if found["by"] == "decision":
        rows = [[one["key"], one["source"], one["calls"], usd(one["usd"]), one["pnl"], one["net"]] for one in found["lines"]]
        yield from table(["decision", "source", "calls", "USD", "P&L", "net"], rows) if rows else ["no call led to a decision"]
    else:
        rows = [_cost(one) for one in [*found["lines"], {**found["total"], "key": "total"}]]
        head = [found["by"], "calls", "USD", "reserved", "lost", "fallbacks", "tokens in", "cached", "out"]
        yield from table(head, rows) if found["lines"] else ["nobody was asked in this time"]
    currency, told = found["currency"], found["realised"]
    if found["earned"]:
        yield ""
        earned = [
            [one["source"], one["model"], one["decisions"], one["pnl"], usd(one["usd"]), one["net"]] for one in found["earned"]
        ]
        yield from table(["source", "model", "closed", f"P&L {currency}", "USD", "net"], earned)
    yield ""
    net = float(told["net"])
    brought = (
        f"{told['decisions']} closed decisions brought {float(told['pnl']):+,.2f} {currency} and cost {usd(told['usd'])} USD"
    )
    yield f"  {brought}: {ink.signed(net, f'{net:+,.2f}' if abs(net) >= 1 else f'{net:+.6f}')}"


def _cost(one: Found) -> list[object]:
    tokens = one["tokens"]
    numbers = [f"{tokens[name]:,}" for name in ("input", "cached", "output")]
    return [one["key"], one["calls"], usd(one["usd"]), usd(one["held"]), one["lost"], one["fallbacks"], *numbers]


def questions_lines(found: Found) -> Iterator[str]:
    """A line for each question, the newest first."""
    head = ["at (UTC)", "id", "source", "symbol", "model", "outcome", "action", "conf.", "fate", "USD", "P&L"]
    rows = [
        [
            when(one["ts"]),
            one["id"],
            one["source"],
            one["symbol"],
            f"{one['provider']}/{one['model']}" if one["model"] else None,
            one["outcome"],
            one["action"],
            None if one["confidence"] is None else f"{one['confidence']:.2f}",
            one["fate"] or one["denial"],
            usd(one["usd"]),
            one["pnl"],
        ]
        for one in found["questions"]
    ]
    yield from table(head, rows) if rows else ["nobody was asked anything yet; try `llm decide SYMBOL`"]


def question_lines(found: Found) -> Iterator[str]:
    """Each question with its texts, then the calls."""
    for one in found["questions"]:
        who = f"{one['source']} asked {one['provider']}/{one['model']} about {one['symbol']}"
        yield clean(f"{when(one['ts'])} UTC  {who}: {one['outcome']}")
        became = f"decision {one['decision'] or '-'}, fate {one['fate'] or '-'}, P&L {one['pnl'] or '-'}"
        yield "  " + clean(f"{became}, template {one['template'] or '-'}")
        for name in ("prompt", "reply", "validation"):
            yield f"--- {name}" if one[name] is not None else f"--- {name}: kept no longer"
            yield from plain(one[name])
        for clamp in one["clamps"]:
            yield from clamped(clamp)
    if found.get("calls"):
        rows = [
            [
                when(one["ts"]),
                f"{one['provider']}/{one['model']}",
                one["state"],
                one["outcome"],
                usd(one["usd"]),
                _millis(one["latency_ms"]),
            ]
            for one in found["calls"]
        ]
        yield from table(["call at (UTC)", "model", "state", "outcome", "USD", "latency"], rows)


def decide_lines(found: Found, ink: Ink = PLAIN, *, texts: bool = False) -> Iterator[str]:
    """The decision or why there is none, then what each model said, with `texts` word for word."""
    made, none = found["decision"], found["abstention"]
    how = "sent to the desk" if found["sent"] else "dry run" if found["dry_run"] else "not sent"
    world = " · SIMULATED" if found["simulated"] else ""
    if made is not None:
        yield f"{ink(made['action'].upper(), 'bold')} {found['symbol']} at confidence {made['confidence']:.2f} ({how}){world}"
        yield from _made(made)
    elif none is not None:
        yield f"{ink('abstains', 'yellow', 'bold')} on {found['symbol']}: {none['reason']}{world}"
        yield f"  {clean(none['detail'])}"
    else:
        yield f"nobody was asked about {found['symbol']}: {clean(found['skipped'])}"
    yield f"  {found['source']}, {usd(found['usd'])} USD"
    for thought in found["thoughts"]:
        rows = [_answer(one) for one in thought["answers"]]
        if rows:
            yield ""
            yield from (f"  {line}" for line in table(["model", "says", "conf.", "USD", "latency", "problem"], rows))
        for one in thought["answers"]:
            for clamp in one["clamps"]:
                yield from clamped(clamp)
        if texts:
            yield f"--- prompt ({thought['template']})"
            yield from plain(thought["prompt"])
            for one in thought["answers"]:
                yield f"--- {clean(one['member'])}"
                yield from plain(one["reply"])


def _made(made: Found) -> Iterator[str]:
    figures = [
        ("price", made["price"]),
        ("stop", made["stop_loss"]),
        ("target", made["take_profit"]),
        ("size", made["size_fraction"]),
    ]
    told = ", ".join(f"{name} {value:g}" for name, value in figures if value is not None)
    yield f"  {told}, stands until {when(made['expires'])} UTC"
    yield f"  {clean(made['reasoning'])}"
    if made["evidence"].get("invalidation"):
        yield f"  wrong if: {clean(str(made['evidence']['invalidation']))}"


def _answer(one: Found) -> list[object]:
    answer, problem = one["answer"], one["problem"]
    return [
        one["member"] + (" (cached)" if one["cached"] else ""),
        None if answer is None else answer["action"],
        None if answer is None else f"{answer['confidence']:.2f}",
        usd(one["usd"]),
        _millis(one["latency_ms"]),
        "" if problem is None else cut(f"{problem['reason']}: {problem['detail']}", _WHY),
    ]
