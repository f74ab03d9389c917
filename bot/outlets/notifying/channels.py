"""All channels of one run, and why those that were asked for are off."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bot.outlets.notifying.channel import Channel
from bot.outlets.topics import Topic

if TYPE_CHECKING:
    from bot.outlets.notifying.log import DeliveryLog


def _everything(topic: Topic) -> bool:
    del topic
    return True


@dataclass(frozen=True, slots=True)
class Channels:
    """The channels that are on. `off` says of the others why; `admits` which topics anybody is told of."""

    on: tuple[Channel, ...] = ()
    off: Mapping[str, str] = field(default_factory=dict)
    admits: Callable[[Topic], bool] = _everything
    log: DeliveryLog | None = None
