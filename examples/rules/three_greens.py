"""Three green candles in a row are a buy, three red ones a sell: a rule in one small file."""

from typing import ClassVar

from pydantic import Field

from bot.core.decision import Action
from bot.core.indicators import SMA, Cross
from bot.core.market import Candle, MarketView
from sources.base import Proposal, Rule, Strict


class ThreeGreensParams(Strict):
    """What the YAML may say under `params`."""

    candles: int = Field(default=3, ge=2, description="candles of one colour that make a signal")


class ThreeGreens(Rule):
    """Proposes once, as the last candle of a row closes."""

    Params: ClassVar[type[Strict]] = ThreeGreensParams

    def __init__(self, params: ThreeGreensParams) -> None:
        self.colour = SMA(params.candles)
        self.volume = SMA(params.candles * 10)
        self.green = Cross()
        self.red = Cross()

    def step(self, candle: Candle, view: MarketView) -> Proposal | None:
        """All green makes the mean colour 1, all red makes it -1; a cross of either is news."""
        colour = self.colour.update(1.0 if candle.close > candle.open else -1.0)
        usual = self.volume.update(candle.volume)
        if colour is None or usual is None:
            return None
        green, red = self.green.update(colour, 0.99), self.red.update(colour, -0.99)
        confidence = candle.volume / (candle.volume + usual) if candle.volume else 0.0
        if green > 0:
            return Proposal(Action.BUY, confidence, "a row of green candles", {"volume": candle.volume, "usual": usual})
        if red < 0:
            return Proposal(Action.SELL, confidence, "a row of red candles", {"volume": candle.volume, "usual": usual})
        return None
