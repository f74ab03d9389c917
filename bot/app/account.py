"""The account of a live run: opened with keys, guarded, and looked at before anything is risked.

It is a second connection to the venue, apart from the one that brings market data: an order never waits behind candles.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import structlog

from bot.app.crash_point import CrashPoints, CrashRefused, crash_points
from bot.app.world import World
from bot.core.orders import ZERO
from bot.core.tracking import NativeProtection
from bot.runtime.recovery import Recovered
from bot.secrets import Secrets
from bot.settings import ConfigError, Embedded, Loaded, Problem, Settings
from bot.settings.models import LiveProtection
from execution.account import AccountError, BalanceReport, Permissions, ReadFailed, VenueAccount
from execution.budget import Budget, BudgetRules, WindowBudget, loop_ms
from execution.error_budget import ErrorBudget, ErrorRules
from execution.guarded import AccountHealth, GuardedAccount

if TYPE_CHECKING:
    from execution.ccxt_account import CcxtAccount
    from execution.shared_budget import SharedBudget

log = structlog.get_logger(__name__)

_KEYS = {"apiKey": "API_KEY", "secret": "API_SECRET", "password": "API_PASSPHRASE"}
_NEEDS = ("apiKey", "secret", "password", "uid", "walletAddress", "privateKey", "token")
_MINUTE_MS = 60_000
_MORE = (NativeProtection.OFF, NativeProtection.STOP, NativeProtection.BOTH)
_WANTED = {
    LiveProtection.DESK: NativeProtection.OFF,
    LiveProtection.STOP: NativeProtection.STOP,
    LiveProtection.OCO: NativeProtection.BOTH,
}


@dataclass(slots=True)
class OpenAccount:
    """An open account, and the ccxt instance that speaks to it.

    `held` is what it held when it was opened; `keeps` says what protection the venue can hold on every symbol traded;
    a request can act at most `request_life_ms` after it was sent; our clock is about `ahead_ms` ahead of the venue's; `data`
    counts the failures of market data; `noticed` hears of the account's health.
    """

    exchange: Any
    account: VenueAccount
    guarded: GuardedAccount
    budget: Budget
    permissions: Permissions
    held: Mapping[str, BalanceReport]
    keeps: NativeProtection
    request_life_ms: int
    ahead_ms: int
    closing: AsyncExitStack
    crash: CrashPoints | None = None
    noticed: list[Callable[[AccountHealth], None]] = field(default_factory=list)
    data: ErrorBudget = field(default_factory=lambda: ErrorBudget("market data", ErrorRules()))

    def free(self, currency: str) -> Decimal:
        """What could be spent of a currency when the account was opened."""
        held = self.held.get(currency)
        return ZERO if held is None else held.free

    async def close(self) -> None:
        """Let go of the venue."""
        await self.closing.aclose()


def refuse_unless_meant(loaded: Loaded, secrets: Secrets) -> None:
    """Raise `ConfigError` unless everything is there that live trading must be given on purpose."""
    settings = loaded.settings
    problems = []
    if settings.live.confirm != "I-understand":
        remedy = "write live.confirm: I-understand in bot.yaml once you have read docs/how-to/go-live-safely.md"
        problems.append(_problem("live.confirm", settings.live.confirm, "--live sends real orders and is not confirmed", remedy))
    if settings.exchange.embedded is Embedded.ALWAYS:
        fault = "--live cannot trade in the simulated world"
        problems.append(_problem("exchange.embedded", "always", fault, "set exchange.embedded: never, or use --demo"))
    needed = _secret_names(settings)
    missing = [name for name in needed.values() if secrets.get(name) is None]
    if missing:
        remedy = f"`python -m bot secrets set {missing[0]}`, or set it in the environment"
        problems.append(_problem(", ".join(missing), "", f"--live needs the keys of {settings.exchange.id}", remedy))
    if problems:
        # In one line: nobody should have to start again to learn what else is missing.
        keys = ", ".join(f"{each.key} = {each.value!r}" if "." in each.key else each.key for each in problems)
        raise ConfigError(
            _problem(keys, "", "; ".join(each.fault for each in problems), "; ".join(each.remedy for each in problems)),
        )


async def open_account(loaded: Loaded, secrets: Secrets, clock: Callable[[], int], world: World) -> OpenAccount:
    """Open the account with the keys and see that it answers; from then on market data asks its budget too.

    Raises `ConfigError` when the venue cannot be reached or does not take the keys.
    """
    from bot.market.ccxt_venue import CcxtVenue, VenueConfig, VenueUnreachable  # noqa: PLC0415 - ccxt is heavy
    from execution.ccxt_account import AccountConfig, CcxtAccount  # noqa: PLC0415
    from execution.ccxt_stream import set_budget, trading  # noqa: PLC0415

    settings = loaded.settings
    exchange, config = settings.exchange, world.ccxt
    found = {key: secrets.get(name) for key, name in _secret_names(settings).items()}
    keys = {key: secret.value for key, secret in found.items() if secret is not None}
    crash = _crash_points(config)
    async with AsyncExitStack() as stack:
        wanted = VenueConfig(exchange.id, {**config, **keys}, exchange.sandbox, reach_timeout=exchange.connect_timeout / 1_000)
        try:
            venue = await CcxtVenue.open(wanted, derive=trading, clock=clock)
        except VenueUnreachable as error:
            raise ConfigError(_problem("exchange.id", exchange.id, str(error), "check the network and try again")) from error
        stack.push_async_callback(venue.close)
        budget = await _budget(settings, venue.exchange, stack)
        seconds = settings.live.call_timeout / 1_000
        plain = CcxtAccount(venue.exchange, budget, AccountConfig(order_timeout=seconds, read_timeout=seconds))
        changed: list[Callable[[AccountHealth], None]] = []
        guarded = GuardedAccount(
            plain if crash is None else crash.account(plain),
            exchange.id,
            on_change=lambda health: _tell(changed, health),
        )
        try:
            held = await guarded.balances()
            permissions = await guarded.permissions()
        except AccountError as error:
            silent = isinstance(error, ReadFailed) and error.transient
            remedy = "the venue does not answer; try again later" if silent else "check the keys and their permissions"
            fault = f"the account could not be read: {error.reason}"
            raise ConfigError(_problem("exchange.id", exchange.id, fault, remedy)) from error
        data = _watched(world.feed.venue.exchange, exchange.id)
        set_budget(world.feed.venue.exchange, budget)
        return OpenAccount(
            venue.exchange,
            guarded,
            guarded,
            budget,
            permissions,
            held,
            _keeps(plain, exchange.symbols),
            plain.request_life_ms,
            clock() - plain.now(),
            stack.pop_all(),
            crash,
            changed,
            data,
        )
    raise AssertionError  # the stack lets every exception through


def _keeps(account: CcxtAccount, symbols: Sequence[str]) -> NativeProtection:
    """What protection the venue can hold on every symbol."""
    from execution.ccxt_orders import Native  # noqa: PLC0415 - ccxt is heavy

    natives = [account.natives(symbol) for symbol in symbols]
    if not all(Native.STOP in found for found in natives):
        return NativeProtection.OFF
    pairs = all(Native.OCO in found for found in natives)
    return NativeProtection.BOTH if pairs else NativeProtection.STOP


def opening_cash(account: OpenAccount, recovered: Recovered, settings: Settings) -> Decimal:
    """What the books begin with: as they once did, else the bot's share of what is free. `ConfigError` if it is not there."""
    if recovered.balance is not None:
        return recovered.balance
    currency, wanted = settings.paper.currency, settings.live.allocation
    free = account.free(currency)
    if free <= ZERO or (wanted is not None and wanted > free):
        fault = f"the account has {free} {currency} free"
        remedy = f"deposit {currency}, or set paper.currency and live.allocation to what is there"
        raise ConfigError(_problem("live.allocation", "" if wanted is None else str(wanted), fault, remedy))
    return free if wanted is None else wanted


