"""The webhook: what an algorithm sends by `notify.web`, heard on a listener of its own.

A message is proven by a secret in a header, or by an HMAC over its time, its nonce and its bytes; it is new (its time is near and
its id has not been seen within that time), small, and not too frequent. Whoever fails learns one word of why, and nothing else.
An HMAC is `sha256=` and the hex of HMAC-SHA256(secret, "{X-Timestamp}.{X-Nonce}." + body); the time is in Unix seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import orjson
import structlog

from bot.core.market import timeframe_ms
from sources.quantconnect.insights import LONGEST_ID, Signal, Unusable, Way, of_message
from sources.quantconnect.settings import WebhookAuth, WebhookParams
from sources.quantconnect.values import moment_ms

if TYPE_CHECKING:
    from aiohttp import web

log = structlog.get_logger(__name__)

STAMP, NONCE, SIGNATURE = "X-Timestamp", "X-Nonce", "X-Signature"
LEAST_SECRET = 16
READ_S = 5.0
"""How long a message may take to arrive."""
DELIVER_S = 2.0
"""How long it may wait for the desk's inbox."""

Deliver = Callable[[Sequence[Signal]], Awaitable[int]]
"""Hands signals on; gives how many of them were new."""


class Refusal(Exception):  # noqa: N818 - it names what happened
    """A message that is not taken: the HTTP status and one word of why."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Bucket:
    """So many in any minute, in the long run; times are in ms."""

    def __init__(self, per_minute: int) -> None:
        self._most = float(per_minute)
        self._left = float(per_minute)
        self._at = 0

    def take(self, at: int) -> bool:
        """Whether there is room for one more now."""
        self._left = min(self._most, self._left + max(0, at - self._at) * self._most / 60_000)
        self._at = at
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


class Once:
    """Remembers names for a time (ms). When it is full it takes no new ones: forgetting one would let its replay in."""

    def __init__(self, window_ms: int, most: int) -> None:
        self._window_ms = window_ms
        self._most = most
        self._seen: OrderedDict[str, int] = OrderedDict()

    def claim(self, name: str, at: int) -> None:
        """Note a name; `Refusal` where it is known (409) or where there is no room (503)."""
        while self._seen and next(iter(self._seen.values())) < at - self._window_ms:
            self._seen.popitem(last=False)
        if name in self._seen:
            raise Refusal(409, "replayed")
        if len(self._seen) >= self._most:
            raise Refusal(503, "busy")
        self._seen[name] = at

    def release(self, name: str) -> None:
        """Forget one whose message could not be delivered, so that it may come again."""
        self._seen.pop(name, None)


class Gate:
    """Decides about messages, without a socket. `ValueError` for a secret that is too short to be one."""

    def __init__(self, params: WebhookParams, secret: str) -> None:
        if len(secret.strip()) < LEAST_SECRET:
            message = f"the webhook's secret has less than {LEAST_SECRET} characters: set QUANTCONNECT_WEBHOOK_SECRET"
            raise ValueError(message)
        self._params = params
        self._secret = secret.strip().encode()
        self._window_ms = timeframe_ms(params.window)
        self._once = Once(2 * self._window_ms, max(1_000, params.per_minute * (2 * self._window_ms // 60_000 + 2)))
        self._taken = Bucket(params.per_minute)
        self._failed = Bucket(params.failures_per_minute)

    def knows(self, headers: Mapping[str, str]) -> None:
        """Look at the headers before anything is read; `Refusal` where they prove nothing."""
        if self._params.auth is WebhookAuth.SECRET:
            if not hmac.compare_digest(_bytes(headers.get(self._params.header, "")), self._secret):
                raise Refusal(401, "secret")
        elif not all(headers.get(name) for name in (STAMP, NONCE, SIGNATURE)):
            raise Refusal(401, "signature")

    def opened(self, headers: Mapping[str, str], body: bytes, at: int) -> tuple[list[Signal], str]:
        """The signals of a message whose headers are known, and the name under which it is now remembered; else `Refusal`."""
        stamp, nonce = self._signed(headers, body) if self._params.auth is WebhookAuth.HMAC else (None, "")
        if stamp is not None:
            self._near(stamp, at)
        signals = read_message(body, self._params.most_signals)
        if stamp is None:
            for signal in signals:
                self._near(signal.generated, at)
        if not self._taken.take(at):
            raise Refusal(429, "rate")
        name = nonce or hashlib.sha256("\x1f".join(signal.id for signal in signals).encode()).hexdigest()
        self._once.claim(name, at)
        return signals, name

    def _signed(self, headers: Mapping[str, str], body: bytes) -> tuple[int, str]:
        stamp, nonce = headers[STAMP], headers[NONCE]
        wanted = "sha256=" + hmac.new(self._secret, _bytes(f"{stamp}.{nonce}.") + body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(_bytes(headers[SIGNATURE].lower()), wanted.encode()):
            raise Refusal(401, "signature")
        at = moment_ms(stamp)
        if at is None or len(nonce) > LONGEST_ID:
            raise Refusal(400, "timestamp" if at is None else "nonce")
        return at, nonce

    def _near(self, stamp: int | None, at: int) -> None:
        if stamp is None:
            raise Refusal(400, "time")
        if abs(at - stamp) > self._window_ms:
            raise Refusal(401, "timestamp")

    def release(self, name: str) -> None:
        """The message could not be delivered: it may come again."""
        self._once.release(name)

    def patient(self, at: int) -> bool:
        """Whether one more refusal is answered by its reason."""
        return self._failed.take(at)


def _bytes(header: str) -> bytes:
    """A header as it was on the wire, which need not be text."""
    return header.encode(errors="surrogateescape")


def read_message(body: bytes, most: int) -> list[Signal]:
    """The signals of a body: one, a list of them, or a map with such a list; `Refusal` where one of them is none."""
    try:
        raw = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Refusal(400, "json") from None
    if isinstance(raw, dict):
        raw = next((raw[key] for key in ("signals", "insights", "Insights") if isinstance(raw.get(key), list)), raw)
    rows = raw if isinstance(raw, list) else [raw]
    if not rows or len(rows) > most:
        raise Refusal(400, "empty" if not rows else "signals")
    try:
        return [of_message(row, Way.WEBHOOK) for row in rows]
    except Unusable as error:
        log.warning("quantconnect_webhook_unusable", reason=str(error))
        raise Refusal(400, "signal") from None


_REMEDIES: Mapping[str, str] = {
    "secret": "give the algorithm the secret that is in QUANTCONNECT_WEBHOOK_SECRET, or find out who else posts here",
    "signature": "sign with the secret that is in QUANTCONNECT_WEBHOOK_SECRET, or find out who else posts here",
    "replayed": "give every message an id of its own, or find out who sends it again",
    "timestamp": "set the clocks, or find out what holds messages back",
    "rate": "send less, or raise params.webhook.per_minute",
    "size": "send less at once, or raise params.webhook.largest",
}
_WRITE = "write id, symbol, side and time as the guide has them"


async def _nobody(trouble: str) -> None:
    del trouble


class Listener:
    """The HTTP server around a `Gate`. `counts` by outcome; `now` in ms UTC; `port` is the real one once it listens.

    `troubled` is told of what was refused through the fault of who sent it, and of what to do.
    """

    def __init__(
        self,
        params: WebhookParams,
        secret: str,
        now: Callable[[], int],
        deliver: Deliver,
        troubled: Callable[[str], Awaitable[None]] = _nobody,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.port = params.port
        self._params = params
        self._gate = Gate(params, secret)
        self._now = now
        self._deliver = deliver
        self._troubled = troubled

    async def serve(self, ready: Callable[[], Awaitable[None]]) -> None:
        """Listen until cancelled; `OSError` where the port is taken. Awaits `ready` once it listens."""
        from aiohttp import web  # noqa: PLC0415 - heavy

        app = web.Application(client_max_size=self._params.largest)
        app.router.add_post(self._params.path, self._taken)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0, handle_signals=False)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._params.host, self._params.port).start()
            self.port = runner.addresses[0][1]
            log.info("quantconnect_webhook_listens", host=self._params.host, port=self.port, path=self._params.path)
            await ready()
            await asyncio.Event().wait()  # for its cancellation
        finally:
            await runner.cleanup()

    async def _taken(self, request: web.Request) -> web.Response:
        from aiohttp import web  # noqa: PLC0415 - heavy

        try:
            new = await self._heard(request)
        except web.HTTPRequestEntityTooLarge:
            return await self._refused(413, "size")
        except Refusal as refusal:
            return await self._refused(refusal.status, refusal.reason)
        except TimeoutError:
            return await self._refused(408, "slow")
        self.counts["taken"] += 1
        return web.json_response({"new": new}, status=202)

    async def _heard(self, request: web.Request) -> int:
        self._gate.knows(request.headers)
        if (request.content_length or 0) > self._params.largest:
            raise Refusal(413, "size")
        async with asyncio.timeout(READ_S):
            body = await request.read()
        signals, name = self._gate.opened(request.headers, body, self._now())
        delivered = False
        try:
            async with asyncio.timeout(DELIVER_S):
                new = await self._deliver(signals)
            delivered = True
        except TimeoutError:
            raise Refusal(503, "busy") from None
        finally:
            if not delivered:
                self._gate.release(name)
        return new

    async def _refused(self, status: int, reason: str) -> web.Response:
        from aiohttp import web  # noqa: PLC0415 - heavy

        self.counts[f"refused_{reason}"] += 1
        if not self._gate.patient(self._now()):
            return web.Response(status=429, headers={"Retry-After": "60"})
        log.warning("quantconnect_webhook_refused", status=status, reason=reason)
        if status < 500:
            with contextlib.suppress(TimeoutError):  # the answer does not wait for a desk that is busy
                async with asyncio.timeout(DELIVER_S):
                    await self._troubled(f"a message was refused ({reason}): {_REMEDIES.get(reason, _WRITE)}")
        headers = {"Retry-After": "60"} if status in {429, 503} else {}
        return web.json_response({"error": reason}, status=status, headers=headers)
