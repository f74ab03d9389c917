"""Where this is: which bot, which run, real or simulated, alive or not. Every page says so."""

from __future__ import annotations

from dataclasses import dataclass

from bot.journal.records import Run
from bot.outlets.local_client import Hello
from bot.settings import Loaded


@dataclass(frozen=True, slots=True)
class World:
    """What the badge says. `started` is in ms UTC; `alive` while the bot answers."""

    bot: str
    run: str
    mode: str
    venue: str
    simulated: bool
    alive: bool
    started: int | None

    @property
    def badge(self) -> str:
        """PAPER, LIVE or SIMULATED: a simulated world is that before it is anything else."""
        if self.simulated:
            return "SIMULATED"
        return self.mode.upper() or "NO RUN"

    @property
    def kind(self) -> str:
        """The badge as a CSS class."""
        return self.badge.lower().replace(" ", "-")

    @classmethod
    def of(cls, run: Run | None, hello: Hello | None, loaded: Loaded) -> World:
        """From what is known: the bot's greeting, else the journal. `venue` and `started` only the journal tells."""
        if hello is not None:
            venue, started = ("", None) if run is None or run.id != hello.run else (run.venue, run.started)
            return cls(hello.bot, hello.run, hello.mode, venue, hello.simulated, True, started)
        if run is not None:
            return cls(run.bot, run.id, run.mode, run.venue, run.simulated, False, run.started)
        return cls(loaded.settings.bot.name, "", "", "", False, False, None)
