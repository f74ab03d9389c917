"""What a broker is, and what its answers mean.

The protocols live in `bot.core.protocols`, where the desk's shell and this room meet; they are named here again because this
is where one looks for them. `Broker` takes orders to a venue, `MatchingBroker` fills them itself against the market it is
shown.

Both calls return at once. Every answer comes back through `emit` as an input of the desk. Of an order that left there are three
outcomes, not two:

* accepted: `OrderAccepted`, then any number of `Filled`, and `OrderClosed` if the order ends without filling whole;
* refused: `OrderRefused`, the venue said no: the order never lived;
* unknown: `OrderUnknown` for a timeout, a disconnect, a server error or an answer nobody can read. It is never retried blindly:
  the venue is asked by client order id until it answers.

One that did not leave, and may later, is `OrderNotSent`; one that the venue would never take is refused here.

A cancel is answered by the order's `OrderClosed`, or by `CancelRefused` when there was nothing left to cancel; the order's
own updates then say what became of it. A broker never sends an order whose intent it has not been handed, and never sends one
twice.
"""

from __future__ import annotations

from bot.core.protocols import Broker, Emit, MatchingBroker

__all__ = ["Broker", "Emit", "MatchingBroker"]
