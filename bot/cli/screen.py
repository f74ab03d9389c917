"""What a person sees of a run: a banner, a line for each decision, fill and minute, a table at the end.

Pure: every function turns facts into lines of text. Colour is a matter of `Ink`; off a terminal it writes none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from bot.core.decision import Fate
from bot.core.facts import (
    AccountReconciled,
    DecisionFate,
    DecisionSeen,
    Fact,
    FillBooked,
    HealthChanged,
    OverrideClosed,
    RiskChanged,
    Verdict,
)
from bot.settings import BannerFacts, MinuteFacts, RunMode, RunSummary, SourceFacts

WIDTH = 110
BANNER_LINES = 25
_CODES = {"bold": 1, "dim": 2, "red": 31, "green": 32, "yellow": 33, "blue": 34, "magenta": 35, "cyan": 36}


@dataclass(frozen=True, slots=True)
class Ink:
    """Paints text, or leaves it alone."""

    colour: bool = False

    def __call__(self, text: str, *styles: str) -> str:
        """The text in these styles."""
        if not self.colour or not styles:
            return text
        return f"\x1b[{';'.join(str(_CODES[style]) for style in styles)}m{text}\x1b[0m"

    def signed(self, value: float | Decimal, text: str) -> str:
        """Green above zero, red below; the text carries its sign by itself."""
        return self(text, "green") if value > 0 else self(text, "red") if value < 0 else text


PLAIN = Ink()


def badge(mode: RunMode, simulated: bool) -> str:
    """The word nobody may miss."""
    word = "LIVE: REAL MONEY" if mode is RunMode.LIVE else "PAPER" if mode is RunMode.PAPER else "DEMO"
    return f"[ {word} · SIMULATED ]" if simulated else f"[ {word} ]"


def banner(facts: BannerFacts, ink: Ink = PLAIN) -> list[str]:
    """At most 25 lines: what trades, with what, under which limits, where it is kept, and how to stop it."""
    style = ("red", "bold") if facts.mode is RunMode.LIVE else ("magenta", "bold") if facts.simulated else ("cyan", "bold")
    head = [
        f"{ink('Arbiter', 'bold')} {facts.version}   {ink(badge(facts.mode, facts.simulated), *style)}   run {facts.run}",
        _row("balance", f"{money(facts.balance)} {facts.currency}, fees {facts.fees}"),
        _row("market", f"{facts.venue}: {facts.market_data}"),
        _row("symbols", cut(", ".join(facts.symbols), WIDTH - 12)),
    ]
    tail = [
        _row("limits", cut(" · ".join(f"{name} {value}" for name, value in facts.limits.items()), 2 * WIDTH)),
        *(_row(name, value) for name, value in facts.paths.items()),
        *(_row("notice", ink(text, "yellow")) for text in facts.notices),
        _row("stop", "Ctrl-C ends the run · `python -m bot kill --flatten` closes every position and halts"),
    ]
    room = BANNER_LINES - len(head) - len(tail)
    if room < 1:
        del tail[BANNER_LINES - len(head) - 2 : -1]
        room = 1
    return [*head, *_source_rows(facts.sources, room, ink), *tail]


def _source_rows(sources: Sequence[SourceFacts], room: int, ink: Ink) -> list[str]:
    """One line per source, those that are on first; what does not fit is counted."""
    if not sources:
        return [_row("sources", ink("none: nothing will be traded", "yellow"))]
    ordered = sorted(sources, key=lambda source: not source.on)
    shown = ordered if len(ordered) <= room else ordered[: room - 1]
    rows = []
    for number, source in enumerate(shown):
        state = ink("on ", "green") if source.on else ink("off", "dim")
        why = f"  {source.why}" if source.why else ""
        rows.append(_row("sources" if number == 0 else "", f"{state} {source.name:<28} {source.tier:<12}{cut(why, WIDTH - 58)}"))
    if len(shown) < len(ordered):
        rest = ordered[len(shown) :]
        on = sum(source.on for source in rest)
        rows.append(_row("" if shown else "sources", f"and {len(rest)} more ({on} on, {len(rest) - on} off)"))
    return rows


def _row(name: str, text: str) -> str:
    return f"  {name:<9} {text}".rstrip()


def fact_line(fact: Fact, ink: Ink = PLAIN) -> str | None:
    """The line of a fact, None for one that needs none (the journal has them all)."""
    draw = _LINES.get(type(fact))
    return None if draw is None else draw(fact, ink)


def _seen(fact: DecisionSeen, ink: Ink) -> str:
    decision = fact.decision
    why = f"  {clean(decision.reasoning)}" if decision.reasoning else ""
    return _line(
        fact.at,
        "decision",
        f"{decision.source} says {ink(decision.action.value.upper(), 'bold')} {decision.symbol} at {price(decision.price)}, "
        f"confidence {decision.confidence:.2f}{why}",
        ink,
        "blue",
    )


def _fate(fact: DecisionFate, ink: Ink) -> str | None:
    if fact.fate is Fate.SUPERSEDED:
        return None
    name = f"{fact.fate.value} ({fact.denial.value})" if fact.denial else fact.fate.value
    why = f": {clean(fact.reason)}" if fact.reason else ""
    style = "green" if fact.fate is Fate.EXECUTED else "yellow" if fact.denial else "dim"
    return _line(fact.at, "fate", f"{fact.source} {fact.symbol} {ink(name, style)}{why}", ink, "dim")


def _verdict(fact: Verdict, ink: Ink) -> str:
    overruled = f", overruling {len(fact.outranked)}" if fact.outranked else ""
    target, held = amount(fact.target), amount(fact.position)
    text = f"{fact.symbol}: {fact.source} wins{overruled} ({clean(fact.reason)}); target {target}, held {held}"
    return _line(fact.at, "verdict", text, ink, "magenta" if fact.outranked else "cyan")


def _fill(fact: FillBooked, ink: Ink) -> str:
    fill = fact.fill
    realised = f", realised {ink.signed(fact.realised, signed(fact.realised))}" if fact.realised else ""
    text = (
        f"{fill.side.value} {amount(fill.amount)} {fill.symbol} at {price(float(fill.price))}, fee {fact.fee_value:.4f}{realised}"
    )
    return _line(fact.at, "fill", f"{text}  ({fact.source})", ink, "green")


def _override(fact: OverrideClosed, ink: Ink) -> str:
    verb = "cost" if fact.cost > 0 else "saved"
    text = f"overruling {fact.loser} for {fact.winner} on {fact.symbol} {verb} {abs(fact.cost):.2f}"
    return _line(fact.at, "override", ink.signed(-fact.cost, text), ink, "magenta")


def _risk(fact: RiskChanged, ink: Ink) -> str:
    return _line(
        fact.at,
        "risk",
        ink(f"{fact.state.value.upper()} by {clean(fact.actor)}: {clean(fact.reason)}", "yellow", "bold"),
        ink,
        "yellow",
    )


def _account(fact: AccountReconciled, ink: Ink) -> str | None:
    if fact.unexplained:
        found = ink(f"unexplained: {clean('; '.join(fact.unexplained))}", "red", "bold")
    elif not fact.complete:
        found = ink(f"not read: {clean('; '.join(fact.notes))}", "yellow", "bold")
    else:
        told = [f"{count(fact.orders, 'order')} open", *([f"{count(fact.fills, 'fill')} found"] if fact.fills else ())]
        found = "; ".join([*told, *map(clean, fact.notes)])
    return _line(fact.at, "account", found, ink, "yellow")


def _health(fact: HealthChanged, ink: Ink) -> str:
    detail = f": {clean(fact.detail)}" if fact.detail else ""
    return _line(fact.at, "market", f"{fact.symbol} is {fact.health.value}{detail}", ink, "yellow")


_LINES: Mapping[type, Callable[..., str | None]] = {
    DecisionSeen: _seen,
    DecisionFate: _fate,
    Verdict: _verdict,
    FillBooked: _fill,
    OverrideClosed: _override,
    RiskChanged: _risk,
    AccountReconciled: _account,
    HealthChanged: _health,
}


def minute_line(facts: MinuteFacts, ink: Ink = PLAIN) -> str:
    """The last minute in one line."""
    state = "" if facts.state == "active" else f" · {facts.state.upper()}"
    earned = ink.signed(facts.pnl, signed(facts.pnl))
    text = (
        f"equity {money(facts.equity)} {facts.currency} ({earned}) · drawdown {facts.drawdown:.2%} · "
        f"{count(facts.positions, 'position')} · {count(facts.market_events, 'event')}, {count(facts.decisions, 'decision')}, "
        f"{count(facts.orders, 'order')}, {count(facts.fills, 'fill')}{state}"
    )
    return _line(facts.at, "minute", text, ink, "bold")


def notice_line(at: int, text: str, ink: Ink = PLAIN) -> str:
    """Something a person should read."""
    return _line(at, "notice", ink(text, "yellow"), ink, "yellow")


def summary_table(facts: RunSummary, ink: Ink = PLAIN) -> list[str]:
    """How the run went."""
    pnl = facts.equity_end - facts.equity_start
    seconds = max(0, facts.ended - facts.started) / 1000
    fates = " · ".join(f"{name} {number}" for name, number in sorted(facts.decisions_by_fate.items(), key=lambda pair: -pair[1]))
    latency = " · ".join(f"{name} {value:.3f} ms" for name, value in facts.latency_ms.items())
    start, end = money(facts.equity_start), money(facts.equity_end)
    rows = [
        f"{ink('Run ' + facts.run, 'bold')} {badge(facts.mode, facts.simulated)} ended after {seconds:.0f} s",
        _row("equity", f"{start} -> {end} {facts.currency}, {ink.signed(pnl, signed(pnl))}, fees {facts.fees:.4f}"),
        _row(
            "traded",
            f"{count(facts.orders, 'order')}, {count(facts.fills, 'fill')}, {count(facts.market_events, 'market event')}",
        ),
        _row("decisions", f"{sum(facts.decisions_by_source.values())}: {fates}" if fates else "none"),
        *([_row("latency", latency)] if latency else []),
        *_source_table(facts, ink),
    ]
    if facts.halted or facts.reason:
        rows.append(_row("ended", ink(f"{'halted by risk: ' if facts.halted else ''}{facts.reason}", "yellow")))
    return rows


def _source_table(facts: RunSummary, ink: Ink) -> Iterable[str]:
    names = dict.fromkeys([*facts.decisions_by_source, *facts.pnl, *facts.shadow_pnl])
    if not names:
        return
    wide = max(6, *(len(name) for name in names))
    yield f"  {'source':<{wide}} {'decisions':>10} {'P&L':>14} {'shadow P&L':>14}"
    for name in names:
        pnl, shadow = facts.pnl.get(name, Decimal(0)), facts.shadow_pnl.get(name, Decimal(0))
        earned, alone = ink.signed(pnl, f"{signed(pnl):>14}"), ink.signed(shadow, f"{signed(shadow):>14}")
        yield f"  {name:<{wide}} {facts.decisions_by_source.get(name, 0):>10} {earned} {alone}"


def _line(at: int, kind: str, text: str, ink: Ink, style: str) -> str:
    return f"{ink(clock(at), 'dim')} {ink(f'{kind:<8}', style)} {' '.join(text.split())}"


def clock(at: int) -> str:
    """Time of day in UTC."""
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%H:%M:%S")


def money(value: float | Decimal) -> str:
    """Two digits after the point, thousands apart."""
    return f"{value:,.2f}"


def signed(value: float | Decimal) -> str:
    """Money with its sign."""
    return f"{value:+,.2f}"


def price(value: float) -> str:
    """A price with as many digits as it deserves."""
    return f"{value:,.2f}" if abs(value) >= 100 else f"{value:.6g}"


def amount(value: Decimal) -> str:
    """An amount without trailing zeros."""
    return f"{value.normalize():f}" if value else "0"


def count(number: int, noun: str) -> str:
    """`1 fill`, `2 fills`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def clean(text: str) -> str:
    """Text from outside on one line, without anything that could command the terminal."""
    return " ".join("".join(mark if mark.isprintable() else " " for mark in text).split())


def cut(text: str, width: int) -> str:
    """The text, or as much as fits and an ellipsis."""
    return text if len(text) <= width else f"{text[: max(0, width - 1)]}…"
