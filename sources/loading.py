"""Sources from their YAML files: one file, one source.

A kind is looked up in the tables below, then among the entry points of the group `arbiter.rules`; `path` and `class` name a rule
in a file. Rules, and what speaks with services outside, are imported only when a file names them.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol, cast

from pydantic import Field, ValidationError

from bot.core.decision import Decision, SourceSpec, Tier
from bot.core.market import MarketView, timeframe_ms
from bot.core.protocols import LiveSource
from sources.base import Proposer, Rule, RuleSource, Strict
from sources.config import Duration, SourceConfig, SourceConfigError, explain, read_yaml
from sources.means import Means
from sources.recorded import RECORDED, Entry, RecordedSource, read_recording
from sources.rules.dca import DcaParams
from sources.schedule import ScheduledSource

ENTRY_POINTS = "arbiter.rules"

RULES: Mapping[str, str] = {
    "sma-cross": "sources.rules.crossover:SmaCross",
    "ema-cross": "sources.rules.crossover:EmaCross",
    "rsi-reversion": "sources.rules.rsi_reversion:RsiReversion",
    "macd": "sources.rules.macd:MacdCross",
    "bollinger-breakout": "sources.rules.bollinger:BollingerBreakout",
    "bollinger-reversion": "sources.rules.bollinger:BollingerReversion",
    "donchian": "sources.rules.donchian:DonchianBreakout",
    "momentum": "sources.rules.momentum:Momentum",
    "atr-trend": "sources.rules.atr_trend:AtrTrend",
    "factors": "sources.rules.factors:FactorScore",
    "dca": "sources.rules.dca:Dca",
    "composed": "sources.rules.composed:Composed",
}

SERVICES: Mapping[str, str] = {"quantconnect": "sources.quantconnect.loading", "llm": "sources.llm.loading"}
"""Kinds of sources that speak with a service outside, and the module that makes them."""


class Service(Protocol):
    """What such a module has."""

    TIER: Tier
    Params: type[Strict]

    def read_params(self, file: Path, config: SourceConfig) -> Strict:
        """The `params` of its configuration; `SourceConfigError` if anything in them is wrong."""
        ...

    def about(self, params: Strict) -> str:
        """What it hears, in a few words."""
        ...

    def lacks(self, params: Strict, means: Means) -> str | None:
        """Why it cannot be heard, None if it can."""
        ...

    def timeframes(self, config: SourceConfig, params: Strict) -> tuple[str, ...]:
        """The candles it must be given; empty if it needs none."""
        ...

    def life(self, config: SourceConfig, params: Strict, traded: Sequence[str], means: Means) -> LiveSource:
        """The source, for a running bot."""
        ...


def service_of(kind: str) -> Service:
    """The module that makes sources of a kind; `KeyError` if none does."""
    return cast("Service", importlib.import_module(SERVICES[kind]))


class RecordedParams(Strict):
    """What a recorded source plays."""

    file: str = Field(min_length=1, description="JSONL file, relative to this one")
    repeat: Duration | None = Field(default=None, description="begin again after this long; absent means once")


@dataclass(frozen=True, slots=True)
class LoadedSource:
    """A source as its file describes it. Of `step` and `live`, the one that it cannot be gives None."""

    file: Path
    config: SourceConfig
    params: Strict
    rule: type[Rule] | None
    entries: tuple[Entry, ...] = ()
    service: Service | None = None

    @property
    def spec(self) -> SourceSpec:
        """What the desk must know of it."""
        return self.config.spec()

    def symbols(self, traded: Sequence[str]) -> tuple[str, ...]:
        """The symbols it proposes for: its own, else all that the bot trades."""
        return self.config.symbols or tuple(traded)

    def step(self, traded: Sequence[str]) -> RuleSource | None:
        """The source as a pure step: what backtest and replay drive, and a running bot too where `live` gives None."""
        rule = self.rule
        if rule is None:
            return None
        params = self.params
        proposer = Proposer(self.spec, self.config.horizon, self.config.protection)
        return RuleSource(proposer, lambda: rule(params), self.symbols(traded), self.config.timeframe)

    @property
    def timeframes(self) -> tuple[str, ...]:
        """The timeframes whose candles it must be given; empty if it needs none."""
        if self.service is not None:
            return self.service.timeframes(self.config, self.params)
        return () if self.rule is None else (self.config.timeframe,)

    @property
    def about(self) -> str:
        """What it is, in a few words."""
        if self.service is not None:
            return f"{self.config.kind}, {self.service.about(self.params)}"
        what = self.config.kind or str(self.config.path)
        return what if self.rule is None else f"{what}, candles {self.config.timeframe}"

    def lacks(self, means: Means) -> str | None:
        """What keeps it from being heard, such as credentials that nobody gave; None if nothing does."""
        return None if self.service is None else self.service.lacks(self.params, means)

    def live(self, traded: Sequence[str], means: Means | None = None) -> LiveSource | None:
        """The source with a life of its own: recorded and scheduled ones have one, and with `means` those that ask a service."""
        if self.service is not None:
            return None if means is None else self.service.life(self.config, self.params, traded, means)
        if isinstance(self.params, RecordedParams):
            repeat = self.params.repeat
            return RecordedSource(self.spec, self.entries, None if repeat is None else timeframe_ms(repeat))
        if isinstance(self.params, DcaParams):
            return ScheduledSource(self.spec, self.params.schedule, self.symbols(traded), self._scheduled_buy)
        return None

    def _scheduled_buy(self, symbol: str, slot: int, now: int, view: MarketView) -> Decision | None:
        assert isinstance(self.params, DcaParams)
        price = view.price(symbol)
        if price is None:
            return None
        proposer = Proposer(self.spec, self.config.horizon, self.config.protection)
        return proposer.decide(symbol, self.params.proposal(slot), now, slot, price)


def load_sources(directory: Path, overrides: Mapping[str, Mapping[str, object]] | None = None) -> list[LoadedSource]:
    """Every source of a directory's `*.yaml`, in the order of the file names; also the disabled ones, which are paused.

    `overrides` replaces settings by source name, `*` for all sources; nested mappings are merged. `SourceConfigError` if anything
    is wrong: nothing is loaded by halves.
    """
    if not directory.is_dir():
        raise SourceConfigError(directory, "", None, "no such directory; give one with a YAML file for each source")
    changes = overrides or {}
    loaded: dict[str, LoadedSource] = {}
    for file in sorted(directory.glob("*.yaml")):
        source = load_source(file, changes)
        name = source.config.source
        if name in loaded:
            raise SourceConfigError(file, "source", name, f"{loaded[name].file.name} has this name already; give each its own")
        loaded[name] = source
    for name in changes:
        if name != "*" and name not in loaded:
            known = ", ".join(loaded) or "none"
            raise SourceConfigError(directory, "overrides", name, f"no such source; known: {known}")
    return list(loaded.values())


def load_source(file: Path, overrides: Mapping[str, Mapping[str, object]] | None = None) -> LoadedSource:
    """The source of one YAML file; `SourceConfigError` if anything in it is wrong."""
    content = read_yaml(file)
    changes = overrides or {}
    for name in ("*", str(content.get("source"))):
        content = _merged(content, changes.get(name, {}))
    try:
        config = SourceConfig.model_validate(content)
    except ValidationError as error:
        raise explain(error, file, SourceConfig) from error
    if config.kind == RECORDED:
        return _recorded(file, config)
    if config.kind in SERVICES:
        service = service_of(str(config.kind))
        return LoadedSource(
            file, config.model_copy(update={"tier": service.TIER}), service.read_params(file, config), None, service=service
        )
    if config.tier is not Tier.TRADITIONAL:
        raise SourceConfigError(
            file, "tier", config.tier.label, "a rule is traditional; remove the key (only `kind: recorded` has one)"
        )
    rule = _rule(file, config)
    return LoadedSource(file, config, _params(file, config, rule.Params), rule)


def _merged(base: Mapping[str, object], over: Mapping[str, object]) -> dict[str, object]:
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, Mapping) else value
    return merged


def _params(file: Path, config: SourceConfig, model: type[Strict]) -> Strict:
    try:
        return model.model_validate(config.params)
    except ValidationError as error:
        raise explain(error, file, model, "params") from error


def _recorded(file: Path, config: SourceConfig) -> LoadedSource:
    params = _params(file, config, RecordedParams)
    assert isinstance(params, RecordedParams)
    recording = file.parent / params.file
    entries = read_recording(recording).get(config.source)
    if not entries:
        raise SourceConfigError(file, "params.file", params.file, f"has no line of {config.source}; add one, or correct `source`")
    tier = entries[0].line.tier
    if "tier" in config.model_fields_set and tier is not config.tier:
        raise SourceConfigError(file, "tier", config.tier.label, f"its lines in {params.file} say {tier.label}; make them agree")
    if params.repeat is not None:
        _check_repeat(file, params.repeat, entries)
    return LoadedSource(file, config.model_copy(update={"tier": tier}), params, None, tuple(entries))


def _check_repeat(file: Path, repeat: str, entries: Sequence[Entry]) -> None:
    last = max((entry.line.offset_ms or 0 for entry in entries), default=0)
    if any(entry.line.at is not None for entry in entries):
        raise SourceConfigError(file, "params.repeat", repeat, "only lines with offset_ms can repeat; remove it")
    if timeframe_ms(repeat) <= last:
        raise SourceConfigError(file, "params.repeat", repeat, f"the last line comes at {last} ms; repeat after that")


def _rule(file: Path, config: SourceConfig) -> type[Rule]:
    """The class that `kind`, or `path` and `class`, names."""
    key, value = ("path", config.path) if config.path is not None else ("kind", config.kind)
    try:
        found = _from_path(file, config) if config.path is not None else _from_kind(file, str(config.kind))
    except SourceConfigError:
        raise
    except Exception as error:  # the boundary to rules, which may be anybody's: importing one may raise anything
        raise SourceConfigError(file, key, value, f"cannot be imported: {type(error).__name__}: {error}") from error
    if not (inspect.isclass(found) and issubclass(found, Rule)) or inspect.isabstract(found):
        raise SourceConfigError(
            file, key, value, f"{getattr(found, '__name__', found)} is not a Rule with a step; derive it from Rule"
        )
    return found


def _from_kind(file: Path, kind: str) -> object:
    if kind in RULES:
        return _rule_class(kind)
    plugins = entry_points(group=ENTRY_POINTS)
    for plugin in plugins:
        if plugin.name == kind:
            return plugin.load()
    known = ", ".join([*RULES, RECORDED, *SERVICES, *sorted(plugins.names)])
    raise SourceConfigError(file, "kind", kind, f"unknown; use one of {known}, or give path and class")


def _from_path(file: Path, config: SourceConfig) -> object:
    path = (file.parent / str(config.path)).resolve()
    if not path.is_file():
        raise SourceConfigError(file, "path", config.path, "no such file; give a Python file relative to this one")
    name = f"arbiter_rule_{hashlib.sha256(str(path).encode()).hexdigest()[:16]}"
    described = importlib.util.spec_from_file_location(name, path)
    assert described is not None
    assert described.loader is not None
    module = importlib.util.module_from_spec(described)
    sys.modules[name] = module  # annotations are looked up there
    try:
        described.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    found = getattr(module, str(config.class_name), None)
    if found is None:
        raise SourceConfigError(file, "class", config.class_name, f"{path.name} has no such class")
    return found


def source_schema() -> dict[str, Any]:
    """JSON Schema of a source's YAML: the common keys, and for each built-in kind the schema of its `params`."""
    schema = SourceConfig.model_json_schema(by_alias=True)
    definitions: dict[str, Any] = schema.setdefault("$defs", {})
    cases = []
    models: dict[str, type[Strict]] = {kind: _rule_class(kind).Params for kind in RULES}
    models[RECORDED] = RecordedParams
    models |= {kind: service_of(kind).Params for kind in SERVICES}
    for kind, model in models.items():
        inner = model.model_json_schema(ref_template=f"#/$defs/{kind}.{{model}}")
        definitions.update({f"{kind}.{name}": part for name, part in inner.pop("$defs", {}).items()})
        definitions[f"{kind}.params"] = inner
        condition = {"properties": {"kind": {"const": kind}}, "required": ["kind"]}
        cases.append({"if": condition, "then": {"properties": {"params": {"$ref": f"#/$defs/{kind}.params"}}}})
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "allOf": cases}


def _rule_class(kind: str) -> type[Rule]:
    module, _, name = RULES[kind].partition(":")
    found: type[Rule] = getattr(importlib.import_module(module), name)
    return found
