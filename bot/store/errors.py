"""What may go wrong with side tables."""

from __future__ import annotations


class StoreUnavailable(Exception):  # noqa: N818 - a state of the store, as the journal names its own
    """The database cannot be reached or used now, or its tables are of a newer bot.

    What a call wanted to change is not changed, unless the connection broke while it was being committed: then nobody knows.
    """
