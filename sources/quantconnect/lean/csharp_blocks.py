"""The bot's rules and indicators written out in C#, by hand and after the Python: nobody has compiled them.

Windows are summed afresh at each candle where the bot folds blocks: the same numbers but for their last digits.
"""

from __future__ import annotations

from collections.abc import Mapping

PROPOSAL = """public class Proposal
{
    public InsightDirection Direction;
    public double Confidence;
    public string Reason;

    public Proposal(InsightDirection direction, double confidence, string reason)
    {
        Direction = direction;
        Confidence = confidence;
        Reason = reason;
    }

    /// <summary>Brings a strength of 0 and more into 0..1.</summary>
    public static double Squash(double strength)
    {
        return double.IsFinite(strength) ? strength / (1.0 + strength) : 1.0;
    }
}"""

_WINDOW = """/// <summary>The last numbers, the newest at the end.</summary>
public class Window
{
    private readonly int _period;
    private readonly List<double> _numbers = new List<double>();

    public Window(int period)
    {
        _period = period;
    }

    public bool IsFull { get { return _numbers.Count == _period; } }
    public double Mean { get { return _numbers.Average(); } }
    public double Highest { get { return _numbers.Max(); } }
    public double Lowest { get { return _numbers.Min(); } }

    public double Deviation
    {
        get
        {
            var mean = Mean;
            return Math.Sqrt(_numbers.Sum(number => (number - mean) * (number - mean)) / _period);
        }
    }

    public void Add(double number)
    {
        _numbers.Add(number);
        if (_numbers.Count > _period)
        {
            _numbers.RemoveAt(0);
        }
    }
}"""

_SMOOTHING = """/// <summary>An exponential average that begins with the mean of its first numbers.</summary>
public class Smoothing
{
    private readonly int _period;
    private readonly double _alpha;
    private int _seen;
    private double _sum;

    public Smoothing(int period, double alpha)
    {
        _period = period;
        _alpha = alpha;
    }

    public double? Value { get; private set; }

    public double? Update(double number)
    {
        if (Value.HasValue)
        {
            Value = Value.Value + _alpha * (number - Value.Value);
            return Value;
        }
        _seen += 1;
        _sum += number;
        if (_seen == _period)
        {
            Value = _sum / _period;
        }
        return Value;
    }
}"""

_SIMPLE = """public class Average
{
    private readonly Window _window;

    public Average(int period)
    {
        _window = new Window(period);
    }

    public double? Update(double number)
    {
        _window.Add(number);
        return _window.IsFull ? _window.Mean : (double?)null;
    }
}"""

_EXPONENTIAL = """public class Average
{
    private readonly Smoothing _smoothing;

    public Average(int period)
    {
        _smoothing = new Smoothing(period, 2.0 / (period + 1));
    }

    public double? Update(double number)
    {
        return _smoothing.Update(number);
    }
}"""

_RSI = """/// <summary>Wilder's relative strength index; 50 where nothing has moved.</summary>
public class Strength
{
    private readonly Smoothing _gain;
    private readonly Smoothing _loss;
    private double? _previous;

    public Strength(int period)
    {
        _gain = new Smoothing(period, 1.0 / period);
        _loss = new Smoothing(period, 1.0 / period);
    }

    public double? Update(double number)
    {
        var before = _previous;
        _previous = number;
        if (!before.HasValue)
        {
            return null;
        }
        var gain = _gain.Update(Math.Max(number - before.Value, 0.0));
        var loss = _loss.Update(Math.Max(before.Value - number, 0.0));
        if (!gain.HasValue || !loss.HasValue)
        {
            return null;
        }
        var moved = gain.Value + loss.Value;
        return moved > 0.0 ? 100.0 * (gain.Value / moved) : 50.0;
    }
}"""

_CROSS = """/// <summary>1 as one number comes to be above another, -1 as it comes to be below, else 0.</summary>
public class Crossing
{
    private int? _side;

    public int Update(double number, double other)
    {
        var gap = number - other;
        var slack = 1e-12 * Math.Abs(other);
        var side = gap > slack ? 1 : gap < -slack ? -1 : 0;
        var before = _side;
        _side = side;
        return !before.HasValue || before.Value == side ? 0 : side;
    }
}"""

_EXCURSION = """/// <summary>How far a number had left its range as it returns; negative from above.</summary>
public class Excursion
{
    private readonly double _low;
    private readonly double _high;
    private double _depth;

    public Excursion(double low, double high)
    {
        _low = low;
        _high = high;
    }

    public double Update(double number)
    {
        var depth = _depth;
        if (number < _low)
        {
            _depth = Math.Max(depth, _low - number);
            return Math.Min(depth, 0.0);
        }
        if (number > _high)
        {
            _depth = Math.Min(depth, _high - number);
            return Math.Max(depth, 0.0);
        }
        _depth = 0.0;
        return depth;
    }
}"""

