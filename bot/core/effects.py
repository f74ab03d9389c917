"""What the desk asks of the shell. It performs none of these itself.

A `Record` is journaled and, by the feed's table of channels, published: one fact, two readers. `Publish` is for facts that are
worth a message and not a row.
"""

from __future__ import annotations

from enum import StrEnum

from bot.core.facts import Fact
from bot.core.orders import OrderRequest
from bot.core.values import value


@value
class StoreIntent:
    """Store this order durably, then answer with `IntentStored` or `IntentFailed`. Nothing is sent before."""

    request: OrderRequest


@value
class SubmitOrder:
    """Send this order; its intent is durable."""

    request: OrderRequest


@value
class SubmitPair:
    """Send a stop and a target of which one cancels the other, in one request; both intents are durable."""

    stop: OrderRequest
    target: OrderRequest


@value
class CancelOrder:
    """Ask the venue to cancel an order."""

    order_id: str
    symbol: str
    reason: str


@value
class Record:
    """Journal and publish a fact. `durable` facts (orders, fills, trading state) are flushed to disk with the next commit."""

    fact: Fact
    durable: bool = False


@value
class Publish:
    """Publish a fact that needs no row."""

    fact: Fact


class Severity(StrEnum):
    """How loud a notification is."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@value
class Notify:
    """Tell the person."""

    severity: Severity
    title: str
    text: str


@value
class SetTimer:
    """Send a `Wake` at this time or soon after."""

    at: int


Effect = StoreIntent | SubmitOrder | SubmitPair | CancelOrder | Record | Publish | Notify | SetTimer
