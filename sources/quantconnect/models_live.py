"""Live algorithms: deployments, what they hold, and what they print. Times are ms UTC."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from sources.quantconnect.models_statistics import RuntimeStatistics
from sources.quantconnect.shapes import (
    Also,
    Amount,
    Flag,
    Id,
    Keyed,
    MaybeMap,
    Moment,
    Number,
    Percent,
    Shape,
    Text,
    Word,
    one_of,
)


class LiveStatus(Word):
    """Where a live algorithm stands."""

    UNKNOWN = "Unknown"
    UNDEFINED = "Undefined"
    DEPLOY_ERROR = "DeployError"
    IN_QUEUE = "InQueue"
    RUNNING = "Running"
    STOPPED = "Stopped"
    LIQUIDATED = "Liquidated"
    DELETED = "Deleted"
    COMPLETED = "Completed"
    RUNTIME_ERROR = "RuntimeError"
    INVALID = "Invalid"
    LOGGING_IN = "LoggingIn"
    INITIALIZING = "Initializing"
    HISTORY = "History"
    PENDING_INPUT = "PendingInput"
    IDLE = "Idle"

    @property
    def active(self) -> bool:
        """Whether it runs or is on its way to."""
        return self in {
            LiveStatus.IN_QUEUE,
            LiveStatus.LOGGING_IN,
            LiveStatus.INITIALIZING,
            LiveStatus.HISTORY,
            LiveStatus.RUNNING,
        }


class LiveSummary(Shape):
    """A deployment, as it is listed; `equity` is money of the account."""

    deploy_id: Text
    project_id: Id | None = None
    status: Annotated[LiveStatus, one_of(LiveStatus)] = LiveStatus.UNKNOWN
    launched: Moment = None
    stopped: Moment = None
    brokerage: Text = ""
    subscription: Text = ""
    equity: Number = None
    environment: Text = ""
    description: Text = ""
    error: Text = ""

    @property
    def active(self) -> bool:
        """Whether it runs or is on its way to; a time of its end is an end, whatever the status."""
        return self.status.active and self.stopped is None


class LiveAlgorithm(Shape):
    """A deployment in detail."""

    deploy_id: Text = ""
    status: Annotated[LiveStatus, one_of(LiveStatus)] = LiveStatus.UNKNOWN
    message: Text = ""
    clone_id: Id | None = None
    launched: Moment = None
    stopped: Moment = None
    brokerage: Text = ""
    security_types: Text = ""
    project_name: Text = ""
    datacenter: Text = ""
    public: Flag = False
    is_public_streaming: Flag = False
    runtime_statistics: MaybeMap[RuntimeStatistics] = None

    @property
    def active(self) -> bool:
        """Whether it runs or is on its way to; a time of its end is an end, whatever the status."""
        return self.status.active and self.stopped is None


class Deployment(Shape):
    """What `deploy` gives back."""

    deploy_id: Text
    project_id: Id | None = None
    version_id: Text = ""
    source: Text = ""
    response_code: Text = ""
    live: MaybeMap[LiveSummary] = None


class Holding(Shape):
    """What is held of one security. The service leaves out what is zero, a currency of dollars and a rate of one.

    `unrealized_fraction` is printed in percent.
    """

    average_price: Annotated[Amount, Also.of("a")] = 0.0
    quantity: Annotated[Amount, Also.of("q")] = 0.0
    market_price: Annotated[Amount, Also.of("p")] = 0.0
    market_value: Annotated[Amount, Also.of("v")] = 0.0
    unrealized: Annotated[Amount, Also.of("u", "unrealized pnl")] = 0.0
    unrealized_fraction: Annotated[Percent, Also.of("up", "unrealized pnl percent")] = 0.0
    currency_symbol: Annotated[Text, Also.of("c")] = "$"
    conversion_rate: Annotated[Number, Also.of("r")] = 1.0


class Cash(Shape):
    """Money of one currency; `value_in_account_currency` is what it is worth."""

    symbol: Text = ""
    amount: Amount = 0.0
    conversion_rate: Number = None
    currency_symbol: Text = ""
    value_in_account_currency: Number = None


def _holdings(raw: object) -> object:
    return {} if raw == [] else raw


class Portfolio(Shape):
    """What a live algorithm holds, by security identifier (SID), and its cash by currency.

    No holdings are written as an empty list or map. A null there is a host that has failed, which is an error and not an empty
    portfolio: whoever follows it would sell everything.
    """

    holdings: Annotated[dict[str, Holding], BeforeValidator(_holdings)]
    cash: Keyed[Cash] = Field(default_factory=dict)
