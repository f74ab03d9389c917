"""Where fundamentals come from: the protocol, and plug-ins of the entry point group `arbiter.fundamentals`.

An entry point names a callable `open(settings)` that gives a `FundamentalsProvider`; `settings` are plain values of the
configuration. Whoever opens a provider closes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Protocol, cast, runtime_checkable

from sources.analysis.fundamental import Fundamentals

ENTRY_POINTS = "arbiter.fundamentals"
BUILT_IN = "ccxt"


class FundamentalsUnavailable(Exception):  # noqa: N818 - it names what is wrong
    """A provider cannot be had or did not answer; the message names it, the symbol and the remedy."""


@runtime_checkable
class FundamentalsProvider(Protocol):
    """Tells what it knows of symbols; what it cannot tell is None, with the reason in `missing`."""

    @property
    def name(self) -> str:
        """Who it is, as `Fundamentals.origin` says it."""
        ...

    async def fetch(self, symbols: Sequence[str]) -> Mapping[str, Fundamentals]:
        """The fundamentals of every symbol asked for. Raises `FundamentalsUnavailable`: no answer is not an empty one."""
        ...

    async def close(self) -> None:
        """Give back what it holds."""
        ...


class OpensFundamentals(Protocol):
    """What an entry point of the group names."""

    def __call__(self, settings: Mapping[str, object]) -> FundamentalsProvider:
        """Make the provider; nothing is asked of the network yet."""
        ...


def open_provider(name: str, settings: Mapping[str, object]) -> FundamentalsProvider:
    """The provider called `name`: `ccxt`, or a plug-in. Raises `FundamentalsUnavailable` if there is none, or it is none."""
    if name == BUILT_IN:
        from sources.analysis.providers_ccxt import CcxtFundamentals  # noqa: PLC0415 - it builds on this module

        return CcxtFundamentals.open(settings)
    plugin = _entry_point(name)
    try:
        made: object = cast("OpensFundamentals", plugin.load())(settings)
    except Exception as error:  # the boundary to a plug-in: importing and opening it may raise anything
        said = " ".join(str(error).split())[:200]
        message = f"the fundamentals {name!r} ({plugin.value}) cannot be opened: {type(error).__name__}: {said}"
        raise FundamentalsUnavailable(message) from error
    if not isinstance(made, FundamentalsProvider):
        message = f"the fundamentals {name!r} gave a {type(made).__name__}, which is no FundamentalsProvider (name, fetch, close)"
        raise FundamentalsUnavailable(message)
    return made


def _entry_point(name: str) -> EntryPoint:
    plugins = entry_points(group=ENTRY_POINTS)
    for plugin in plugins:
        if plugin.name == name:
            return plugin
    known = ", ".join(sorted({BUILT_IN, *plugins.names}))
    message = f"no fundamentals are called {name!r}; use one of {known}, or install the package that has them"
    raise FundamentalsUnavailable(message)
