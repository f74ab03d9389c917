"""Running drills: several at a time, each in a folder of its own, which stays only if its promise was broken."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog

from bot.drill.child import BotEnded
from bot.drill.drill import Drill, Result
from bot.drill.ledger import Unreadable
from bot.drill.rig import Broken, Ground
from bot.drill.waiting import NeverHappened

log = structlog.get_logger(__name__)

_DETAIL = 900
_MOST_AT_ONCE = 4


def _at_once() -> int:
    """A bot keeps a core busy for the two seconds of its start, and waits most of the time after that."""
    return max(1, min(_MOST_AT_ONCE, (os.cpu_count() or 1) + 1))


@dataclass(slots=True)
class Running:
    """Plays drills and tells of each when it `began` and `ended`. `database` as in `Ground`."""

    drills: Sequence[Drill]
    database: str | None = None
    began: Callable[[Drill], None] = lambda drill: None
    ended: Callable[[Result], None] = lambda result: None
    entry: Sequence[str] = ("-m", "bot")
    at_once: int = field(default_factory=_at_once)

    async def run(self) -> list[Result]:
        """The results, in the order of the drills. Whatever ends it, no process and no folder of a kept promise stays."""
        root = Path(tempfile.mkdtemp(prefix="arbiter-drill-"))
        ground = Ground(root, self.database, self.entry)
        turns = asyncio.Semaphore(self.at_once)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._play(drill, ground, turns), name=drill.name) for drill in self.drills]
        except BaseException:
            shutil.rmtree(root, ignore_errors=True)
            raise
        results = [task.result() for task in tasks]
        if all(result.kept for result in results):
            shutil.rmtree(root, ignore_errors=True)
        return results

    async def _play(self, drill: Drill, ground: Ground, turns: asyncio.Semaphore) -> Result:
        async with turns:
            self.began(drill)
            start = time.monotonic()
            place = ground.root / drill.name
            place.mkdir()
            kept, detail = await attempt(drill, replace(ground, root=place))
            if kept:
                shutil.rmtree(place, ignore_errors=True)
            else:
                detail = f"{detail[:_DETAIL]} (see {place})"
            result = Result(drill.promise, drill.name, kept, detail, time.monotonic() - start)
            self.ended(result)
            return result


async def attempt(drill: Drill, ground: Ground) -> tuple[bool, str]:
    """Whether the promise was kept, and what was seen."""
    try:
        async with asyncio.timeout(drill.seconds):
            return True, await drill.play(ground)
    except (Broken, NeverHappened, BotEnded, Unreadable) as broken:
        return False, str(broken)
    except TimeoutError:
        return False, f"it was not over after {drill.seconds:g} s"
    except Exception as error:
        log.warning("drill_failed", drill=drill.name, error=type(error).__name__, exc_info=True)
        return False, f"{type(error).__name__}: {error}"
