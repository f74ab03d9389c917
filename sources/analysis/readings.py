"""The newest value of every indicator of one timeframe."""

from __future__ import annotations

from dataclasses import dataclass

from sources.analysis import indicators as many
from sources.analysis.indicators import Directional
from sources.analysis.series import Series
from sources.analysis.values import Floats, Told, brief, last, ratio


@dataclass(frozen=True, slots=True)
class Indicators(Told):
    """Indicators at the last close; None where there are too few candles, or nothing moved or was traded.

    Averages, bands, `atr_14`, `vwap_20` and the MACD are in price; `atr_share`, `bollinger_width`, `roc_10` and `vwap_distance`
    are fractions; `bollinger_place` is 0 at the lower band and 1 at the upper; `volume_ratio` is the last volume to the mean of
    the 20 up to it; `obv_20` is the change of on-balance volume over 20 candles as a share of what was traded in them.
    """

    close: float | None = None
    sma_20: float | None = None
    sma_50: float | None = None
    sma_200: float | None = None
    ema_12: float | None = None
    ema_26: float | None = None
    ema_50: float | None = None
    rsi_14: float | None = None
    macd: float | None = None
    macd_signal: float | None = None
    macd_histogram: float | None = None
    bollinger_lower: float | None = None
    bollinger_middle: float | None = None
    bollinger_upper: float | None = None
    bollinger_place: float | None = None
    bollinger_width: float | None = None
    atr_14: float | None = None
    atr_share: float | None = None
    adx_14: float | None = None
    plus_di_14: float | None = None
    minus_di_14: float | None = None
    stochastic_k: float | None = None
    stochastic_d: float | None = None
    cci_20: float | None = None
    mfi_14: float | None = None
    williams_14: float | None = None
    roc_10: float | None = None
    donchian_lower: float | None = None
    donchian_upper: float | None = None
    obv_20: float | None = None
    vwap_20: float | None = None
    vwap_distance: float | None = None
    volume_ratio: float | None = None

    def known(self) -> dict[str, float]:
        """What is known, by name, rounded to five significant digits."""
        values = ((name, getattr(self, name)) for name in self.__slots__)
        return {name: brief(value) for name, value in values if value is not None}


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """The newest values, and the arrays that further judgements need."""

    now: Indicators
    atr: Floats
    fast: Floats
    slow: Floats
    strength: Directional


def measure(series: Series) -> Measured:
    """All indicators of a series."""
    high, low, close, volume = series.high, series.low, series.close, series.volume
    bands, channel = many.bollinger(close), many.donchian(high, low)
    macd, oscillator = many.macd(close), many.stochastic(high, low, close)
    atr, strength = many.atr(high, low, close), many.adx(high, low, close)
    fast, slow, vwap = many.ema(close, 20), many.ema(close, 50), many.vwap(high, low, close, volume)
    price, range_now, fair, mean_volume = last(close), last(atr), last(vwap), last(many.sma(volume, 20))
    now = Indicators(
        close=price,
        sma_20=last(bands.middle),
        sma_50=last(many.sma(close, 50)),
        sma_200=last(many.sma(close, 200)),
        ema_12=last(many.ema(close, 12)),
        ema_26=last(many.ema(close, 26)),
        ema_50=last(slow),
        rsi_14=last(many.rsi(close)),
        macd=last(macd.line),
        macd_signal=last(macd.signal),
        macd_histogram=last(macd.histogram),
        bollinger_lower=last(bands.lower),
        bollinger_middle=last(bands.middle),
        bollinger_upper=last(bands.upper),
        bollinger_place=last(bands.place(close)),
        bollinger_width=last(bands.width()),
        atr_14=range_now,
        atr_share=ratio(range_now, price),
        adx_14=last(strength.adx),
        plus_di_14=last(strength.plus),
        minus_di_14=last(strength.minus),
        stochastic_k=last(oscillator.k),
        stochastic_d=last(oscillator.d),
        cci_20=last(many.cci(high, low, close)),
        mfi_14=last(many.mfi(high, low, close, volume)),
        williams_14=last(many.williams(high, low, close)),
        roc_10=last(many.roc(close)),
        donchian_lower=last(channel.lower),
        donchian_upper=last(channel.upper),
        obv_20=_flow(series),
        vwap_20=fair,
        vwap_distance=None if price is None or fair is None else price / fair - 1.0,
        volume_ratio=ratio(last(volume), mean_volume),
    )
    return Measured(now, atr, fast, slow, strength)


def _flow(series: Series) -> float | None:
    """Change of on-balance volume over the last 20 candles, as a share of their volume: -1..1."""
    if len(series) <= 20:
        return None
    flow = many.obv(series.close[-21:], series.volume[-21:])
    return ratio(float(flow[-1]), float(series.volume[-20:].sum()))