_SCORE = """/// <summary>Distance from the mean of a window in its standard deviations.</summary>
public class Score
{
    private readonly Window _window;

    public Score(int period)
    {
        _window = new Window(period);
    }

    public double? Update(double number)
    {
        _window.Add(number);
        if (!_window.IsFull)
        {
            return null;
        }
        var deviation = _window.Deviation;
        var mean = _window.Mean;
        return deviation > 1e-12 * Math.Abs(mean) ? (number - mean) / deviation : 0.0;
    }
}"""

_TRUE_RANGE = """/// <summary>Average true range by Wilder's smoothing.</summary>
public class TrueRange
{
    private readonly Smoothing _average;
    private double? _close;

    public TrueRange(int period)
    {
        _average = new Smoothing(period, 1.0 / period);
    }

    public double? Update(double high, double low, double close)
    {
        var top = _close.HasValue ? Math.Max(high, _close.Value) : high;
        var bottom = _close.HasValue ? Math.Min(low, _close.Value) : low;
        _close = close;
        return _average.Update(top - bottom);
    }
}"""

_CROSSOVER = """public class Strategy
{
    private readonly Average _fast;
    private readonly Average _slow;
    private readonly Strength _rsi;
    private readonly double? _buyBelow;
    private readonly double? _sellAbove;
    private readonly Crossing _cross = new Crossing();

    public Strategy(int fast, int slow, int rsi, double? buyBelowRsi, double? sellAboveRsi)
    {
        _fast = new Average(fast);
        _slow = new Average(slow);
        _rsi = new Strength(rsi);
        _buyBelow = buyBelowRsi;
        _sellAbove = sellAboveRsi;
    }

    public Proposal Step(double high, double low, double close)
    {
        var fast = _fast.Update(close);
        var slow = _slow.Update(close);
        var rsi = _rsi.Update(close);
        if (!fast.HasValue || !slow.HasValue || !rsi.HasValue)
        {
            return null;
        }
        var turn = _cross.Update(fast.Value, slow.Value);
        if (turn > 0 && !(_buyBelow.HasValue && rsi.Value >= _buyBelow.Value))
        {
            return new Proposal(InsightDirection.Up, rsi.Value / 100.0, "fast average crossed above slow");
        }
        if (turn < 0 && !(_sellAbove.HasValue && rsi.Value <= _sellAbove.Value))
        {
            return new Proposal(InsightDirection.Down, 1.0 - rsi.Value / 100.0, "fast average crossed below slow");
        }
        return null;
    }
}"""

_RSI_REVERSION = """public class Strategy
{
    private readonly Strength _rsi;
    private readonly Excursion _excursion;
    private readonly double _oversold;
    private readonly double _overbought;

    public Strategy(int period, double oversold, double overbought)
    {
        _rsi = new Strength(period);
        _excursion = new Excursion(oversold, overbought);
        _oversold = oversold;
        _overbought = overbought;
    }

    public Proposal Step(double high, double low, double close)
    {
        var rsi = _rsi.Update(close);
        var depth = rsi.HasValue ? _excursion.Update(rsi.Value) : 0.0;
        if (depth > 0.0)
        {
            return new Proposal(InsightDirection.Up, 0.5 + 0.5 * depth / _oversold, "RSI back from oversold");
        }
        if (depth < 0.0)
        {
            return new Proposal(InsightDirection.Down, 0.5 - 0.5 * depth / (100.0 - _overbought), "RSI back from overbought");
        }
        return null;
    }
}"""

_BOLLINGER_REVERSION = """public class Strategy
{
    private readonly Score _score;
    private readonly Excursion _excursion;

    public Strategy(int period, double width)
    {
        _score = new Score(period);
        _excursion = new Excursion(-width, width);
    }

    public Proposal Step(double high, double low, double close)
    {
        var score = _score.Update(close);
        var depth = score.HasValue ? _excursion.Update(score.Value) : 0.0;
        if (depth == 0.0)
        {
            return null;
        }
        var confidence = 0.5 + 0.5 * Proposal.Squash(Math.Abs(depth));
        return depth > 0.0
            ? new Proposal(InsightDirection.Up, confidence, "close back from below the lower Bollinger band")
            : new Proposal(InsightDirection.Down, confidence, "close back from above the upper Bollinger band");
    }
}"""

