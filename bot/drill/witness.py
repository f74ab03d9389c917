"""A witness at the venue's door: when an order arrives, its intent must be in the journal already, whatever happens next.

What the journal says afterwards cannot prove that: a bot could write the intent down after the answer, with an older time.
"""

from __future__ import annotations

from bot.drill.ledger import Unreadable, select
from simulators.exchange.orders import VenueOrder


class Witness:
    """Looks into the journal at `url` at each arrival of an order with the prefix; blocks the venue meanwhile."""

    def __init__(self, url: str, prefix: str) -> None:
        self._url = url
        self._prefix = prefix
        self.findings: list[str] = []
        self.seen = 0

    def __call__(self, order: VenueOrder) -> None:
        """An order arrived and nobody has been answered yet."""
        name = order.client_id
        if not name.startswith(self._prefix):
            return
        self.seen += 1
        if not name.isalnum():
            self.findings.append(f"the client order id {name!r} is not of letters and digits")
            return
        query = f"SELECT count(*) FROM order_events WHERE order_id = '{name}' AND state = 'intent'"  # noqa: S608 - isalnum
        try:
            ((count,),) = select(self._url, [query])[0]
        except Unreadable as error:
            self.findings.append(f"order {name} arrived while its intent could not be looked for: {error}")
            return
        if not count:
            self.findings.append(f"order {name} arrived at the venue before its intent was in the journal")
