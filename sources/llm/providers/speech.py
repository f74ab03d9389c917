"""What sets one protocol apart from the others; what they share is in `calling`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from sources.llm.asking import Ask
from sources.llm.models import Dialect, Model
from sources.llm.providers.reading import Answer


class Gathering(Protocol):
    """Puts a streamed answer together again."""

    def take(self, event: Mapping[str, Any]) -> str:
        """The new text of an event, often none; `Failed` where the event is an error."""
        ...

    def whole(self) -> Mapping[str, Any] | None:
        """The answer as it would have come in one piece; None while it has not come to its end."""
        ...


class Speech(Protocol):
    """One protocol, through one SDK. Pure but for `client`."""

    @property
    def dialect(self) -> Dialect:
        """Its name."""
        ...

    @property
    def sdk(self) -> str:
        """The module that speaks it."""
        ...

    def client(self, sdk: Any, key: str, base_url: str, http: Any) -> Any:
        """The SDK's client, with nothing taken from the environment and no retries."""
        ...

    def endpoint(self, client: Any) -> Any:
        """Where answers are created."""
        ...

    def request(self, ask: Ask, model: Model) -> dict[str, Any]:
        """The arguments of `create`."""
        ...

    def streamed(self, request: dict[str, Any]) -> dict[str, Any]:
        """The arguments of `create` for an answer in pieces."""
        ...

    def read(self, body: Mapping[str, Any]) -> Answer:
        """The answer in a body; `Unreadable` or `Failed` where there is none."""
        ...

    def gathering(self) -> Gathering:
        """For one streamed answer."""
        ...
