"""What a reconciliation is asked to do, what it found, and how it fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from decimal import Decimal

from bot.core.values import value
from execution.account import OrderReport, TradeReport, TransferReport


class ReconcileFailed(Exception):  # noqa: N818 - it names what happened
    """Something could not be read, so the picture is partial and nothing may be traded on it.

    `what` names the question, `reason` why it got no answer; both are without secrets.
    """

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"{what} could not be read: {reason}")
        self.what = what
        self.reason = reason


@value
class ReconcileRules:
    """How an account is reconciled. Times are milliseconds.

    `symbols` (spot) are those whose orders and trades are asked for: all that may trade on the account, whoever does. `prefix`
    marks our client order ids, `sisters` those of other bots. "Not found" counts `grace_ms` after the last news of an order whose
    answer was lost, and as long after the first pass that missed it of one that lived.
    `tolerance` is what may lack or be over without a word, by currency. Between two looks at the balances, of which a pass takes
    `looks` at most, lie `pause_ms`; a pass may take `pass_ms`.

    Trades are asked for again from `overlap_ms` before the newest one counted, on a quiet symbol from `quiet_ms` before now, and
    transfers from `transfers_ms` before the newest: some are listed late. `lookups` bounds how many trades of unknown orders one
    pass may ask about; `keep` how much of each kind is remembered. Up to `listed` symbols have their trades listed at every pass,
    of more only those on which something has moved.
    """

    symbols: tuple[str, ...]
    prefix: str
    sisters: tuple[str, ...] = ()
    every_ms: int = 30_000
    retry_ms: int = 5_000
    grace_ms: int = 6_000
    pause_ms: int = 1_000
    pass_ms: int = 120_000
    tolerance: Mapping[str, Decimal] = field(default_factory=dict, hash=False)
    concurrency: int = 4
    looks: int = 3
    overlap_ms: int = 60_000
    quiet_ms: int = 3_600_000
    transfers_ms: int = 259_200_000
    lookups: int = 200
    keep: int = 10_000
    listed: int = 20

    def __post_init__(self) -> None:
        least = {"every_ms": 1, "retry_ms": 1, "pass_ms": 1, "concurrency": 1, "looks": 2, "lookups": 1, "keep": 1}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                message = f"{name}: {getattr(self, name)!r} must be at least {bound}"
                raise ValueError(message)
        if self.prefix[:4] in {sister[:4] for sister in self.sisters}:
            message = f"sisters: {self.prefix!r} is this bot's own prefix; give each bot on an account another one"
            raise ValueError(message)


@value
class Reconciliation:
    """What one pass found at a time (ms).

    `open_orders` are ours; `fills` are trades of ours that only this pass made known; `resolved` the client ids of orders whose
    fate it found out, and `ghosts` of those that had ended for us, rested at the venue and were cancelled. Orders and trades of
    sister bots and of strangers are shown and never touched, as are `transfers` since the pass before. `unexplained` are
    sentences with figures. `began` says that this pass took the account's first totals (or new ones, after `rebase`).
    """

    at: int
    open_orders: tuple[OrderReport, ...] = ()
    fills: tuple[TradeReport, ...] = ()
    resolved: tuple[str, ...] = ()
    ghosts: tuple[str, ...] = ()
    foreign_orders: tuple[OrderReport, ...] = ()
    sister_orders: tuple[OrderReport, ...] = ()
    foreign_trades: tuple[TradeReport, ...] = ()
    sister_trades: tuple[TradeReport, ...] = ()
    transfers: tuple[TransferReport, ...] = ()
    unexplained: tuple[str, ...] = ()
    began: bool = False

    @property
    def explained(self) -> bool:
        """Whether everything on the account has an explanation."""
        return not self.unexplained
