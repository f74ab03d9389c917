"""A schedule: everything that will happen to one run of the drill, as a value to be printed, drawn from a seed and shrunk.

Times are milliseconds since the run began. What is in a schedule happens whatever else is taken out of it; what is not (how long
a request travels, when a batch is committed) follows from the seed and from how often it was drawn before.
"""

from __future__ import annotations

from dataclasses import fields
from decimal import Decimal
from enum import StrEnum

from bot.core.decision import Action
from bot.core.market import Side
from bot.core.values import value

SYMBOLS = ("BTC/USDT", "ETH/USDT")
"""What the drill's market lists."""


class Op(StrEnum):
    """What is asked of an account; ANY stands for all of them."""

    ANY = "any"
    CREATE = "create"
    CANCEL = "cancel"
    ORDER = "order"
    OPEN_ORDERS = "open-orders"
    TRADES = "trades"
    BALANCES = "balances"
    TRANSFERS = "transfers"
    PERMISSIONS = "permissions"


class How(StrEnum):
    """How a call fails. BEFORE and AFTER: the venue has not, or has, acted on it when the answer is lost.

    LATE: it travels for seconds each way. STRAY: the connection breaks at once, and the request gets there seconds later.
    """

    NOT_SENT = "not-sent"
    REFUSED = "refused"
    TOO_MANY = "too-many"
    LOST_BEFORE = "lost-before"
    LOST_AFTER = "lost-after"
    HUNG_BEFORE = "hung-before"
    HUNG_AFTER = "hung-after"
    LATE = "late"
    STRAY = "stray"


class Thing(StrEnum):
    """What can be missing from one answer."""

    ORDER = "order"
    TRADE = "trade"
    BALANCE = "balance"


class Telling(StrEnum):
    """What becomes of the account stream's messages. STALL: the socket stays open and says nothing."""

    LOST = "lost"
    TWICE = "twice"
    REORDERED = "reordered"
    DELAYED = "delayed"
    STALL = "stall"
    DISCONNECT = "disconnect"


class Moment(StrEnum):
    """A step of an order's life at which the process can be killed."""

    INTENT_ASKED = "intent-asked"
    INTENT_DURABLE = "intent-durable"
    SENT = "sent"
    ACCEPTED = "accepted"
    TRADED = "traded"
    CANCEL_SENT = "cancel-sent"
    CANCELLED = "cancelled"


class Who(StrEnum):
    """Who else trades on the account: a person by hand, or another bot with a prefix of its own."""

    PERSON = "person"
    SISTER = "sister"


@value
class Decide:
    """A source proposes. Stops are fractions of the price of that moment; `stands` is how long the decision lives."""

    at: int
    symbol: str
    action: Action
    stands: int = 20_000
    stop_loss: float | None = None
    take_profit: float | None = None


@value
class Fail:
    """The next `count` calls fail, until `lasting` is over."""

    at: int
    op: Op
    how: How
    count: int = 1
    lasting: int = 5_000


@value
class Omit:
    """The next answer that holds the thing leaves it out."""

    at: int
    thing: Thing
    lasting: int = 5_000


@value
class Tell:
    """The account stream misbehaves for a while."""

    at: int
    how: Telling
    lasting: int = 3_000


@value
class Outage:
    """The venue answers nothing and its streams are down."""

    at: int
    lasting: int = 5_000


@value
class Disk:
    """The journal takes nothing for a while: intents fail, facts wait."""

    at: int
    lasting: int = 2_000


@value
class Slice:
    """The venue fills the next `count` new orders by at most `fraction` of their amount at a time."""

    at: int
    fraction: Decimal = Decimal("0.4")
    count: int = 1


@value
class Shock:
    """The price of a symbol is multiplied, for good."""

    at: int
    symbol: str
    factor: float


@value
class Other:
    """Somebody else trades on the account: at the market, or with a limit that rests 5 % away (`rests`)."""

    at: int
    who: Who
    symbol: str
    side: Side
    rests: bool = False


@value
class Move:
    """A deposit (positive) or a withdrawal."""

    at: int
    currency: str
    amount: Decimal


@value
class Leak:
    """Quote currency leaves the account and no list of the venue says why: a difference that nothing explains."""

    at: int
    amount: Decimal


@value
class Crash:
    """The process is killed, and started again after `down`."""

    at: int
    down: int = 1_000


@value
class CrashOn:
    """The process is killed `delay` after the first such moment that comes at or after `at`."""

    at: int
    moment: Moment
    delay: int = 0
    down: int = 1_000


Event = Decide | Fail | Omit | Tell | Outage | Disk | Slice | Shock | Other | Move | Leak | Crash | CrashOn


@value
class Schedule:
    """What happens to the run of a seed: events in the order of their times, until `length`; then faults end and quiet begins."""

    seed: int
    events: tuple[Event, ...]
    length: int = 60_000

    def __str__(self) -> str:
        lines = [f"seed {self.seed}, {len(self.events)} events in {self.length / 1_000:g} s"]
        return "\n".join([*lines, *map(told, self.events)])


def told(event: Event) -> str:
    """One event as a line: its time, its name, and what is not as usual."""
    told = []
    for field in fields(event):
        setting = getattr(event, field.name)
        if field.name != "at" and setting != field.default:
            told.append(f"{field.name}={setting}")
    return f"{event.at / 1_000:9.3f} s  {type(event).__name__:<8} {' '.join(told)}".rstrip()
