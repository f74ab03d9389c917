"""What the simulated service grants and how fast it is; everything that the reference leaves unconfirmed can be set here."""

from __future__ import annotations

from dataclasses import dataclass

ORGANIZATION = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"


@dataclass(frozen=True, slots=True)
class Terms:
    """Credentials, limits and pace. Times are seconds, sizes are characters, rows or lines."""

    user: str = "123456"
    token: str = "secret"  # noqa: S105 - a simulator's default, not a secret
    organization: str = ORGANIZATION
    stale_after: int = 7_200
    ahead_at_most: int = 300
    backtest_nodes: int = 1
    live_nodes: int = 1
    node_delay: float = 0.0
    """A free node begins 20 s late; here at once."""
    compile_reads: int = 1
    """Reads of a compile job, the creation among them, that still say InQueue."""
    compile_lag: int = 0
    """`backtests/create` calls with a fresh compile id that do not find it yet."""
    queued_reads: int = 1
    running_reads: int = 2
    """Reads of a backtest that show it queued and running at least, however fast it was."""
    half_reads: int = 1
    """Reads of a completed backtest that still lack `totalPerformance`."""
    report_reads: int = 1
    loading_reads: int = 1
    """Reads of a chart, a report or live orders that say loading at first."""
    object_reads: int = 1
    """Polls of an object job before its URL is there."""
    live_stage: float = 0.05
    """Between two states of a deployment on its way to Running."""
    snapshot: float = 0.5
    """How old what is read of a live algorithm may be; the service's own is ten minutes."""
    backtest_limit: float = 60.0
    """A backtest that takes longer is killed."""
    silence_limit: float = 60.0
    """A live algorithm that is silent for longer (it tells its state several times a second) is killed."""
    memory_mb: int = 1_024
    max_characters: int = 32_000
    max_files: int = 25
    max_body: int = 8_000_000
    max_store: int = 50_000_000
    creates_at_once: int = 5
    creates_window: float = 10.0
    """More `backtests/create` than that in so many seconds are asked to slow down."""
    requests_per_minute: int = 0
    """0: as many as one likes; else 429 with Retry-After above it."""
    notifications_per_hour: int = 240
