"""Use cases: what the command line, the API and a running bot offer under one name, with typed arguments and one answer.

Whatever changes something or spends money is done by the bot where one runs, and by the command itself where none does; both call
the same `UseCase`. A quick one is answered at once, any other is a job (see `bot.runtime.jobs`).
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from bot.core.effects import Notify
from bot.runtime.jobs import Report, Result
from bot.secrets import Secrets
from bot.settings import Loaded
from sources.quantconnect.errors import Kind, QcError
from sources.quantconnect.settings import Credentials

if TYPE_CHECKING:
    from sources.llm.settings import AccessSettings
    from sources.quantconnect.budget import Budget

A = TypeVar("A", bound=BaseModel)

_OUR_ROOMS = frozenset({"bot", "sources", "execution", "research", "simulators"})


class Arguments(BaseModel):
    """Base of the arguments of use cases: strict, from JSON."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class UseCaseError(Exception):
    """It cannot be done, or not like this; the text is one line with the remedy."""


class Missing(UseCaseError):  # noqa: N818 - it says what is the case
    """What was named does not exist; the text says what there is."""


def _unheard(notice: Notify) -> None:
    """Nobody is there to be told: the log has it."""
    del notice


@dataclass(slots=True)
class Ground:
    """What use cases stand on. `now` is in ms; what `open` was given is closed when the process ends.

    `quantconnect` says who asks there and where: QuantConnect itself, or the simulator of an embedded world; `budget` is that of
    all who ask. `llm` replaces the settings' section of that name, and `keys` the secrets of its providers, where the world has
    language models of its own. `run` names the run that this is part of; `notify` tells the person, and returns at once.
    """

    loaded: Loaded
    secrets: Secrets
    now: Callable[[], int]
    quantconnect: Credentials
    simulated: bool = False
    budget: Budget | None = None
    llm: AccessSettings | None = None
    keys: Mapping[str, str] | None = None
    run: str = ""
    notify: Callable[[Notify], None] = _unheard
    closing: AsyncExitStack = field(default_factory=AsyncExitStack)
    held: dict[str, Any] = field(default_factory=dict)
    opening: asyncio.Lock = field(default_factory=asyncio.Lock)

    def key(self, name: str) -> str | None:
        """The secret of a provider, by its name."""
        if self.keys is not None:
            return self.keys.get(name)
        found = self.secrets.get(name)
        return None if found is None else found.value


@dataclass(frozen=True, slots=True)
class UseCase(Generic[A]):
    """One use case: its name such as `qc.backtest`, one sentence about it, the model of its arguments, and what does it.

    `quick`: it answers at once, else it is a job. `reads`: it only reads tables, so that any process may perform it by itself.
    """

    name: str
    about: str
    args: type[A]
    run: Callable[[Ground, A, Report], Awaitable[Result]]
    quick: bool = False
    reads: bool = False

    def read(self, given: Mapping[str, object]) -> A:
        """The arguments; `UseCaseError` says in one line what is wrong with them."""
        try:
            return self.args.model_validate(dict(given))
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"])) or "arguments"
            message = f"{self.name}: {key}: {first['msg'].removeprefix('Value error, ')}"
            raise UseCaseError(message) from error


# By the first part of the name: the module whose `USE_CASES` has them. Imported when one is asked for.
_ROOMS: Mapping[str, str] = {
    "qc": "bot.services.quantconnect.use_cases",
    "memory": "bot.services.memory.use_cases",
    "chat": "bot.services.chat.use_cases",
    "idea": "bot.services.ideas.use_cases",
    "learning": "bot.services.learning.use_cases",
    "llm": "bot.services.llm.use_cases",
    "analysis": "bot.services.analysis.use_cases",
    "notify": "bot.services.notifying.use_cases",
    "audit": "bot.services.audit.use_cases",
    "config": "bot.services.configuring.use_cases",
    "monitor": "bot.services.monitoring.use_cases",
    "desk": "bot.services.trading.desk_cases",
    "risk": "bot.services.trading.risk_cases",
    "market": "bot.services.market.use_cases",
}


def use_case(name: str) -> UseCase[Any]:
    """The use case of a name; `UseCaseError` if there is none."""
    room = _ROOMS.get(name.partition(".")[0])
    found = None if room is None else room_of(room).get(name)
    if found is None:
        message = f"there is no use case {name!r}; {_known(name)}"
        raise Missing(message)
    return found


def room_of(module: str) -> Mapping[str, UseCase[Any]]:
    """The use cases of a module, by name."""
    cases: tuple[UseCase[Any], ...] = importlib.import_module(module).USE_CASES
    return {case.name: case for case in cases}


def explained(error: BaseException) -> str | None:
    """An error in one line, if it is an answer: one of our own rooms, or of the machine; None for a defect."""
    ours = type(error).__module__.partition(".")[0] in _OUR_ROOMS
    if isinstance(error, ExceptionGroup):
        return explained(error.exceptions[0])
    return (" ".join(str(error).split()) or type(error).__name__) if ours or isinstance(error, OSError) else None


def missing(error: BaseException) -> bool:
    """Whether an error says that what was named does not exist, here or at QuantConnect."""
    return isinstance(error, Missing) or (isinstance(error, QcError) and error.kind is Kind.NOT_FOUND)


def _known(name: str) -> str:
    first = name.partition(".")[0]
    if first in _ROOMS:
        return f"{first} has {', '.join(room_of(_ROOMS[first]))}"
    return f"they begin with {', '.join(_ROOMS)}"
