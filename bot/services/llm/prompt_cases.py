"""Prompt templates: saved in versions, tried on the market as it is, compared, used, and judged by what came of them.

A template that is not saved is a file: a person's own in `prompts/` of the configuration, else the one that comes with the bot.
It counts as version 0.
"""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field

from bot.runtime.jobs import Report, Result
from bot.services.llm.access import minds_of
from bot.services.llm.cost_cases import LAST_MS
from bot.services.llm.figures import usd
from bot.services.llm.kept import kept_of
from bot.services.llm.profits import realised
from bot.services.llm.sources import source_of
from bot.services.running import running
from bot.services.use_case import Arguments, Ground, Missing, UseCase, UseCaseError
from bot.store.errors import StoreUnavailable
from sources.llm.answer import decision_schema, in_words
from sources.llm.asking import Role
from sources.llm.leaks import Guard
from sources.llm.minds import Minds
from sources.llm.params import LlmParams
from sources.llm.prompt_store import PromptError, PromptStore
from sources.llm.prompts.example import example_snapshot
from sources.llm.prompts.files import load, names, shipped_names
from sources.llm.prompts.placeholders import Terms
from sources.llm.prompts.review import Bench, Review, review
from sources.llm.prompts.review import save as keep
from sources.llm.prompts.template import Template, TemplateError, parse
from sources.llm.snapshot import Sight, Snapshot, SnapshotSpec, take
from sources.llm.thinking import limits_in_words

T = TypeVar("T")

_DAY_MS = 86_400_000
_MOST_BODY = 50_000
Name = Field(min_length=1, max_length=64, description="of the template, such as decide")


class ListArgs(Arguments):
    """Which page."""

    limit: int = Field(100, ge=1, le=1_000, description="templates, at most")
    after: str = Field("", max_length=64, description="the last name of the page before")


class PromptArgs(Arguments):
    """Which version of which template."""

    name: str = Name
    version: int | None = Field(None, ge=0, description="0: the file; absent: the one that is used, else the file")
    limit: int = Field(20, ge=1, le=1_000, description="versions told, the newest")


class SaveArgs(Arguments):
    """A new version."""

    name: str = Name
    body: str = Field(min_length=1, max_length=_MOST_BODY, description="the template")
    author: str = Field("operator", min_length=1, max_length=64, description="who wrote it")
    note: str = Field("", max_length=2_000, description="why")
    activate: bool = Field(False, description="use it from now on")


class PreviewArgs(Arguments):
    """What is to be looked at: a text, or a version; on the market of a symbol."""

    name: str = Name
    version: int | None = Field(None, ge=0, description="0: the file; absent: the one that is used, else the file")
    body: str | None = Field(None, max_length=_MOST_BODY, description="a text that is not saved, in the place of a version")
    symbol: str = Field("BTC/USDT", max_length=40, description="whose market, where a bot runs; else a made-up one")
    source: str | None = Field(None, max_length=64, description="a source whose models the cost is estimated for")


class DiffArgs(Arguments):
    """Which two."""

    name: str = Name
    old: int = Field(ge=0, description="version; 0: the file")
    new: int = Field(ge=0, description="version; 0: the file")


class ActivateArgs(Arguments):
    """Which version is to be used."""

    name: str = Name
    version: int = Field(ge=1)
    author: str = Field("operator", min_length=1, max_length=64, description="who says so")


class ResultArgs(Arguments):
    """Whose results, over which time."""

    name: str = Name
    since: int | None = Field(None, ge=0, le=LAST_MS, description="first moment (ms UTC); absent: 90 days back")
    until: int | None = Field(None, ge=0, le=LAST_MS, description="first moment after the last (ms UTC); absent: now")
    limit: int = Field(20, ge=1, le=1_000, description="versions, the newest")


def prompts_folder(ground: Ground) -> Path | None:
    """Where a person's own templates are."""
    directory = ground.loaded.directory
    return None if directory is None else directory / "prompts"


async def prompts(ground: Ground, args: ListArgs, report: Report) -> Result:
    """Templates: files, and those that have versions."""
    del report
    kept = await kept_of(ground)
    saved = {one.name: one for one in await _stored(kept.prompts.names(limit=args.limit, after=args.after))}
    folder = prompts_folder(ground)
    files = shipped_names() if folder is None else names(folder)
    rows = []
    for name in sorted({*saved, *(file for file in files if file > args.after)})[: args.limit]:
        one = saved.get(name)
        rows.append(
            {
                "name": name,
                "newest": None if one is None else one.newest,
                "active": None if one is None else one.active,
                "file": name in files,
                "own_file": folder is not None and (folder / f"{name}.md").is_file(),
            }
        )
    return {"prompts": rows}


