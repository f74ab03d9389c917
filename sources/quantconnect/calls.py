"""Typed answers: what the subjects of the client have in common when they ask.

An answer that is not what it should be is `UNREADABLE`, never an empty list. One bad row among good ones is left out, counted and
logged; a service that still loads what was asked for is asked again, within bounds.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import structlog
from pydantic import ValidationError

from sources.quantconnect.errors import Kind, QcError
from sources.quantconnect.shapes import Shape, as_list, letters
from sources.quantconnect.transport import Call, Manner, Transport
from sources.quantconnect.values import number

_log = structlog.get_logger(__name__)

S = TypeVar("S", bound=Shape)
T = TypeVar("T")

LOADING_POLL_S = 5.0
LOADING_POLLS = 12
"""How often a loading answer is asked for again: for a minute, as the official clients do."""
MOST_ROWS = 1_000_000


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Rows of an answer. `length` is how many there are in all, if it says so; `skipped` of these could not be read."""

    rows: tuple[T, ...]
    length: int | None = None
    skipped: int = 0


class Calls:
    """Asks, and reads what comes back."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    async def done(self, endpoint: str, body: Mapping[str, Any], manner: Manner = Manner.WRITE, *, urgent: bool = False) -> None:
        """Do something that has no other answer than that it is done."""
        await self.transport.call(Call(endpoint, body, manner, urgent=urgent))

    async def ask(self, endpoint: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Read; while the answer is that it is still loading, again."""
        return await self.until_loaded(endpoint, lambda: self.transport.call(Call(endpoint, body)))

    async def until_loaded(self, endpoint: str, ask: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
        """Ask until the answer no longer says `loading`; a `QcError` after a minute."""
        for _ in range(LOADING_POLLS):
            answer = await ask()
            if str(pick(answer, "status")).lower() != "loading":
                return answer
            await self.transport.sleep(LOADING_POLL_S)
        reason = f"still loading after {LOADING_POLL_S * LOADING_POLLS:g} s"
        raise QcError(Kind.SERVER, endpoint, reason)

    def shaped(self, endpoint: str, model: type[S], raw: object) -> S:
        """A model of what was answered."""
        try:
            return model.model_validate(raw)
        except ValidationError as error:
            raise QcError(Kind.UNREADABLE, endpoint, complaint(model, error), transient=False) from error

    def under(self, endpoint: str, answer: Mapping[str, Any], key: str, model: type[S], gone: str | None = None) -> S:
        """A model of what is under a key. `gone` says what a null there means, which then is `NOT_FOUND`."""
        found = pick(answer, key)
        if found is None and gone is not None:
            raise QcError(Kind.NOT_FOUND, endpoint, gone)
        return self.shaped(endpoint, model, found)

    def page(self, endpoint: str, answer: Mapping[str, Any], key: str, model: type[S], also: str | None = None) -> Page[S]:
        """The rows under a key, or another. None at all is only a list, or a null that has the length zero."""
        raw, length = pick(answer, key), number(pick(answer, "length"))
        if raw is None and also is not None:
            raw = pick(answer, also)
        found = as_list([] if raw is None and length == 0 else raw)
        if (raw is None and length != 0) or not isinstance(found, list):
            reason = f"no list of {key} in it"
            raise QcError(Kind.UNREADABLE, endpoint, reason, transient=False)
        rows, bad = [], []
        for row in found:
            try:
                rows.append(model.model_validate(row))
            except ValidationError as error:
                bad.append(complaint(model, error))
        if bad and not rows:
            raise QcError(Kind.UNREADABLE, endpoint, bad[0], transient=False)
        if bad:
            self.transport.bad_rows += len(bad)
            _log.warning("quantconnect_row_unreadable", endpoint=endpoint, rows=len(bad), first=bad[0])
        return Page(tuple(rows), None if length is None else int(length), _count(raw) - len(rows))

    async def rows(self, endpoint: str, body: Mapping[str, Any], key: str, model: type[S]) -> tuple[S, ...]:
        """All rows of a list that comes as a whole."""
        return self.page(endpoint, await self.ask(endpoint, body), key, model).rows


async def every(
    read: Callable[[int, int], Awaitable[Page[T]]], size: int, of: Callable[[T], object] | None, start: int = 0
) -> AsyncIterator[T]:
    """Every row from `start` on, page by page, each once by what `of` says of it.

    It goes on by as many as came, since the service may give fewer than it was asked for, and ends at `length` or with an empty
    page. Rows that are added meanwhile move others to a later page: they come twice, and are given once.
    """
    seen: set[object] = set()
    while start < MOST_ROWS:
        page = await read(start, start + size)
        for row in page.rows:
            if of is None or (known := of(row)) not in seen:
                if of is not None:
                    seen.add(known)
                yield row
        came = len(page.rows) + page.skipped
        start += came
        if not came or (page.length is not None and start >= page.length):
            return


def given(**fields: Any) -> dict[str, Any]:
    """The fields that have a value: a missing one and a null are not the same to the service, and it wants the former."""
    return {name: value for name, value in fields.items() if value is not None}


def pick(answer: Mapping[str, Any], key: str) -> Any:
    """What is under a key, whatever its case has become."""
    found = answer.get(key)
    if found is None:
        wanted = letters(key)
        found = next((value for name, value in answer.items() if letters(name) == wanted), None)
    return found


def complaint(model: type[Shape], error: ValidationError) -> str:
    """What is wrong with an answer: the first field that is. Its value may be anything, so that it is not shown."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or "it"
    return f"{model.__name__}: {place}: {first['msg']}"


def _count(raw: object) -> int:
    return len(raw) if isinstance(raw, list | dict) else 0
