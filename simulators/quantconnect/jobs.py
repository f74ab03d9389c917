"""Worker processes as the server holds them: started, listened to line by line, spoken to, and killed when their time is over."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator, Coroutine, Mapping
from pathlib import Path
from typing import Any

import orjson
import structlog

log = structlog.get_logger(__name__)

_ROOT = Path(__file__).resolve().parents[2]
_MAX_LINE = 64 << 20
_PATIENCE = 5.0


class WorkerDied(Exception):  # noqa: N818 - it says what happened
    """The process ended without a result; the message says how."""


class Worker:
    """One process of `simulators.quantconnect.worker`. Its environment is empty but for where the code is."""

    def __init__(self, job: Mapping[str, object]) -> None:
        self._job = job
        self._process: asyncio.subprocess.Process | None = None

    async def messages(self) -> AsyncGenerator[dict[str, Any], None]:
        """Start it and give what it tells, until it ends. `WorkerDied` when that was not of its own will.

        Whoever stops listening, even while it is being started, leaves no process behind.
        """
        process = await self._started()
        assert process.stdout is not None
        assert process.stderr is not None
        trouble = asyncio.create_task(_tail(process.stderr), name="quantconnect-worker-errors")
        try:
            self.send(self._job)
            while line := await process.stdout.readline():
                yield orjson.loads(line)
            code = await asyncio.wait_for(process.wait(), _PATIENCE)
            if code:
                words = (await trouble).decode(errors="replace").strip().rpartition("\n")[2]
                message = f"Algorithm process ended with code {code}: {words or 'out of time or memory'}"
                raise WorkerDied(message)
        finally:
            await self._buried()
            trouble.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await trouble

    async def _started(self) -> asyncio.subprocess.Process:
        """The process. A start that is interrupted is let come to its end, since only then is there something to kill."""
        starting = asyncio.create_task(self._start(), name="quantconnect-worker-start")
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            await asyncio.wait([starting], timeout=_PATIENCE)
            if not starting.done():
                starting.cancel()
            elif not starting.cancelled() and starting.exception() is None:
                await self._buried()
            raise

    async def _start(self) -> asyncio.subprocess.Process:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "simulators.quantconnect.worker",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env={"PYTHONPATH": str(_ROOT), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"},
            limit=_MAX_LINE,
        )  # fmt: skip
        return self._process

    async def _buried(self) -> None:
        """Kill it and wait until the system has forgotten it."""
        self.kill()
        assert self._process is not None
        await self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()

    def send(self, body: Mapping[str, object]) -> bool:
        """Write a line to it; False when there is nobody to read."""
        process = self._process
        if process is None or process.stdin is None or process.returncode is not None or process.stdin.is_closing():
            return False
        process.stdin.write(orjson.dumps(body) + b"\n")
        return True

    def kill(self) -> None:
        """End it now."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()


def cancel(task: asyncio.Task[None] | None) -> None:
    """Cancel a job's task, once: a second time would interrupt the wait for the end of its process."""
    if task is not None and not task.cancelling():
        task.cancel()


async def _tail(stream: asyncio.StreamReader) -> bytes:
    """The last of what is written to a stream."""
    kept = b""
    while chunk := await stream.read(4_096):
        kept = (kept + chunk)[-2_000:]
    return kept


class Crew:
    """Owns the tasks of running jobs: each is awaited in `close`, at the latest. What one dies of is logged and counted."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self.failures = 0

    def start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Begin a piece of work."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def close(self) -> None:
        """Cancel what still runs, and wait for it."""
        tasks = list(self._tasks)
        for task in tasks:
            cancel(task)
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (problem := task.exception()) is not None:
            self.failures += 1
            log.error("job_died", task=task.get_name(), problem=repr(problem))
