"""A QuantConnect source from its configuration. Heavier than the configuration itself: import it where a source is made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from bot.core.decision import SourceSpec, Tier
from bot.core.protocols import LiveSource
from sources.base import Strict
from sources.config import SourceConfig, SourceConfigError, explain
from sources.means import Means
from sources.quantconnect.settings import KIND, Credentials, QuantConnectParams

if TYPE_CHECKING:
    from sources.quantconnect.budget import Budget
    from sources.quantconnect.source import QuantConnectSource

TIER = Tier.QUANTCONNECT
Params = QuantConnectParams


def quantconnect_params(file: Path, config: SourceConfig) -> QuantConnectParams:
    """The `params` of a source of the kind `quantconnect`; `SourceConfigError` if anything in them is wrong."""
    if config.kind != KIND:
        raise SourceConfigError(file, "kind", config.kind, f"this is no QuantConnect source; write kind: {KIND}")
    if "tier" in config.model_fields_set and config.tier is not Tier.QUANTCONNECT:
        raise SourceConfigError(file, "tier", config.tier.label, "QuantConnect is the highest tier; remove the key")
    if config.adds:
        raise SourceConfigError(file, "adds", config.adds, "QuantConnect sets targets; remove the key")
    try:
        params = QuantConnectParams.model_validate(config.params)
    except ValidationError as error:
        raise explain(error, file, QuantConnectParams, "params") from error
    if params.close_unheld and len(params.projects) != 1:
        raise SourceConfigError(file, "params.close_unheld", True, "what one project does not hold another may; give one project")
    return params


def quantconnect_spec(config: SourceConfig) -> SourceSpec:
    """What the desk must know of it: as configured, in the highest tier."""
    return config.model_copy(update={"tier": Tier.QUANTCONNECT}).spec()


def quantconnect_source(
    config: SourceConfig,
    params: QuantConnectParams,
    traded: Sequence[str],
    credentials: Credentials,
    budget: Budget | None = None,
) -> QuantConnectSource:
    """The source, for a running bot.

    `traded` are the bot's symbols, used where the configuration names none; `budget` is that of all who ask the service.
    """
    from sources.quantconnect.source import QuantConnectSource  # noqa: PLC0415 - the HTTP client is heavy

    symbols = config.symbols or tuple(traded)
    spec = quantconnect_spec(config)
    return QuantConnectSource(spec, params, config.horizon, symbols, credentials, protection=config.protection, budget=budget)


def read_params(file: Path, config: SourceConfig) -> Strict:
    """`quantconnect_params`, as every service has it."""
    return quantconnect_params(file, config)


def about(params: Strict) -> str:
    """Its routes."""
    assert isinstance(params, QuantConnectParams)
    return ", ".join(way.value for way in params.ways)


def lacks(params: Strict, means: Means) -> str | None:
    """What keeps every route from being heard. If one can be, the source runs, and those that cannot are seen to be degraded."""
    assert isinstance(params, QuantConnectParams)
    who = means.quantconnect
    if (params.polls and who.complete) or (params.webhook.enabled and who.webhook_secret):
        return None
    if params.webhook.enabled:
        return "its webhook needs a secret: set QUANTCONNECT_WEBHOOK_SECRET, 16 characters or more"
    return "nobody said who asks: set QUANTCONNECT_USER_ID and QUANTCONNECT_API_TOKEN" if params.polls else None


def timeframes(config: SourceConfig, params: Strict) -> tuple[str, ...]:
    """None: its algorithms look at markets of their own."""
    del config, params
    return ()


def life(config: SourceConfig, params: Strict, traded: Sequence[str], means: Means) -> LiveSource:
    """`quantconnect_source`, as every service has it."""
    assert isinstance(params, QuantConnectParams)
    return quantconnect_source(config, params, traded, means.quantconnect, means.budget)