async def prompt(ground: Ground, args: PromptArgs, report: Report) -> Result:
    """A version with its text, the versions there are and which was used when."""
    del report
    kept = await kept_of(ground)
    template, about = await _found(ground, kept.prompts, args.name, args.version)
    history = await _stored(kept.prompts.history(args.name, limit=args.limit))
    activations = await _stored(kept.prompts.activations(args.name, limit=args.limit))
    return {
        "name": template.name,
        "version": template.version,
        "hash": template.hash,
        **about,
        "body": template.body,
        "placeholders": sorted(template.placeholders),
        "remarks": list(template.remarks),
        "versions": [
            {"version": one.version, "created": one.created, "author": one.author, "note": one.note, "hash": one.hash}
            for one in history
        ],
        "activations": [{"version": one.version, "at": one.at, "author": one.author} for one in activations],
    }


async def save(ground: Ground, args: SaveArgs, report: Report) -> Result:
    """Keep a text as the next version, if nothing is wrong with it; else `saved` is false and `faults` say what is."""
    del report
    minds = await minds_of(ground)
    found = review(args.name, args.body, _bench(ground, minds, None, None)[0])
    told = _review(found)
    if found.faults:
        return {"saved": False, "name": args.name, "version": None, "active": False} | told
    version = (await _stored(keep(minds.prompts, found, author=args.author, note=args.note))).version
    if args.activate:
        await _stored(minds.prompts.activate(args.name, version, author=args.author))
    return {"saved": True, "name": args.name, "version": version, "active": args.activate} | told


async def preview(ground: Ground, args: PreviewArgs, report: Report) -> Result:
    """A template as it would be sent, what is wrong with it, and what it would cost of each model."""
    del report
    minds = await minds_of(ground)
    if args.body is None:
        template, _ = await _found(ground, minds.prompts, args.name, args.version)
        body, version = template.body, template.version
    else:
        body, version = args.body, None
    bench, live = _bench(ground, minds, args.symbol, args.source)
    found = review(args.name, body, bench)
    shown = found.preview
    return {
        "name": args.name,
        "version": version,
        "symbol": bench.snapshot.symbol,
        "live": live,
        "system": None if shown is None else shown.system,
        "user": None if shown is None else shown.user,
    } | _review(found)


async def diff(ground: Ground, args: DiffArgs, report: Report) -> Result:
    """What changed from one version to another, as a unified diff."""
    del report
    kept = await kept_of(ground)
    (old, _), (new, _) = [await _found(ground, kept.prompts, args.name, version) for version in (args.old, args.new)]
    lines = difflib.unified_diff(old.body.splitlines(), new.body.splitlines(), _label(old), _label(new), lineterm="")
    return {"name": args.name, "old": args.old, "new": args.new, "diff": "".join(f"{line}\n" for line in lines)}


async def activate(ground: Ground, args: ActivateArgs, report: Report) -> Result:
    """Use a version from now on; it is read again before it is."""
    del report
    minds = await minds_of(ground)
    await _found(ground, minds.prompts, args.name, args.version)  # one that cannot be read any more would stop its sources
    await _stored(minds.prompts.activate(args.name, args.version, author=args.author))
    return {"name": args.name, "active": args.version}


async def results(ground: Ground, args: ResultArgs, report: Report) -> Result:
    """How the versions of a template have done."""
    del report
    until = ground.now() + 1 if args.until is None else args.until
    since = max(0, until - 90 * _DAY_MS) if args.since is None else args.since
    kept = await kept_of(ground)
    pnl = await realised(ground.loaded.settings.database_url, since, until)
    found = await _stored(kept.prompts.results(args.name, since, until, pnl=pnl, limit=args.limit))
    rows = [
        {
            "version": one.version,
            "asked": one.asked,
            "decided": one.decided,
            "outcomes": dict(one.outcomes),
            "clamped": one.clamped,
            "usd": usd(one.usd),
            "closed": one.closed,
            "wins": one.wins,
            "win_rate": one.wins / one.closed if one.closed else None,
            "pnl": usd(one.pnl),
            "net": usd(one.pnl - one.usd),
        }
        for one in found
    ]
    return {"name": args.name, "since": since, "until": until, "results": rows}


