"""How a run does, for whoever asks: the status command and the health listener."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from bot.app.control_room import TASK as CONTROL_ROOM
from bot.app.control_room import ControlRoomProcess
from bot.app.live import LiveSide
from bot.app.telling import Start
from bot.app.world import World
from bot.core.market import Health
from bot.runtime.hosting import SourceHost
from bot.runtime.shell import Shell
from bot.runtime.supervision import Supervisor
from bot.services.audit.live import LiveAudit
from bot.settings import RunMode


@dataclass(frozen=True, slots=True)
class Status:
    """Answers from the parts of a run. `start` is what its P&L is measured by."""

    run: str
    mode: RunMode
    start: Start
    world: World
    shell: Shell
    host: SourceHost
    supervisor: Supervisor
    live: LiveSide | None = None
    audit: LiveAudit | None = None
    room: ControlRoomProcess | None = None

    def report(self) -> Mapping[str, object]:
        """How the run does, in plain JSON values."""
        desk, tally, feed = self.shell.desk, self.shell.tally, self.world.feed.statistics
        books, risk = desk.portfolio, desk.state.risk
        return {
            "run": self.run,
            "mode": self.mode.value,
            "simulated": self.world.simulated,
            "venue": self.world.venue,
            "state": risk.state.value,
            "equity": round(books.equity, 8),
            "cash": str(books.cash),
            "pnl": round(self.start.pnl(books), 8),
            "day_pnl": round(books.equity - risk.day_start, 8) if risk.day_start > 0 else None,  # as the daily loss is judged
            "positions": {name: str(held.amount) for name, held in books.positions.items() if held.amount},
            "working_orders": len(desk.state.working),
            "waiting_decisions": len(desk.state.queue),
            "standing": {name: bench.standing.source for name, bench in desk.state.benches.items() if bench.standing},
            "sources": {name: "paused" if spec.paused else "on" for name, spec in self.host.specs.items()},
            "source_troubles": self.host.troubles,
            "decisions": dict(tally.fates),
            "orders": tally.orders,
            "fills": tally.fills,
            "market_events": tally.market_events,
            "health": {name: health.value for name, health in self._unwell().items()},
            "conflated_quotes": self.world.inbox.conflated,
            "dropped_trades": self.world.inbox.trades_dropped,
            "feed": {name: value for name, value in asdict(feed).items() if isinstance(value, int | float)},
            "journal_pending": self.shell.journal.pending,
            "journal_trouble": self.shell.journal.trouble.value if self.shell.journal.trouble else None,
            "redis": self.shell.outlets.redis.state.value,
            "restarts": dict(self.supervisor.restarts),
            "failing": dict(self.supervisor.failing),
            "ignored_inputs": dict(desk.state.ignored),
            "latency_ms": tally.to_fill.milliseconds(),
            **({} if self.audit is None else {"audit": dict(self.audit.report())}),
            "metrics_port": self.shell.outlets.listener.port,
            "control_room": None if self.room is None else {"url": self.room.url, "up": self.room.up, "starts": self.room.starts},
            **({} if self.live is None else {"live": self.live.report()}),
        }

    def ready(self) -> list[str]:
        """Why the bot is not ready, nothing if it is."""
        down = {name: error for name, error in self.supervisor.failing.items() if name != CONTROL_ROOM}
        reasons = [f"{name} is down: {error}" for name, error in down.items()]
        if self.shell.journal.trouble is not None:
            reasons.append(f"the journal cannot be written: {self.shell.journal.trouble.value}")
        risk = self.shell.desk.state.risk
        if risk.unread:
            reasons.append(f"the account is not read yet: {risk.unread}")
        reasons += [f"unexplained at the venue: {difference}" for difference in risk.unexplained]
        if self.live is not None:
            reasons += self.live.ailments()
        seen = self.world.feed.statistics
        if not (seen.quotes or seen.trades):
            reasons.append("no market data has come yet")
        reasons += [f"market data of {symbol} is {health.value}" for symbol, health in self._unwell().items()]
        return reasons

    def _unwell(self) -> Mapping[str, Health]:
        """Symbols that matter and whose market data are not fresh."""
        desk = self.shell.desk
        found = {symbol: health for symbol, health in desk.state.risk.health.items() if health is not Health.FRESH}
        if not found:
            return {}
        concerned = self.world.concerned(desk)
        return {symbol: health for symbol, health in found.items() if symbol in concerned}
