"""What a source's YAML may say, and the one line that tells a person what is wrong with it."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import BeforeValidator, Field, ValidationError, WithJsonSchema, field_validator, model_validator

from bot.core.decision import OnExpiry, SourceSpec, Tier
from bot.core.market import timeframe_ms
from sources.base import Protection, Strict


class SourceConfigError(ValueError):
    """A source's configuration is wrong. The message is one line: file, key, value and remedy."""

    def __init__(self, file: str | Path, key: str, value: object, remedy: str) -> None:
        shown = "" if value is None else f" = {str(value)[:60]!r}"
        where = f"{file}: {key}{shown}" if key else str(file)
        super().__init__(" ".join(f"{where}: {remedy}".split()))


def _tier(value: object) -> object:
    labels = {tier.label: tier for tier in Tier}
    if isinstance(value, Tier):
        return value
    if isinstance(value, str) and value in labels:
        return labels[value]
    message = f"give one of {', '.join(labels)}"
    raise ValueError(message)


def _duration(text: str) -> str:
    timeframe_ms(text)
    return text


def _expiry(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    if isinstance(value, str):
        return _duration(value)
    message = "give a number of candles, at least 1, or a duration such as 15m"
    raise ValueError(message)


def _decimal(value: object) -> object:
    """YAML writes 0.1; money means the decimal, not the binary float next to it."""
    return str(value) if isinstance(value, float) else value


TierName = Annotated[Tier, BeforeValidator(_tier), WithJsonSchema({"type": "string", "enum": [tier.label for tier in Tier]})]
DURATION = {"type": "string", "pattern": "^[0-9]+[smhdw]$"}
Duration = Annotated[str, BeforeValidator(lambda text: _duration(str(text))), WithJsonSchema(DURATION)]
Expiry = Annotated[int | str, BeforeValidator(_expiry), WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, DURATION]})]
Amount = Annotated[Decimal, BeforeValidator(_decimal)]
SourceName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*:[a-z0-9][a-z0-9._-]*$", max_length=64)]


class SourceConfig(Strict):
    """One source.

    `kind` names a built-in rule, or an entry point of the group `arbiter.rules`; `path` and `class` name a rule in a file.
    """

    source: SourceName = Field(description="unique name, such as rules:sma-cross")
    kind: str | None = Field(default=None, description="what it is: a built-in kind or an entry point")
    path: str | None = Field(default=None, description="a Python file with the rule, relative to this file")
    class_name: str | None = Field(default=None, alias="class", description="the rule's class in that file")
    tier: TierName = Field(default=Tier.TRADITIONAL, description="priority class; only a recorded source may choose it")
    enabled: bool = True
    symbols: tuple[str, ...] = Field(default=(), description="symbols it proposes for; empty means every symbol of the bot")
    timeframe: Duration = Field(default="1m", description="candles it sees")
    capital: Amount = Field(default=Decimal(1), gt=0, le=1, description="fraction of equity")
    threshold: float = Field(default=0.0, ge=0, le=1, description="least confidence with which it is heard")
    settle_ms: int | None = Field(
        default=None, ge=0, le=60_000, description="how long its proposal waits for others; absent: 0 for quantconnect, else 250"
    )
    max_claim_ms: int = Field(default=30_000, ge=0, le=600_000, description="longest claim it may make")
    hold_blocks: bool | None = Field(
        default=None, description="whether its standing HOLD also blocks lower tiers; absent: only for quantconnect"
    )
    adds: bool = Field(default=False, description="whether each buy adds to the position")
    on_expiry: OnExpiry = Field(default=OnExpiry.KEEP, description="what happens to its position when its decision expires")
    expiry: Expiry = Field(default=5, description="how long a decision stands: candles, or a duration such as 15m")
    sizing: str | None = Field(default=None, description="one of the desk's sizing policies; absent means the default")
    protection: Protection = Protection()
    params: dict[str, Any] = Field(default_factory=dict, description="the rule's own parameters")

    @field_validator("symbols")
    @classmethod
    def _unified(cls, symbols: tuple[str, ...]) -> tuple[str, ...]:
        for symbol in symbols:
            if not all(symbol.partition("/")):
                message = f"{symbol!r} is not a unified symbol; write it as BTC/USDT"
                raise ValueError(message)
        if len(set(symbols)) != len(symbols):
            message = "a symbol is listed twice; list it once"
            raise ValueError(message)
        return symbols

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        if (self.kind is None) == (self.path is None):
            message = "give either kind, or path and class"
            raise ValueError(message)
        if (self.path is None) != (self.class_name is None):
            message = "path and class go together: give both"
            raise ValueError(message)
        return self

    @property
    def horizon(self) -> int:
        """How long a decision stands, in milliseconds."""
        return self.expiry * timeframe_ms(self.timeframe) if isinstance(self.expiry, int) else timeframe_ms(self.expiry)

    def spec(self) -> SourceSpec:
        """What the desk must know of the source."""
        first = self.tier is Tier.QUANTCONNECT
        return SourceSpec(
            name=self.source,
            tier=self.tier,
            capital=self.capital,
            threshold=self.threshold,
            settle_ms=(0 if first else 250) if self.settle_ms is None else self.settle_ms,
            max_claim_ms=self.max_claim_ms,
            hold_blocks=first if self.hold_blocks is None else self.hold_blocks,
            adds=self.adds,
            on_expiry=self.on_expiry,
            symbols=self.symbols,
            paused=not self.enabled,
            sizing=self.sizing,
        )


