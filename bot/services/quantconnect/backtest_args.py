"""What the use cases of cloud backtests are asked with."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from bot.services.use_case import Arguments
from sources.config import Duration
from sources.quantconnect.lean.config import BacktestConfig

Project = Annotated[int, Field(gt=0, le=2**53, description="id of the project")]
Reference = Annotated[str, Field(pattern=r"^\d+/[0-9a-fA-F]{4,64}$", description="PROJECT/BACKTEST, by their ids")]


class RunArguments(Arguments):
    """`qc.backtest`: run one. `out` is a directory for what it gives; `keep` leaves project and backtest in the cloud."""

    config: BacktestConfig
    analyse: bool = Field(default=False, description="remember what it taught")
    keep: bool = Field(default=True, description="false: what was made for this run is deleted afterwards")
    out: Path | None = Field(default=None, description="directory that the results are written to")
    node_wait: Duration = Field(default="10m", description="how long to wait for a free node")
    limit: Duration = Field(default="2h", description="how long it may run; then it is deleted, which frees the node")


class ListArguments(Arguments):
    """`qc.backtests`: those of all projects that are ours, or of one project."""

    project: Project | None = None


class ReadArguments(Arguments):
    """`qc.backtest-result` and `qc.delete-backtest`: one backtest."""

    project: Project
    backtest: str = Field(min_length=1, max_length=64, pattern=r"^[0-9a-zA-Z-]+$")


class ResultArguments(ReadArguments):
    """`qc.backtest-result`: what a backtest gave; `out` is a directory that it is written to."""

    out: Path | None = None


class CompareArguments(Arguments):
    """`qc.compare`: backtests side by side.

    `backtests` are in the cloud, `results` those that were written before, by name: the JSON of `bot backtest --json` or of a
    cloud result.
    """

    backtests: tuple[Reference, ...] = ()
    results: dict[str, dict[str, Any]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _several(self) -> Self:
        if not 2 <= len(self.backtests) + len(self.results) <= 20:
            message = f"{len(self.backtests) + len(self.results)} cannot be compared; give 2 to 20 of them"
            raise ValueError(message)
        return self


class Steps(Arguments):
    """The values of one parameter: from `min` to `max`, both included, by `step`."""

    min: float
    max: float
    step: float = Field(gt=0)

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if self.max < self.min:
            message = f"min {self.min:g} is above max {self.max:g}; exchange them"
            raise ValueError(message)
        return self


class By(StrEnum):
    """How a sweep is run: as an optimization, which costs credit, or as backtests on the nodes that are there."""

    OPTIMIZATION = "optimization"
    BACKTESTS = "backtests"


class Target(StrEnum):
    """What the results of a sweep are sorted by."""

    SHARPE = "sharpe"
    RETURN = "return"
    PROBABILISTIC_SHARPE = "probabilistic-sharpe"
    DRAWDOWN = "drawdown"


class EstimateArguments(Arguments):
    """`qc.estimate`: what a sweep would take. Nothing is started."""

    config: BacktestConfig
    parameters: dict[str, Steps] = Field(min_length=1, max_length=5)
    target: Target = Target.SHARPE
    by: By = By.BACKTESTS


class SweepArguments(EstimateArguments):
    """`qc.sweep`: unless `confirmed`, it only says what it would take."""

    confirmed: bool = Field(default=False, description="true: begin, at the estimated cost")
    most_credit: float | None = Field(default=None, ge=0, description="do not begin if it would cost more QCC than this")
    keep: bool = Field(default=True, description="false: what was made for it is deleted afterwards")
    node_wait: Duration = "10m"
    limit: Duration = Field(default="12h", description="how long all of it may take")


class Language(StrEnum):
    """What an algorithm is written in. C# has never been compiled here."""

    PYTHON = "python"
    CSHARP = "csharp"


class ExportArguments(Arguments):
    """`qc.export`: the files of a strategy as a LEAN project; `out` is the directory, absent: they are in the answer."""

    config: BacktestConfig
    out: Path | None = None
    language: Language = Language.PYTHON