def native_protection(account: OpenAccount, settings: Settings) -> NativeProtection:
    """What of the protection rests at the venue: what the settings want, as far as the venue can."""
    return min(_WANTED[settings.live.protection], account.keeps, key=_MORE.index)


async def _budget(settings: Settings, exchange: Any, stack: AsyncExitStack) -> Budget:
    from execution.ccxt_stream import minute_weight  # noqa: PLC0415 - ccxt is heavy

    rules = BudgetRules(weight=minute_weight(exchange), window_ms=_MINUTE_MS, margin=settings.live.weight_margin)
    if not settings.live.share_limit:
        return WindowBudget(rules)
    return await _shared(settings, rules, stack)


async def _shared(settings: Settings, rules: BudgetRules, stack: AsyncExitStack) -> SharedBudget:
    from execution.shared_budget import SharedBudget  # noqa: PLC0415 - redis is heavy

    url = {"auto": "redis://127.0.0.1:6379/0"}.get(settings.redis.url, settings.redis.url)
    if url == "off":
        raise ConfigError(
            _problem("live.share_limit", "true", "a limit is shared through Redis, which is off", "set redis.url, or false")
        )
    return await stack.enter_async_context(
        SharedBudget(url, f"{settings.redis.prefix}.limits.{settings.exchange.id}", f"{settings.bot.name}.{os.getpid()}", rules)
    )


def _watched(exchange: Any, name: str) -> ErrorBudget:
    """An error budget for the market data of an exchange; a change of it is logged, and `status` shows it."""
    errors = ErrorBudget(f"{name} market data", ErrorRules(), loop_ms())

    def told(failed: bool) -> None:
        changed = errors.record(loop_ms(), failed=failed)
        if changed is not None:
            log.warning("dependency_changed", name=changed.name, condition=changed.condition.value, share=round(changed.share, 3))

    exchange.told = told
    return errors


def _tell(told: Iterable[Callable[[AccountHealth], None]], health: AccountHealth) -> None:
    for tell in told:
        tell(health)


def _secret_names(settings: Settings) -> dict[str, str]:
    """The names of the keys that the venue wants, by ccxt's own."""
    import ccxt.async_support as ccxt  # noqa: PLC0415 - ccxt is heavy

    wants = getattr(ccxt, settings.exchange.id)().requiredCredentials if settings.exchange.id in ccxt.exchanges else {}
    prefix = settings.exchange.id.upper()
    return {key: f"{prefix}_{_KEYS.get(key, key.upper())}" for key in _NEEDS if wants.get(key)}


def _crash_points(config: Mapping[str, Any]) -> CrashPoints | None:
    try:
        return crash_points(os.environ, _addresses(config.get("urls", {})))
    except CrashRefused as error:
        raise ConfigError(_problem("environment", "", str(error), "")) from error


def _addresses(urls: Any) -> list[str]:
    if isinstance(urls, Mapping):
        return [url for branch in urls.values() for url in _addresses(branch)]
    return [str(urls)]


def _problem(key: str, value: str, fault: str, remedy: str) -> Problem:
    return Problem("--live", key, value, fault, remedy)
