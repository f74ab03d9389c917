"""Who tried to get in and failed: counted for each address, and answered later and later.

Only what can be guessed is locked: the password. A session, a token or a link is 256 bits of chance, so that a right one passes
whoever else failed from the same address; wrong ones are answered 429 once they come too often. In memory: a restart forgives.
"""

from __future__ import annotations

from collections.abc import Callable

from bot.web.problems import Problem
from bot.web.security.limits import Buckets, Lockout, network, seconds_of

_EVERYBODY = "*"


def too_many(wait_ms: int, what: str) -> Problem:
    """429 that says when to come again."""
    seconds = seconds_of(wait_ms)
    return Problem(
        429, "Too many attempts", f"{what}; try again in {seconds} s", headers={"Retry-After": str(seconds)}, retry_after=seconds
    )


class Attempts:
    """Failures by address. All addresses together may try 5 passwords a second, however many they are."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._passwords = Lockout()
        self._keys = Lockout(free=20)
        self._together = Buckets(rate=5, burst=20, most=1)
        self._commands = Buckets(rate=10, burst=60)
        self.refused = 0

    def may_try(self, address: str) -> None:
        """Before a password is even looked at; `Problem` 429 while locked out."""
        now = self._now()
        wait = self._passwords.wait(network(address), now) or self._together.take(_EVERYBODY, now)
        if wait:
            self.refused += 1
            raise too_many(wait, "the password was wrong too often")

    def password(self, address: str, right: bool) -> None:
        """How a password did."""
        if right:
            self._passwords.succeeded(network(address))
        else:
            self._passwords.failed(network(address), self._now())

    def wrong_key(self, address: str) -> None:
        """A key, a token or a session that is none; `Problem` 429 once there were too many."""
        key, now = network(address), self._now()
        wait = self._keys.wait(key, now)
        if wait:
            self.refused += 1
            raise too_many(wait, "what was given is not valid here, too often")
        self._keys.failed(key, now)

    def command(self, principal: str) -> None:
        """Before a change is made; `Problem` 429 above 10 a second, with 60 at once."""
        wait = self._commands.take(principal, self._now())
        if wait:
            self.refused += 1
            raise too_many(wait, "too many changes at once")
