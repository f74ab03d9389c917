"""Settings: strict at every depth, layered, and able to say where every value came from.

`load` is the way in. Precedence: command line, environment (`ARBITER_RISK__MAX_DRAWDOWN=0.1`), the overlay of the data directory
(`config set`), `*.local.yaml`, `*.yaml`, and defaults last.
"""

from bot.settings.errors import ConfigError, Problem
from bot.settings.faults import schema
from bot.settings.layers import Origin, OriginKind
from bot.settings.loading import Effective, Loaded, config_hash, effective, load, public, reloaded
from bot.settings.models import Embedded, LogLevel, Policy, RiskSettings, Settings
from bot.settings.run import BannerFacts, MinuteFacts, RunMode, RunOptions, RunSummary, RunWatcher, SourceFacts

__all__ = [
    "BannerFacts",
    "ConfigError",
    "Effective",
    "Embedded",
    "Loaded",
    "LogLevel",
    "MinuteFacts",
    "Origin",
    "OriginKind",
    "Policy",
    "Problem",
    "RiskSettings",
    "RunMode",
    "RunOptions",
    "RunSummary",
    "RunWatcher",
    "Settings",
    "SourceFacts",
    "config_hash",
    "effective",
    "load",
    "public",
    "reloaded",
    "schema",
]
