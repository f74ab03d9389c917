"""The section `learning` of bot.yaml: what is learnt from closed decisions, and what it may do."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import BeforeValidator, Field, model_validator

from bot.settings.kinds import Count, NotNegative, Share, Strict, Wait


class Calibrate(StrEnum):
    """What calibration does to confidences."""

    OFF = "off"
    WATCH = "watch"
    ON = "on"


def _words(given: object) -> object:
    """YAML reads a bare off or on as no or yes."""
    return {False: "off", True: "on"}[given] if isinstance(given, bool) else given


class LearningSettings(Strict):
    """How far stated confidences came true, for every source, and what is made of it."""

    enabled: bool = Field(True, description="keep what came of every decision, and what people say of it")
    calibrate: Annotated[Calibrate, BeforeValidator(_words)] = Field(
        Calibrate.WATCH, description="off | watch: measure and show | on: confidences are calibrated within `max_shift`"
    )
    min_trades: Count = Field(30, description="fewer closed decisions move nothing (count)")
    many_trades: Count = Field(200, description="from so many on the map is isotonic, below it is a Beta map (count)")
    prior_trades: NotNegative = Field(50.0, description="weight of the stated confidence against the map (closed decisions)")
    max_shift: Share = Field(0.2, description="most that calibration moves a confidence (fraction)")
    window: Count = Field(2_000, description="newest closed decisions that are looked at per source (count)")
    feedback_weight: Annotated[float, Field(ge=0.0, le=0.9)] = Field(
        0.5, description="what people's word adds to or takes from the weight of a closed decision (fraction)"
    )
    adjust_threshold: bool = Field(False, description="move the threshold of sources to what earned, within the two bounds below")
    threshold_low: Share = Field(0.3, description="least threshold that is advised (fraction)")
    threshold_high: Share = Field(0.9, description="greatest threshold that is advised (fraction)")
    refit_every: Wait = Field(60_000, description="pace at which maps are learnt anew while decisions close (duration)")

    @model_validator(mode="after")
    def _in_order(self) -> LearningSettings:
        if self.threshold_low > self.threshold_high:
            message = f"threshold_low {self.threshold_low:g} is above threshold_high {self.threshold_high:g}; exchange them"
            raise ValueError(message)
        return self
