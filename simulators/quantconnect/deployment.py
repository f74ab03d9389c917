"""One live algorithm: a process that runs in real time, the states it goes through, and the snapshot that reads come from."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
import structlog

from simulators.quantconnect.backtests import MAX_LOGS, job_of, save
from simulators.quantconnect.faults import LiveStuck
from simulators.quantconnect.jobs import Worker, WorkerDied, cancel
from simulators.quantconnect.webhooks import Letter
from simulators.quantconnect.world import Compile, Project, Row, World, blank

log = structlog.get_logger(__name__)

PATH = ("InQueue", "LoggingIn", "Initializing", "History")
ENDED = frozenset(("DeployError", "Stopped", "Liquidated", "Deleted", "Completed", "RuntimeError", "Invalid"))
_MAX_INSIGHTS = 100_000
_MAX_ORDERS = 100_000
_WATCH_SECONDS = 0.25
_ENDING_SECONDS = 3.0


@dataclass(slots=True)
class Books:
    """What a live algorithm has done so far."""

    insights: dict[str, Row] = field(default_factory=dict)
    orders: dict[int, Row] = field(default_factory=dict)
    trades: list[Row] = field(default_factory=list)
    logs: list[str] = field(default_factory=list)
    portfolio: Row = field(default_factory=lambda: {"holdings": {}, "cash": {}})
    runtime: Row = field(default_factory=dict)
    charts: Row = field(default_factory=dict)
    equity: float = 0.0
    security_types: str = ""

    def copied(self) -> Books:
        """As it is now; rows are replaced, never changed."""
        made = copy.copy(self)
        made.insights, made.orders = dict(self.insights), dict(self.orders)
        made.trades, made.logs = list(self.trades), list(self.logs)
        return made


@dataclass(slots=True)
class Deployment:
    """A deployment. `status` is what the service says, `now` what is, `snapshot` what is read."""

    id: str
    world: World
    project: Project
    compile: Compile
    node: str
    brokerage: str
    cash: dict[str, float]
    parameters: dict[str, str]
    notification: Mapping[str, Any]
    launched: datetime
    clone: int
    post: Callable[[Letter], bool]
    status: str = "InQueue"
    error: str | None = None
    stopped: datetime | None = None
    now: Books = field(default_factory=Books)
    snapshot: Books = field(default_factory=Books)
    loads: dict[str, int] = field(default_factory=dict)
    lost: int = 0
    worker: Worker | None = None
    task: asyncio.Task[None] | None = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    answers: dict[int, asyncio.Future[Row]] = field(default_factory=dict)
    heard: float = 0.0
    _number: int = 0

    @property
    def is_active(self) -> bool:
        """Whether it keeps its node."""
        return self.status not in ENDED

    @property
    def shown_brokerage(self) -> str:
        """As the service calls it."""
        return "PaperBrokerage" if self.brokerage == "QuantConnectBrokerage" else self.brokerage

    def flush(self) -> None:
        """What is read is what is."""
        self.snapshot = self.now.copied()

    def seen(self, what: str, reads: int) -> bool:
        """Whether something that loads at first has been asked for so often."""
        self.loads[what] = self.loads.get(what, 0) + 1
        return self.loads[what] > reads

    def tell(self, body: Mapping[str, object]) -> bool:
        """Hand a command to the algorithm; one that comes before it runs is lost."""
        if self.status != "Running" or self.worker is None or not self.worker.send(body):
            self.lost += 1
            return False
        return True

    async def ask(self, body: Mapping[str, object], timeout: float = 5.0) -> Row:
        """The same, and its answer; `LookupError` when it does not run, `TimeoutError` when it says nothing."""
        self._number += 1
        number = self._number
        answer: asyncio.Future[Row] = asyncio.get_running_loop().create_future()
        self.answers[number] = answer
        try:
            if not self.tell({**body, "number": number}):
                message = f"deployment {self.id} is {self.status}, not Running"
                raise LookupError(message)
            return await asyncio.wait_for(answer, timeout)
        finally:
            self.answers.pop(number, None)

    def end(self, status: str) -> None:
        """Stop or liquidate: what the algorithm still says is flushed."""
        if not self.is_active:
            return
        running = self.status == "Running"
        worker = self.worker
        if running and worker is not None and status == "Liquidated":
            worker.send({"do": "liquidate"})
        if running and worker is not None:
            worker.send({"do": "stop"})
        self._over(status)
        if not running:
            cancel(self.task)

    def crash(self, error: str) -> None:
        """End with an error, now."""
        self._over("RuntimeError", error)
        self.abandon(self.status)

    def abandon(self, status: str = "Deleted") -> None:
        """End without a word."""
        if self.is_active:
            self._over(status)
        cancel(self.task)

    def _over(self, status: str, error: str | None = None) -> None:
        self.status, self.stopped, self.error = status, self.world.now(), error or self.error
        self.settled.set()
        self.flush()

    async def run(self) -> None:
        """From the queue to the end."""
        stuck = self.world.faults.of_job(LiveStuck)
        try:
            async with asyncio.TaskGroup() as group:
                self.heard = asyncio.get_running_loop().time()
                watching = [
                    group.create_task(self._refresh(), name="quantconnect-snapshot"),
                    group.create_task(self._watch(), name="quantconnect-watch"),
                ]
                listening = group.create_task(self._listen(), name="quantconnect-live")
                await self._climb(stuck.status if stuck is not None else "")
                await listening
                for task in watching:
                    task.cancel()
        finally:
            if self.is_active:
                self._over("Stopped")
            self.flush()

    async def _climb(self, stuck: str) -> None:
        for status in (*PATH, *([stuck] if stuck and stuck not in PATH else [])):
            if not self.is_active:
                return
            if status in ENDED:
                self._over(status, "forced")
                return
            self.status = status
            if status == stuck:
                await asyncio.Event().wait()  # until it is stopped
            await asyncio.sleep(self.world.terms.live_stage)
        await self.ready.wait()
        if self.is_active:
            self.status = "Running"
        self.settled.set()

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(self.world.terms.snapshot)
            self.flush()

    async def _watch(self) -> None:
        """Kill what is silent for too long, and what does not end when it should."""
        loop, ending = asyncio.get_running_loop(), 0.0
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            ending = 0.0 if self.is_active else ending + _WATCH_SECONDS
            if loop.time() - self.heard > self.world.terms.silence_limit:
                self._fail(f"Algorithm took longer than {self.world.terms.silence_limit:g} seconds on a single time loop")
                ending = _ENDING_SECONDS
            if ending >= _ENDING_SECONDS and self.worker is not None:
                self.worker.kill()

    async def _listen(self) -> None:
        job = job_of(self.world, self.id, self.compile.files, self.parameters, "live", self.cash)
        self.worker = Worker(job)
        messages = self.worker.messages()
        self._log(f"Launching analysis for {self.id} with LEAN Engine v2.5.0.0.17900")
        try:
            async for message in messages:
                self._take(message)
        except WorkerDied as problem:
            self._fail(str(problem))
        finally:
            await messages.aclose()
            self.ready.set()
            if self.is_active:
                self._over("Stopped")
            self.flush()

    def _take(self, message: Row) -> None:
        self.heard = asyncio.get_running_loop().time()
        kind = message.pop("kind")
        match kind:
            case "insight":
                self._on_insight(message)
            case "order":
                self._on_order(message)
            case "state":
                self._on_state(message)
            case "log":
                self._log(message["text"], stamped=True)
            case "notify":
                self.post(Letter(message["address"], message["body"], message["headers"]))
            case "object":
                save(self.world, message["key"], bytes.fromhex(message["hex"]))
            case "running":
                self.ready.set()
            case "done":
                answer = self.answers.get(message.get("number") or 0)
                if answer is not None and not answer.done():
                    answer.set_result(message)
            case "failed":
                self._fail(message["stacktrace"])
            case "ended":
                self._log(f"Algorithm ended {message['message']}".strip())
            case other:
                log.warning("unknown_message", kind=other)

    def _on_insight(self, row: Row) -> None:
        fresh = row["id"] not in self.now.insights
        self.now.insights[row["id"]] = row
        if len(self.now.insights) > _MAX_INSIGHTS:
            del self.now.insights[next(iter(self.now.insights))]
        if fresh:
            self.world.counts["insights"] += 1
            self._notify("insight", row)

    def _on_order(self, row: Row) -> None:
        self.now.orders[row["id"]] = row
        if len(self.now.orders) > _MAX_ORDERS:
            del self.now.orders[next(iter(self.now.orders))]
        self._notify("orderEvent", row["events"][-1])

    def _on_state(self, state: Row) -> None:
        books = self.now
        books.portfolio, books.runtime, books.equity = state["portfolio"], state["runtimeStatistics"], state["equity"]
        books.trades, books.security_types = state["trades"], state["securityTypes"]
        books.charts = state.get("charts", books.charts)
        if not self.is_active:
            self.flush()

    def _notify(self, event: str, row: Row) -> None:
        """To the webhooks of the deployment; the service does not document the body, so this is ours."""
        if event not in self.notification.get("events", ()):
            return
        body = orjson.dumps({"type": event, "projectId": self.project.id, "deployId": self.id, event: row}).decode()
        for target in self.notification.get("targets", ()):
            if str(target.get("address", "")).startswith("http"):
                self.post(Letter(target["address"], body, dict(target.get("headers") or {})))

    def _fail(self, error: str) -> None:
        self._log(f"ERROR: {error}")
        if self.is_active:
            self._over("RuntimeError", error)

    def _log(self, text: str, stamped: bool = False) -> None:
        if len(self.now.logs) < MAX_LOGS:
            self.now.logs.append(text if stamped else f"{blank(self.world.now())} {text}")
