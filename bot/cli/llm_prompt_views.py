"""What the `llm prompt` commands show a person: aligned text; templates and prompts without control marks."""

from __future__ import annotations

from collections.abc import Iterator

from bot.cli.llm_views import Found, plain, usd
from bot.cli.output import table
from bot.cli.qc_views import when
from bot.cli.screen import PLAIN, Ink, clean


def prompts_lines(found: Found) -> Iterator[str]:
    """A line for each template."""
    rows = [
        [
            one["name"],
            "the file" if one["active"] is None else f"version {one['active']}",
            one["newest"],
            "yours" if one["own_file"] else "shipped" if one["file"] else "none",
        ]
        for one in found["prompts"]
    ]
    yield from table(["template", "used", "newest", "file"], rows)


def prompt_lines(found: Found) -> Iterator[str]:
    """The text, then its versions."""
    which = f"version {found['version']}" if found["version"] else "the file"
    by = f", by {clean(found['author'])}: {clean(found['note'])}" if found["author"] else ""
    yield f"{found['name']}, {which}{by}"
    yield from (line.removeprefix("  ") for line in plain(found["body"]))
    used = {one["version"]: one["at"] for one in reversed(found["activations"])}
    rows = [
        [
            one["version"],
            when(one["created"]),
            one["author"],
            when(used[one["version"]]) if one["version"] in used else "-",
            one["note"],
        ]
        for one in found["versions"]
    ]
    if rows:
        yield ""
        yield from table(["version", "saved (UTC)", "by", "used since", "note"], rows)


def preview_lines(found: Found, ink: Ink = PLAIN) -> Iterator[str]:
    """Faults, or the prompt and what it would cost."""
    if found["faults"]:
        yield from _faults(found, ink)
        return
    whose = "the market of now" if found["live"] else "a made-up market"
    yield ink(f"--- system ({found['name']} on {whose})", "bold")
    yield from plain(found["system"])
    yield ink("--- user", "bold")
    yield from plain(found["user"])
    yield ""
    yield from _weighed(found, ink)


def saved_lines(found: Found, ink: Ink = PLAIN) -> Iterator[str]:
    """What was saved, or why it was not."""
    if not found["saved"]:
        yield f"{ink('not saved', 'red', 'bold')}: {found['name']}"
        yield from _faults(found, ink)
        return
    used = "used from now on" if found["active"] else f"not used yet: llm prompt activate {found['name']} {found['version']}"
    yield f"{ink('saved', 'green', 'bold')} {found['name']} version {found['version']}, {used}"
    yield from _weighed(found, ink)


def _faults(found: Found, ink: Ink) -> Iterator[str]:
    yield from (f"  {ink('fault', 'red')} {clean(fault)}" for fault in found["faults"])


def _weighed(found: Found, ink: Ink) -> Iterator[str]:
    yield from (f"  {ink('remark', 'yellow')} {clean(remark)}" for remark in found["remarks"])
    yield f"  about {found['tokens']:,} tokens, {found['stable_tokens']:,} of them stable"
    rows = [
        [one["model"], f"{one['tokens']:,}", "no price" if one["usd"] is None else usd(one["usd"])] for one in found["estimates"]
    ]
    yield from (f"  {line}" for line in table(["model", "tokens", "USD at most"], rows))


def diff_lines(found: Found, ink: Ink = PLAIN) -> Iterator[str]:
    """The unified diff, coloured as such."""
    colours = {"+": "green", "-": "red", "@": "cyan"}
    lines = found["diff"].splitlines()
    for line in lines:
        told = "".join(mark if mark.isprintable() else " " for mark in line)
        yield ink(told, colours[told[0]]) if told[:1] in colours else told
    if not lines:
        yield "nothing changed"


def results_lines(found: Found) -> Iterator[str]:
    """A line for each version, the newest first."""
    head = ["version", "asked", "decided", "clamped", "USD", "closed", "won", "P&L", "net", "what became of the rest"]
    rows = []
    for one in found["results"]:
        rest = ", ".join(f"{name} {number}" for name, number in one["outcomes"].items() if name != "decided")
        won = None if one["win_rate"] is None else f"{one['win_rate']:.0%}"
        version = one["version"] or "file"
        rows.append(
            [
                version,
                one["asked"],
                one["decided"],
                one["clamped"],
                usd(one["usd"]),
                one["closed"],
                won,
                one["pnl"],
                one["net"],
                rest,
            ]
        )
    yield from table(head, rows) if rows else ["nothing was asked with this template in this time"]
