"""Sizing policies as they are configured: by name, each with its own parameters, all fractions of the source's capital."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from bot.settings.kinds import Count, Fraction, Period, Positive, Share, Strict


class FixedFractionSettings(Strict):
    """The same fraction of the capital every time."""

    policy: Literal["fixed-fraction"] = "fixed-fraction"
    fraction: Fraction = Field(0.10, description="of the source's capital")


class VolatilityTargetSettings(Strict):
    """The same risk every time: less of what moves more."""

    policy: Literal["volatility-target"] = "volatility-target"
    risk: Fraction = Field(0.005, description="of the capital, lost if the price moves `multiple` average true ranges")
    multiple: Positive = Field(2.0, description="average true ranges")
    period: Period = Field(14, description="candles of the average true range")
    fallback: Share = Field(0.05, description="of the capital, while there are fewer candles")


class ConfidenceScaledSettings(Strict):
    """More for the more confident."""

    policy: Literal["confidence-scaled"] = "confidence-scaled"
    least: Share = Field(0.02, description="of the capital, at confidence 0")
    most: Fraction = Field(0.20, description="of the capital, at confidence 1")


class KellySettings(Strict):
    """A share of what Kelly's formula gives for the source's shadow record."""

    policy: Literal["kelly"] = "kelly"
    cap: Fraction = Field(0.25, description="most of the capital, whatever the formula says")
    share: Fraction = Field(0.5, description="of the full Kelly fraction")
    least_trades: Count = Field(30, description="closed shadow trades before the formula is believed")
    fallback: Share = Field(0.05, description="of the capital, until then")


SizingSettings = Annotated[
    FixedFractionSettings | VolatilityTargetSettings | ConfidenceScaledSettings | KellySettings, Field(discriminator="policy")
]

BUILT_IN_SIZINGS: Mapping[str, SizingSettings] = {
    "fixed-fraction": FixedFractionSettings(),
    "volatility-target": VolatilityTargetSettings(),
    "confidence-scaled": ConfidenceScaledSettings(),
    "kelly": KellySettings(),
}


def with_built_in(given: Mapping[str, object]) -> dict[str, object]:
    """The given policies laid over the built-in ones; a built-in name needs only the parameters that differ."""
    merged: dict[str, object] = dict(BUILT_IN_SIZINGS)
    for name, parameters in given.items():
        built_in = BUILT_IN_SIZINGS.get(name)
        if (
            built_in is not None
            and isinstance(parameters, Mapping)
            and parameters.get("policy", built_in.policy) == built_in.policy
        ):
            merged[name] = {**built_in.model_dump(), **parameters}
        else:
            merged[name] = parameters
    return merged
