"""The channels of a run, as the settings say. One whose address is missing or cannot be read is off, and the bot trades on."""

from __future__ import annotations

from collections.abc import Callable

from bot.logs import Redactor
from bot.outlets.envelope import Identity
from bot.outlets.notifying.channel import Channel, ChannelRules
from bot.outlets.notifying.channels import Channels
from bot.outlets.notifying.service import AddressError, AppriseService
from bot.secrets import SecretError, Secrets
from bot.settings import Settings
from bot.settings.notifications import ChannelSettings, NotificationsSettings

_STORE_SECONDS = 2.0  # a stop waits for no longer than this
HELD = "notify.channels"
"""Where the ground of a running bot holds its `Channels`."""


class ChannelOff(Exception):  # noqa: N818 - a state of the channel
    """Nothing can be told there; the text is one line with the remedy, and never the address."""


def service_of(name: str, channel: ChannelSettings, secrets: Secrets) -> AppriseService:
    """The service that a channel leads to; `ChannelOff` if there is none, whether the channel is enabled or not."""
    wanted = channel.url_secret
    try:
        found = secrets.get(wanted)
        if found is None:
            message = f"the secret {wanted} is not set: python -m bot secrets set {wanted}"
            raise ChannelOff(message)
        return AppriseService(found.value)
    except (SecretError, AddressError) as error:
        message = f"notifications.channels.{name}.url_secret {wanted}: {error}"
        raise ChannelOff(message) from error


def rules_of(channel: ChannelSettings, settings: NotificationsSettings) -> ChannelRules:
    """What a channel is told, and its bounds."""
    return ChannelRules(
        least=channel.severity,
        topics=frozenset(channel.topics),
        digest=None if channel.digest is None else channel.digest / 1_000,
        queue=settings.queue,
        per_minute=settings.per_minute,
        attempts=settings.attempts,
        timeout=settings.timeout / 1_000,
    )


def mark_of(identity: Identity) -> str:
    """How every title begins: which bot speaks, and in which world."""
    return f"[{identity.bot} {identity.mode.upper()}{' SIMULATED' if identity.simulated else ''}] "


def open_channels(settings: Settings, secrets: Secrets, identity: Identity, now: Callable[[], int]) -> Channels:
    """The channels of a run; nothing is connected. The journal must be there when they begin to tell: it keeps their log."""
    notifications = settings.notifications
    services: dict[str, AppriseService] = {}
    off: dict[str, str] = {}
    for name, channel in notifications.channels.items():
        if not channel.enabled:
            off[name] = "it is disabled"
            continue
        try:
            services[name] = service_of(name, channel, secrets)
        except ChannelOff as error:
            off[name] = str(error)
    if not services:
        return Channels((), off, notifications.topics.admits)
    from bot.outlets.notifying.log import DeliveryLog  # noqa: PLC0415 - SQLAlchemy is slow to import

    log = DeliveryLog(settings.database_url, keep=notifications.keep, seconds=_STORE_SECONDS)
    clean, mark = Redactor(secrets.values()).text, mark_of(identity)
    channels = tuple(
        Channel(name, service, rules_of(notifications.channels[name], notifications), now, record=log.add, mark=mark, clean=clean)
        for name, service in services.items()
    )
    return Channels(channels, off, notifications.topics.admits, log)