async def _found(ground: Ground, prompts: PromptStore, name: str, version: int | None) -> tuple[Template, dict[str, object]]:
    """A version, 0 being the file, None the one that is used; and who wrote it when. `Missing` if there is none."""
    try:
        if version != 0:
            try:
                saved = await prompts.get(name, version)
            except PromptError as error:
                if version is not None:
                    raise Missing(str(error)) from error
            else:
                about = {"created": saved.created, "author": saved.author, "note": saved.note}
                return parse(name, saved.body, saved.version), about
        folder = prompts_folder(ground)
        there = shipped_names() if folder is None else names(folder)
        if name not in there:
            message = f"no template is called {name!r}; there are {', '.join(there)}"
            raise Missing(message)
        return load(name, folder), {"created": None, "author": "", "note": ""}
    except (PromptError, TemplateError, StoreUnavailable) as error:
        raise UseCaseError(str(error)) from error


async def stored_template(ground: Ground, minds: Minds, name: str, version: int) -> Template:
    """A version of a template, 0 being the file. `Missing` if there is none."""
    return (await _found(ground, minds.prompts, name, version))[0]


def _label(template: Template) -> str:
    return f"{template.name}@{template.version}" if template.version else f"{template.name} (file)"


def _bench(ground: Ground, minds: Minds, symbol: str | None, source: str | None) -> tuple[Bench, bool]:
    """What a template is tried on: the market of the running bot where there is one, else a made-up one; whether it is live."""
    params = LlmParams() if source is None else source_of(ground, source)[1]
    snapshot = None if symbol is None else _live(ground, symbol, params.timeframes)
    shown = snapshot or example_snapshot(symbol or "BTC/USDT")
    schema = decision_schema((shown.symbol,))
    models = [one.model for one in minds.router.candidates(Role.DECISION)]
    guard = Guard(value for value in ground.secrets.values() if value)
    terms = Terms(in_words(schema), limits_in_words(params.bounds))
    output = params.max_output_tokens
    return Bench(shown, terms, schema, ground.now(), models, minds.router.scale, output, guard), snapshot is not None


def _live(ground: Ground, symbol: str, timeframes: Sequence[str]) -> Snapshot | None:
    """The snapshot of now, None where no bot runs or it does not know the symbol."""
    bot = running(ground)
    if bot is None or bot.port.view.price(symbol) is None:
        return None
    known = tuple(bot.port.view.candles.get(symbol, {}))
    shown = tuple(one for one in timeframes if one in known) or known
    return take(Sight(symbol, bot.port.view, bot.port.briefing(), shown), SnapshotSpec())


def _review(found: Review) -> dict[str, object]:
    return {
        "faults": list(found.faults),
        "remarks": list(found.remarks),
        "placeholders": sorted(found.placeholders),
        "tokens": found.tokens,
        "stable_tokens": found.stable_tokens,
        "estimates": [{"model": str(one.model), "tokens": one.prompt_tokens, "usd": usd(one.usd)} for one in found.estimates],
    }


async def _stored(asking: Awaitable[T]) -> T:
    """What the store says; what it cannot do is one line."""
    try:
        return await asking
    except (PromptError, TemplateError, StoreUnavailable) as error:
        raise UseCaseError(str(error)) from error


CASES: tuple[UseCase[Any], ...] = (
    UseCase("llm.prompts", "The prompt templates.", ListArgs, prompts, quick=True, reads=True),
    UseCase("llm.prompt", "One prompt template, with its versions.", PromptArgs, prompt, quick=True, reads=True),
    UseCase("llm.prompt-save", "Save a text as the next version of a template.", SaveArgs, save, quick=True),
    UseCase("llm.prompt-preview", "A template as it would be sent, and what it would cost.", PreviewArgs, preview, quick=True),
    UseCase("llm.prompt-diff", "What changed between two versions.", DiffArgs, diff, quick=True, reads=True),
    UseCase("llm.prompt-activate", "Use a version from now on.", ActivateArgs, activate, quick=True),
    UseCase("llm.prompt-results", "How the versions of a template have done.", ResultArgs, results, quick=True, reads=True),
)
