"""What a use case is about to change, looked at before and after; and which use cases only look.

Whatever cannot be seen is null: the audit hinders nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

import structlog

from bot.services.running import running
from bot.services.use_case import Ground

log = structlog.get_logger(__name__)

Args = Mapping[str, object]
View = Callable[[Ground, Args], Awaitable[object]]

_SECONDS = 1.0

LOOKS = frozenset(
    {
        "qc.test", "qc.projects", "qc.algorithms", "qc.algorithm", "qc.signals", "qc.nodes", "qc.backtests", "qc.backtest-result",
        "qc.compare", "qc.estimate", "qc.status", "qc.signal",
        "llm.test", "llm.models", "llm.status", "llm.prompt-preview",
        "config.secrets",
        "market.symbols", "market.candles",
        "monitor.errors", "monitor.error-trend", "monitor.components", "monitor.latencies", "monitor.database",
        "monitor.providers", "notify.channels",
        "desk.queue", "desk.sources", "desk.positions",
        "risk.state", "risk.assess", "risk.validate", "risk.size",
    }
)  # fmt: skip
"""Use cases that change nothing, though not every process can perform them by itself."""


def looks(name: str, args: Args) -> bool:
    """Whether a use case that does not say so of itself only looks with these arguments."""
    return name in LOOKS or (name == "learning.feedback" and args.get("opined") is None)


async def seen(ground: Ground, name: str, args: Args) -> object:
    """What the use case is about, as it is now, in plain JSON; null where that is not known within a second."""
    view = _VIEWS.get(name)
    if view is None:
        return None
    try:
        async with asyncio.timeout(_SECONDS):
            return await view(ground, args)
    except Exception as error:  # noqa: BLE001 - what the audit cannot see must not hinder what it is about
        log.warning("audit_view_failed", use_case=name, error=str(error) or type(error).__name__)
        return None


def told(result: Mapping[str, object] | None) -> tuple[object, object]:
    """What an answer itself says of before and after: `before` and `after`, or `changes` with both by `key`."""
    if result is None:
        return None, None
    changes = result.get("changes")
    if isinstance(changes, list):
        rows = [row for row in changes if isinstance(row, Mapping) and "key" in row]
        before, after = ({str(row["key"]): row.get(when) for row in rows} for when in ("before", "after"))
        return (before, after) if rows else (None, None)
    return result.get("before"), result.get("after")


async def _learning(ground: Ground, args: Args) -> object:
    """What was decided about a source, and from which confidence on it is heard."""
    from bot.services.learning.answers import source_state_json  # noqa: PLC0415 - only where somebody changes it
    from bot.services.learning.opening import calibration_of, named  # noqa: PLC0415

    source = str(args.get("source"))
    states = await (await calibration_of(ground)).states()
    state = states.get(named(source, simulated=ground.simulated))
    bot = running(ground)
    spec = None if bot is None or bot.host is None else bot.host.specs.get(source)
    return {
        "threshold": None if spec is None else spec.threshold,
        **({"frozen": False, "maps": []} if state is None else source_state_json(state)),
    }


async def _prompt(ground: Ground, args: Args) -> object:
    """The version of a template that is used, and the newest; 0 is the file."""
    from bot.services.llm.access import minds_of  # noqa: PLC0415 - only where somebody changes it

    prompts = (await minds_of(ground)).prompts
    name = str(args.get("name"))
    used, saved = await prompts.activations(name, limit=1), await prompts.history(name, limit=1)
    return {"active": used[0].version if used else 0, "newest": saved[0].version if saved else 0}


_VIEWS: Mapping[str, View] = MappingProxyType(
    {
        "learning.freeze": _learning,
        "learning.unfreeze": _learning,
        "learning.reset": _learning,
        "llm.prompt-save": _prompt,
        "llm.prompt-activate": _prompt,
    }
)