_BOLLINGER_BREAKOUT = """public class Strategy
{
    private readonly Score _score;
    private readonly double _width;
    private readonly Crossing _upper = new Crossing();
    private readonly Crossing _middle = new Crossing();

    public Strategy(int period, double width)
    {
        _score = new Score(period);
        _width = width;
    }

    public Proposal Step(double high, double low, double close)
    {
        var score = _score.Update(close);
        if (!score.HasValue)
        {
            return null;
        }
        var beyond = _upper.Update(score.Value, _width);
        var back = _middle.Update(score.Value, 0.0);
        if (beyond > 0)
        {
            var confidence = 0.5 + 0.5 * Proposal.Squash(score.Value - _width);
            return new Proposal(InsightDirection.Up, confidence, "close above the upper Bollinger band");
        }
        if (back < 0)
        {
            var confidence = 0.5 + 0.5 * Proposal.Squash(-score.Value);
            return new Proposal(InsightDirection.Down, confidence, "close below the middle Bollinger band");
        }
        return null;
    }
}"""

_DONCHIAN = """public class Strategy
{
    private readonly Window _highs;
    private readonly Window _lows;
    private readonly TrueRange _range;
    private readonly Crossing _above = new Crossing();
    private readonly Crossing _below = new Crossing();

    public Strategy(int entry, int exit, int atr)
    {
        _highs = new Window(entry);
        _lows = new Window(exit);
        _range = new TrueRange(atr);
    }

    public Proposal Step(double high, double low, double close)
    {
        // the channel is that of the candles before this one
        var upper = _highs.IsFull ? _highs.Highest : (double?)null;
        var lower = _highs.IsFull && _lows.IsFull ? _lows.Lowest : (double?)null;
        _highs.Add(high);
        _lows.Add(low);
        var range = _range.Update(high, low, close);
        if (!upper.HasValue || !lower.HasValue || !range.HasValue)
        {
            return null;
        }
        var up = _above.Update(close, upper.Value);
        var down = _below.Update(close, lower.Value);
        if (up > 0)
        {
            var confidence = Beyond(close - upper.Value, range.Value);
            return new Proposal(InsightDirection.Up, confidence, "close above the Donchian channel");
        }
        if (down < 0)
        {
            var confidence = Beyond(lower.Value - close, range.Value);
            return new Proposal(InsightDirection.Down, confidence, "close below the Donchian channel");
        }
        return null;
    }

    private static double Beyond(double distance, double range)
    {
        return range > 0.0 ? 0.5 + 0.5 * Proposal.Squash(distance / range) : 0.5;
    }
}"""

_MOMENTUM = """public class Strategy
{
    private readonly List<double> _closes = new List<double>();
    private readonly int _period;
    private readonly double _enter;
    private readonly double _leave;
    private readonly Window _changes;
    private readonly Crossing _above = new Crossing();
    private readonly Crossing _below = new Crossing();

    public Strategy(int period, double enter, double leave)
    {
        _period = period;
        _enter = enter;
        _leave = leave;
        _changes = new Window(period);
    }

    public Proposal Step(double high, double low, double close)
    {
        _closes.Add(close);
        if (_closes.Count > 1)
        {
            _changes.Add(close / _closes[_closes.Count - 2] - 1.0);
        }
        if (_closes.Count <= _period)
        {
            return null;
        }
        var change = close / _closes[0] - 1.0;
        _closes.RemoveAt(0);
        var up = _above.Update(change, _enter);
        var down = _below.Update(change, -_leave);
        if (up <= 0 && down >= 0)
        {
            return null;
        }
        var usual = _changes.Deviation * Math.Sqrt(_period);
        var confidence = usual > 0.0 ? 0.5 + 0.5 * Proposal.Squash(Math.Abs(change) / usual) : 0.5;
        return up > 0
            ? new Proposal(InsightDirection.Up, confidence, "momentum above its level")
            : new Proposal(InsightDirection.Down, confidence, "momentum below its level");
    }
}"""

BLOCKS: Mapping[str, tuple[str, ...]] = {
    "sma-cross": (_CROSSOVER, _SIMPLE, _WINDOW, _RSI, _SMOOTHING, _CROSS),
    "ema-cross": (_CROSSOVER, _EXPONENTIAL, _RSI, _SMOOTHING, _CROSS),
    "rsi-reversion": (_RSI_REVERSION, _RSI, _SMOOTHING, _EXCURSION),
    "bollinger-reversion": (_BOLLINGER_REVERSION, _SCORE, _WINDOW, _EXCURSION),
    "bollinger-breakout": (_BOLLINGER_BREAKOUT, _SCORE, _WINDOW, _CROSS),
    "donchian": (_DONCHIAN, _WINDOW, _TRUE_RANGE, _SMOOTHING, _CROSS),
    "momentum": (_MOMENTUM, _WINDOW, _CROSS),
}
"""The classes of each rule that is written in C#; the first is the rule itself, with its parameters in the Python's order."""
