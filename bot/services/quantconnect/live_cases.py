"""The use cases of the account, of live algorithms and of signals."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field, StringConstraints, field_validator

from bot.runtime.jobs import Report, Result
from bot.services.quantconnect import account, algorithms, deploying, signals
from bot.services.use_case import Arguments, Ground, UseCase

Project = Annotated[int, Field(gt=0, le=2**53, description="id of a project")]
Fresh = Annotated[bool, Field(description="true: ask the service, however new the kept list is")]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64)]
Currency = Annotated[str, Field(pattern=r"^[A-Z0-9]{2,12}$")]


class NoArguments(Arguments):
    """`qc.test` and `qc.nodes`: none."""


class ListArguments(Arguments):
    """`qc.projects`: the list of projects."""

    fresh: Fresh = False


class AlgorithmsArguments(ListArguments):
    """`qc.algorithms`: all deployments, or those that run."""

    active: bool = False


class AlgorithmArguments(Arguments):
    """`qc.algorithm`: one; `id` is that of its project, or of its deployment."""

    id: Name
    rows: int = Field(default=20, ge=1, le=1_000, description="newest orders and trades")


class SignalsArguments(Arguments):
    """`qc.signals`: those of the journal, those of the service, or both."""

    limit: int = Field(default=50, ge=1, le=1_000)
    project: Project | None = None
    journal: bool = True
    service: bool = True


class DeployArguments(Arguments):
    """`qc.deploy`: see `bot.services.quantconnect.deploying.Wanted`."""

    model_config = ConfigDict(hide_input_in_errors=True)

    project: Project
    node: Name | None = None
    cash: dict[Currency, Annotated[float, Field(gt=0)]] = Field(default_factory=lambda: {"USDT": 10_000.0}, min_length=1)
    parameters: dict[str, str | float] = Field(default_factory=dict)
    brokerage: dict[str, Any] | None = Field(default=None, description="settings of another than paper; keys as `secret:NAME`")
    confirmed: str = Field(default="", description="for another than paper: `deploy PROJECT on BROKERAGE`")
    automatic_redeploy: bool = False
    version: Annotated[str, Field(pattern=r"^-?\d{1,9}$")] = "-1"
    wait_s: float = Field(default=120.0, ge=0, le=3_600, description="how long it is followed on its way to running")

    @field_validator("brokerage")
    @classmethod
    def _no_secret(cls, brokerage: dict[str, Any] | None) -> dict[str, Any] | None:
        """One that is written out would be kept with the job."""
        for name, value in (brokerage or {}).items():
            deploying.refuse_written(name, value)
        return brokerage


class ProjectArguments(Arguments):
    """`qc.stop` and `qc.liquidate`: the live algorithm of a project."""

    project: Project


class CommandArguments(ProjectArguments):
    """`qc.command`: what to tell the live algorithm of a project; `$type` names the class of the command."""

    command: dict[str, Any] = Field(min_length=1)


async def _test(ground: Ground, args: NoArguments, report: Report) -> Result:
    del args, report
    return (await account.try_access(ground)).as_json()


async def _nodes(ground: Ground, args: NoArguments, report: Report) -> Result:
    del args, report
    return {"at": ground.now(), "nodes": account.nodes_json(await account.nodes(ground))}


async def _projects(ground: Ground, args: ListArguments, report: Report) -> Result:
    del report
    found = await account.projects(ground, fresh=args.fresh)
    return {**found.as_json(), "projects": [account.project_json(one) for one in found.rows]}


async def _algorithms(ground: Ground, args: AlgorithmsArguments, report: Report) -> Result:
    del report
    found = await algorithms.algorithms(ground, active=args.active, fresh=args.fresh)
    return {**found.as_json(), "algorithms": [one.as_json() for one in found.rows]}


async def _algorithm(ground: Ground, args: AlgorithmArguments, report: Report) -> Result:
    return (await algorithms.algorithm(ground, args.id, report, rows=args.rows)).as_json()


async def _signals(ground: Ground, args: SignalsArguments, report: Report) -> Result:
    found = await signals.signals(
        ground, report, limit=args.limit, project=args.project, journal=args.journal, service=args.service
    )
    return found.as_json()


async def _deploy(ground: Ground, args: DeployArguments, report: Report) -> Result:
    wanted = deploying.Wanted(**{name: getattr(args, name) for name in DeployArguments.model_fields})
    return (await deploying.deploy(ground, wanted, report)).as_json()


async def _stop(ground: Ground, args: ProjectArguments, report: Report) -> Result:
    return (await deploying.stop(ground, args.project, report)).as_json()


async def _liquidate(ground: Ground, args: ProjectArguments, report: Report) -> Result:
    return (await deploying.stop(ground, args.project, report, liquidate=True)).as_json()


async def _command(ground: Ground, args: CommandArguments, report: Report) -> Result:
    return (await deploying.command(ground, args.project, args.command, report)).as_json()


CASES: tuple[UseCase[Any], ...] = (
    UseCase("qc.test", "try the credentials, and see what the account has", NoArguments, _test),
    UseCase("qc.projects", "list the projects", ListArguments, _projects, quick=True),
    UseCase("qc.algorithms", "list the live algorithms", AlgorithmsArguments, _algorithms, quick=True),
    UseCase("qc.algorithm", "show one live algorithm, and what the bot made of it", AlgorithmArguments, _algorithm),
    UseCase("qc.signals", "show signals: decided on, and held by the service", SignalsArguments, _signals),
    UseCase("qc.deploy", "start a live algorithm, on paper unless said otherwise", DeployArguments, _deploy),
    UseCase("qc.stop", "stop a live algorithm; what it holds stays held", ProjectArguments, _stop, quick=True),
    UseCase("qc.liquidate", "close what a live algorithm holds, and stop it", ProjectArguments, _liquidate, quick=True),
    UseCase("qc.command", "tell a live algorithm something", CommandArguments, _command),
    UseCase("qc.nodes", "list the machines", NoArguments, _nodes, quick=True),
)
