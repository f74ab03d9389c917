"""What rules take from the bot's framework, in the few lines that an algorithm needs of it.

The keys are the names by which rules import them; each comes with the other names that its text needs.
"""

from __future__ import annotations

from collections.abc import Mapping

CANDLE = ("at", "ts", "open", "high", "low", "close", "volume")
"""What an algorithm's candle has."""

_CANDLE = '''class Candle:
    """A closed candle; it began at `ts` and was known at `at`, both in milliseconds UTC."""

    def __init__(self, ts: int, at: int, open: float, high: float, low: float, close: float, volume: float) -> None:
        self.ts, self.at = ts, at
        self.open, self.high, self.low, self.close, self.volume = open, high, low, close, volume'''

_ACTION = '''class Action(Enum):
    """What a proposal asks for."""

    BUY = "buy"
    SELL = "sell"
    HOLD = "hold"'''

_PROPOSAL = '''class Proposal:
    """What a rule proposes: confidence from 0 to 1, stop and target as prices, trailing as a fraction of the price."""

    def __init__(
        self, action, confidence, reasoning="", evidence=None, stop_loss=None, take_profit=None, trailing=None,
        size_fraction=None, slot=None,
    ):
        self.action, self.confidence, self.reasoning, self.evidence = action, confidence, reasoning, evidence or {}
        self.stop_loss, self.take_profit, self.trailing = stop_loss, take_profit, trailing
        self.size_fraction, self.slot = size_fraction, slot'''

_RULE = '''class Rule:
    """A strategy: `step` takes a closed candle and proposes, or not. `parts` are the attributes that hold its indicators."""

    parts = ()

    @property
    def warmup(self) -> int:
        """Candles it must see before its indicators are warm."""
        return max((getattr(self, name).warmup for name in self.parts), default=0)'''

_INDICATOR = '''class Indicator:
    """One candle in, one number out: `value` is None until `warmup` updates have been seen."""

    def __init__(self, warmup: int) -> None:
        self.warmup = warmup
        self.value = None'''

_STRICT = '''class Strict:
    """Parameters by name; those that are not given are as written in the class."""

    def __init__(self, **given):
        for name, value in given.items():
            setattr(self, name, value)'''

_SCHEDULE = '''class Schedule:
    """Slots every so many milliseconds, counted from the beginning of 1970, UTC."""

    def __init__(self, every: int, offset: int = 0) -> None:
        self.every, self.offset = every, offset

    def next_after(self, at: int) -> int:
        """The first slot after a time."""
        return at - (at - self.offset) % self.every + self.every

    def latest(self, slot: int, at: int) -> int:
        """The last slot that is not after a time."""
        return at - (at - slot) % self.every'''

PRELUDE: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "Action": (_ACTION, ()),
    "Candle": (_CANDLE, ()),
    "Evidence": ("Evidence = dict", ()),
    "Indicator": (_INDICATOR, ()),
    "Proposal": (_PROPOSAL, ("Action",)),
    "Rule": (_RULE, ()),
    "Schedule": (_SCHEDULE, ()),
    "Strict": (_STRICT, ()),
}
