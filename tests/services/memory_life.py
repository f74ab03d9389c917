"""What the tests of the memory's life share: closed lots, sources from YAML, and a ground to stand on."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

from bot.core.decision import Tier
from bot.core.facts import LotClosed, PositionChanged
from bot.core.market import Side
from bot.secrets import Secrets
from bot.services.use_case import Ground
from bot.settings import load
from bot.settings.template import bot_yaml, risk_yaml
from research.memory.evidence import BacktestEvidence, Subject
from sources.loading import LoadedSource, load_source
from sources.quantconnect.settings import Credentials
from tests.factories import BTC, RULE

DAY = 86_400_000
T0 = 1_700_000_000_000
NOW = T0 + 1_000 * DAY
SUBJECT = Subject(BTC, RULE, "1h")


def a_lot(
    at: int = T0 + DAY, pnl: float | str = 10, amount: float | str = 1, decision: str | None = "d1", **changed: Any
) -> LotClosed:
    """A long lot of the rule, bought at 100 a day earlier, whose result is `pnl` in money."""
    fields: dict[str, Any] = {
        "symbol": BTC,
        "side": Side.BUY,
        "entry": Decimal(100),
        "exit": Decimal(110),
        "opened": T0,
        "opener": RULE,
        "opener_tier": Tier.TRADITIONAL,
        "closer": RULE,
        "closing_leg": "entry",
        "fees": Decimal(0),
    }
    return LotClosed(at=at, amount=Decimal(str(amount)), pnl=Decimal(str(pnl)), opening_decision=decision, **(fields | changed))


def a_position(at: int, amount: float | str = 0, opener: str | None = None, symbol: str = BTC) -> PositionChanged:
    """What is left of a position."""
    return PositionChanged(at, symbol, Decimal(str(amount)), Decimal(100), 100.0, Decimal(0), Decimal(0), opener)  # type: ignore[arg-type]


def a_backtest(**changed: Any) -> BacktestEvidence:
    """A good backtest of the rule, over two years."""
    fields: dict[str, Any] = {
        "symbol": BTC,
        "strategy": RULE,
        "timeframe": "1h",
        "known_at": NOW,
        "began": T0,
        "until": T0 + 730 * DAY,
        "trades": 200,
        "total_return": 0.5,
        "max_drawdown": 0.06,
        "sharpe": 2.0,
        "win_rate": 0.6,
        "profit_factor": 2.0,
    }
    return BacktestEvidence(**(fields | changed))


def a_rule(directory: Path, name: str = "sma-cross", timeframe: str = "1h", **more: str) -> LoadedSource:
    """A source from a YAML file in `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    given = {"source": f"rules:{name}", "kind": "sma-cross", "timeframe": timeframe} | more
    file = directory / f"{name}.yaml"
    file.write_text("".join(f"{key}: {value}\n" for key, value in given.items()))
    return load_source(file)


def configured(place: Path) -> Path:
    """A directory of settings, all of them defaults."""
    config = place / "config"
    config.mkdir(exist_ok=True)
    (config / "bot.yaml").write_text(bot_yaml())
    (config / "risk.yaml").write_text(risk_yaml())
    return config


def a_ground(place: Path, *, simulated: bool = False, **settings: object) -> Ground:
    """A ground whose data are below `place`; settings by dotted key without `memory.`."""
    config = configured(place)
    given: dict[str, object] = {"bot.data_dir": str(place / "data")}
    given |= {f"memory.{name}": value for name, value in settings.items()}
    loaded = load(config, environ={}, overrides=given)
    return Ground(loaded, Secrets(place / "data", {}), lambda: NOW, Credentials(), simulated=simulated)
