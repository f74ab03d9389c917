"""Reports: tear sheets of recorded runs, built one at a time by a process of its own, so that pages stay quick meanwhile."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from asyncio.subprocess import DEVNULL, PIPE
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from bot.settings import Loaded
from bot.web.problems import Problem, not_found

log = structlog.get_logger(__name__)

FOLDER = "reports"
_NAME = re.compile(r"report-([0-9A-Za-z-]{1,64})\.html")
_BUILD_SECONDS = 900.0
# Behind the desk, and behind the control room, which a report would otherwise leave half of what the desk leaves.
_POLITENESS = 15
_SAID = 400


@dataclass(frozen=True, slots=True)
class Report:
    """One tear sheet: `state` is building, ready or failed; `at` in ms UTC, `bytes` of the file, `error` why it failed."""

    run: str
    state: str
    at: int
    bytes: int = 0
    error: str = ""


@dataclass(slots=True)
class Reports:
    """The reports of a data directory, and the one that is being built."""

    loaded: Loaded
    _building: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _failed: dict[str, Report] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where they are."""
        return self.loaded.settings.bot.data_dir / FOLDER

    def all(self, now: int) -> list[Report]:
        """Those there are, the newest first, after what is being built."""
        building = [Report(run, "building", now) for run in self._building]
        failed = [report for run, report in self._failed.items() if run not in self._building]
        ready = []
        if self.folder.is_dir():
            for path in self.folder.iterdir():
                found = _NAME.fullmatch(path.name)
                if found is not None and found[1] not in self._building:
                    told = path.stat()
                    ready.append(Report(found[1], "ready", int(told.st_mtime * 1_000), told.st_size))
        return building + sorted([*ready, *failed], key=lambda each: each.at, reverse=True)

    def path(self, run: str) -> Path:
        """The file of a run's report; `Problem` 404 if there is none."""
        path = self.folder / f"report-{run}.html"
        if _NAME.fullmatch(path.name) is None or not path.is_file():
            raise not_found(f"there is no report of the run {run!r} here; build it first")
        return path

    def build(self, run: str, now: int) -> Report:
        """Begin; `Problem` 409 while another one is being built."""
        if self._building:
            other = next(iter(self._building))
            if other == run:
                return Report(run, "building", now)
            raise Problem(409, "Busy", f"the report of {other} is being built; one at a time")
        self._failed.pop(run, None)
        task = self._building[run] = asyncio.create_task(self._live(run, now), name=f"report {run}")
        task.add_done_callback(lambda _: self._building.pop(run, None))
        return Report(run, "building", now)

    async def close(self) -> None:
        """End what is being built."""
        tasks = list(self._building.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _live(self, run: str, now: int) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        out = self.folder / f"report-{run}.html"
        config = [] if self.loaded.directory is None else ["--config", str(self.loaded.directory)]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "bot", "report", "--run", run, "--out", str(out), *config),
            env=self._environment(),
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=PIPE,
        )
        with suppress(ProcessLookupError):
            os.setpriority(os.PRIO_PROCESS, process.pid, _POLITENESS)
        try:
            async with asyncio.timeout(_BUILD_SECONDS):
                _, said = await process.communicate()
        except BaseException as error:
            process.kill()
            await process.wait()
            if isinstance(error, TimeoutError):
                self._fail(run, now, f"it took longer than {_BUILD_SECONDS:g} s")
                return
            raise
        if process.returncode != 0:
            lines = said.decode(errors="replace").strip().splitlines()
            self._fail(run, now, (lines[-1] if lines else f"it ended with code {process.returncode}")[:_SAID])

    def _environment(self) -> dict[str, str]:
        settings = self.loaded.settings
        place = {"ARBITER_BOT__DATA_DIR": str(settings.bot.data_dir.absolute())}
        if settings.journal.url is not None:
            place["ARBITER_JOURNAL__URL"] = settings.journal.url
        return {**os.environ, **place}

    def _fail(self, run: str, now: int, why: str) -> None:
        log.warning("report_failed", run=run, reason=why)
        self._failed[run] = Report(run, "failed", now, error=why.removeprefix("error: "))
