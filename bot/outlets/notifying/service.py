"""The services that messages go to, by apprise. An address holds a token: nothing here says more of it than its masked form."""

from __future__ import annotations

import logging
import re
import warnings
from types import ModuleType
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote, unquote

from bot.core.effects import Severity

if TYPE_CHECKING:
    from apprise import Apprise

_SHORTEST = 6
_LONGEST_DETAIL = 300
# A process cannot end while a thread of apprise's waits for a service: no longer than this, unless the address or its kind asks.
_CONNECT_SECONDS, _READ_SECONDS = 2.0, 3.0
# Where a service asks for no pause of its own apprise makes one of 5.5 s, and a message in three parts would not be sent in time.
_PAUSE_SECONDS = 1.0
_OVERFLOW = re.compile(r"[?&]overflow=", re.IGNORECASE)
_PARTS = re.compile(r"[/:@?&=,+\s]+")


class AddressError(Exception):
    """An address that apprise cannot read. The text does not quote it."""


class NotDelivered(Exception):  # noqa: N818 - it names what happened
    """A service refused a message, or did not answer. The text is one line without the address."""


class Service(Protocol):
    """Where messages go."""

    @property
    def masked(self) -> str:
        """Its address as anybody may see it."""
        ...

    async def send(self, severity: Severity, title: str, text: str, seconds: float) -> None:
        """Deliver one message within so long; `NotDelivered` if that failed or nobody knows."""
        ...


class AppriseService:
    """One address of apprise's. `AddressError` if it is none; importing apprise takes a quarter of a second.

    What is longer than its service takes is sent in parts, unless the address says otherwise (`?overflow=`).
    """

    def __init__(self, url: str) -> None:
        apprise = _loaded()
        asset = apprise.AppriseAsset(app_id="Arbiter", app_desc="Arbiter", storage_mode=apprise.PersistentStoreMode.MEMORY)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the first address makes it import all that it serves
            service = apprise.Apprise.instantiate(url.strip(), asset=asset)
        if not isinstance(service, apprise.NotifyBase):
            message = "its secret is no address that apprise knows; write SCHEMA://..., as in tgram://TOKEN/CHAT"
            raise AddressError(message)
        if service.request_timeout == apprise.URLBase().request_timeout:
            service.socket_connect_timeout, service.socket_read_timeout = _CONNECT_SECONDS, _READ_SECONDS
        if service.request_rate_per_sec == apprise.NotifyBase.request_rate_per_sec:
            service.request_rate_per_sec = _PAUSE_SECONDS
        if service.overflow_mode is apprise.OverflowMode.UPSTREAM and not _OVERFLOW.search(url):
            service.overflow_mode = apprise.OverflowMode.SPLIT  # a message that is too long for a service is refused whole
        self._apprise: Apprise = apprise.Apprise(asset=asset)
        self._apprise.add(service)
        self._parts = _parts(url)
        self.kind = str(service.service_name)
        self.masked = masked(str(service.url(privacy=True)), url)

    async def send(self, severity: Severity, title: str, text: str, seconds: float) -> None:
        """Deliver one message. apprise gives up by itself after `seconds`; its thread may still end later."""
        apprise = _loaded()
        kinds = {
            Severity.INFO: apprise.NotifyType.INFO,
            Severity.WARNING: apprise.NotifyType.WARNING,
            Severity.CRITICAL: apprise.NotifyType.FAILURE,
        }
        try:
            result = await self._apprise.async_notify(
                title=title, body=text, notify_type=kinds[severity], body_format=apprise.NotifyFormat.TEXT, timeout=seconds
            )
        except Exception as error:  # noqa: BLE001 - the boundary to services' libraries: whatever they raise, it was not delivered
            # Not chained: what a service's library says may quote the address.
            raise NotDelivered(self._clean(f"{type(error).__name__}: {error}")) from None
        if result:
            return
        if result.status is apprise.AppriseResultStatus.TIMEOUT:
            message = f"no answer within {seconds:g} s; it may have arrived"
            raise NotDelivered(message)
        said = [entry.message for entry in result.logs()]
        raise NotDelivered(self._clean(said[-1] if said else "refused"))

    def _clean(self, text: str) -> str:
        """One line without the address or any part of it."""
        for part in self._parts:
            text = text.replace(part, "***")
        return " ".join(text.split())[:_LONGEST_DETAIL]


def masked(private: str, url: str) -> str:
    """An address for people: apprise's private form without its parameters, and without what it left of paths and topics."""
    bare = private.partition("?")[0]
    scheme, mark, rest = bare.partition("://")
    place, slash, path = rest.partition("/")
    user, at, host = place.rpartition("@")
    if "." not in host and ":" not in host and host != "localhost":
        host = _masked_part(host, url)
    segments = [_masked_part(segment, url) for segment in path.split("/")]
    return f"{scheme}{mark}{user}{at}{host}{slash}{'/'.join(segments)}"


def _masked_part(part: str, url: str) -> str:
    plain = unquote(part)
    if len(plain) < _SHORTEST or (part not in url and plain not in unquote(url)):
        return part
    return f"{plain[0]}...{plain[-1]}"


def _parts(url: str) -> tuple[str, ...]:
    """The address, and whatever in it may be a token, longest first, as written and as an error may quote it."""
    plain = unquote(url)
    found = {part for text in (url, plain) for part in _PARTS.split(text) if len(part) >= _SHORTEST and not _is_host(part)}
    found |= {quote(part, safe="") for part in found}
    return tuple(sorted({url, plain, *found}, key=lambda part: (-len(part), part)))


def _is_host(part: str) -> bool:
    """Whether a part is a host's name, which helps to understand an error and is no secret."""
    return bool(re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", part)) or part == "localhost"


def _loaded() -> ModuleType:
    """apprise, whose own log is kept to itself: it quotes addresses, and what failed is told by the result."""
    import apprise  # noqa: PLC0415 - slow, and only needed where there is a channel

    logger = logging.getLogger("apprise")
    logger.setLevel(logging.WARNING)
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    return apprise
