"""The services of an embedded world: QuantConnect and language models on loopback, which the real clients speak to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sources.llm.settings import AccessSettings
from sources.quantconnect.settings import Credentials

if TYPE_CHECKING:
    from simulators.exchange.server import ExchangeSimulator

_WEBHOOK_SECRET = "the secret of a simulated webhook"  # noqa: S105 - a simulator's, not a secret
_ALGORITHM = {"bars": "second", "period": "10", "threshold": "0.0004", "lasts": "8"}


@dataclass(frozen=True, slots=True)
class Services:
    """Who asks at the simulated QuantConnect, and how the simulated language models are asked: `keys` by name of the secret."""

    quantconnect: Credentials
    llm: AccessSettings
    keys: Mapping[str, str]


async def open_services(
    stack: AsyncExitStack, exchange: ExchangeSimulator, seed: int, symbols: Sequence[str], llm: AccessSettings
) -> Services:
    """Start them; they end with the stack. The roles of `llm` are kept, its providers are all simulated."""
    quantconnect = await _quantconnect(stack, exchange, symbols)
    models, keys = await _llm(stack, seed, llm)
    return Services(quantconnect, models, keys)


async def _quantconnect(stack: AsyncExitStack, exchange: ExchangeSimulator, symbols: Sequence[str]) -> Credentials:
    """QuantConnect, with the demonstration's algorithm live on the last symbol of the market that the bot trades."""
    from simulators.quantconnect.market import MarketSpec  # noqa: PLC0415 - only embedded worlds need it
    from simulators.quantconnect.server import QuantConnectSimulator  # noqa: PLC0415

    market = exchange.market
    spec = MarketSpec(market.seed, live_genesis=market.genesis, quotes_per_second=market.slots)
    service = await stack.enter_async_context(QuantConnectSimulator(spec=spec, seed=market.seed))
    # One symbol only, so that on the others the lower tiers are seen to settle their conflicts among themselves.
    await service.deploy(parameters={**_ALGORITHM, "tickers": symbols[-1].replace("/", "")})
    return Credentials(service.user, service.token, _WEBHOOK_SECRET, service.url)


async def _llm(stack: AsyncExitStack, seed: int, settings: AccessSettings) -> tuple[AccessSettings, Mapping[str, str]]:
    """Language models in the place of the well-known providers."""
    from simulators.llm.server import LlmSimulator  # noqa: PLC0415 - only embedded worlds need it

    service = await stack.enter_async_context(LlmSimulator(seed=seed))
    urls = {"openai": service.url, "anthropic": service.root, "gemini": service.gemini_url, "xai": service.url}
    known = AccessSettings().providers
    providers = {name: known[name].model_copy(update={"base_url": url}) for name, url in urls.items()}
    keys = {str(provider.key): service.key for provider in providers.values()}
    return settings.model_copy(update={"providers": providers}), keys