def explain(error: ValidationError, file: str | Path, model: type[Strict], prefix: str = "") -> SourceConfigError:
    """The first fault of a validation in one line, and how many more there are."""
    first = error.errors()[0]
    loc = [str(part) for part in first["loc"]]
    key = ".".join([prefix, *loc] if prefix else loc)
    value = first.get("input")
    reason = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        known = _known(model, loc[:-1])
        close = difflib.get_close_matches(loc[-1], known, n=1)
        reason = (
            f"unknown key; did you mean {close[0]}?" if close else f"unknown key; remove it, or use one of {', '.join(known)}"
        )
    elif first["type"] == "missing":
        value, reason = None, "missing; add it"
    elif isinstance(value, dict | list | Strict):
        value = None
    more = f" ({error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return SourceConfigError(file, key, value, reason + more)


def _known(model: type[Strict], loc: Sequence[str]) -> list[str]:
    """The keys that the model at this place knows."""
    for part in loc:
        by_key = {field.alias or name: field.annotation for name, field in model.model_fields.items()}
        inner = by_key.get(part)
        if not (isinstance(inner, type) and issubclass(inner, Strict)):
            return []
        model = inner
    return [field.alias or name for name, field in model.model_fields.items()]


class _Loader(yaml.SafeLoader):
    """Safe YAML in which a key may be said once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: list[object] = []
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} is said twice; say it once", key_node.start_mark)
            seen.append(key)
        return super().construct_mapping(node, deep)


@lru_cache(maxsize=128)
def _parsed(text: str) -> object:
    """What a YAML text holds, which is the cache's own: parsing is slow, and most files stay as they are."""
    return yaml.load(text, Loader=_Loader)  # noqa: S506  # a SafeLoader with one check more


def read_yaml(file: Path) -> dict[str, object]:
    """The mapping that a YAML file holds; `SourceConfigError` if it cannot be read, is no YAML or no mapping."""
    try:
        content = copy.deepcopy(_parsed(file.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise SourceConfigError(
            file, "", None, f"cannot be read ({error}); check the path, its encoding and permissions"
        ) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "syntax"
        raise SourceConfigError(file, where, None, f"not valid YAML: {getattr(error, 'problem', None) or error}") from error
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise SourceConfigError(file, "", None, "must be a mapping of keys to values, beginning with `source: rules:my-name`")
    return content
