"""What can go wrong in an outlet, and who hears of it: whoever starts the bot, or a client of it. Never the desk."""

from __future__ import annotations


class OutletError(Exception):
    """An outlet cannot start as configured; the message names the setting and the remedy."""


class AlreadyRunning(OutletError):  # noqa: N818 - it is a state, not a fault
    """Another bot answers for the same data directory."""


class NotRunning(Exception):  # noqa: N818 - it is a state, not a fault
    """No bot answers for this data directory."""


class Refused(Exception):  # noqa: N818 - named as the protocol names it
    """The bot answered and would not let the client in."""


class Disconnected(Exception):  # noqa: N818 - named as the protocol names it
    """The bot went away while the client was waiting."""
