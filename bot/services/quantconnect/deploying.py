"""Deploying, stopping and commanding live algorithms.

Each of these is sent once. Where the answer is lost, the service is looked at before anything else is done: an algorithm is never
deployed twice, and nobody is told that one has stopped that may still trade.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog

from bot.runtime.jobs import Progress, Report
from bot.secrets import Secrets
from bot.services.quantconnect.access import client_of
from bot.services.quantconnect.algorithms import changed, live_of
from bot.services.use_case import Ground, UseCaseError
from sources.quantconnect.client_live import MASTER, PAPER, Plan, paper
from sources.quantconnect.errors import Kind, QcError
from sources.quantconnect.models_live import LiveStatus
from sources.quantconnect.models_project import CompileState

if TYPE_CHECKING:
    from sources.quantconnect.client import Client
    from sources.quantconnect.models_live import LiveAlgorithm, LiveSummary
    from sources.quantconnect.models_project import Compile

log = structlog.get_logger(__name__)

LOOKS = 4
LOOK_S = 2.0
"""How often, and after which pause, the service is looked at after an answer was lost: a new deployment may be listed late."""
FOLLOW_S = 2.0
STOP_S = 20.0
"""Longest time until it is known that an algorithm has ended; it must be said while somebody still waits for the answer."""
GLANCE_S = 4.0
SECRET = "secret:"  # noqa: S105 - a prefix, not a secret
_SECRET_KEY = re.compile(r"(key|secret|token|password|passphrase|pin)$", re.IGNORECASE)
_TURNS = "quantconnect.turns"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be deployed, and how.

    `brokerage` are the settings of another brokerage than the service's own paper one; keys in them are written `secret:NAME`.
    `confirmed` must then be `phrase(...)` of it. `wait_s` is how long the deployment is followed on its way to running.
    """

    project: int
    node: str | None = None
    cash: Mapping[str, float] = field(default_factory=lambda: {"USDT": 10_000.0})
    parameters: Mapping[str, str | float] = field(default_factory=dict)
    brokerage: Mapping[str, Any] | None = None
    confirmed: str = ""
    automatic_redeploy: bool = False
    version: str = MASTER
    wait_s: float = 120.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """Where a live algorithm stands after something was done. `looked` says that the answer was lost and it was looked for."""

    project: int
    deployment: str
    status: str
    brokerage: str = ""
    node: str = ""
    error: str = ""
    looked: bool = False

    def as_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "project": self.project,
            "deployment": self.deployment,
            "status": self.status,
            "brokerage": self.brokerage,
            "node": self.node,
            "error": self.error,
            "looked": self.looked,
        }


def phrase(brokerage: Mapping[str, Any], project: int) -> str:
    """What must be typed to deploy on another brokerage: bound to this one and this project."""
    return f"deploy {project} on {brokerage.get('id')}"


async def deploy(ground: Ground, wanted: Wanted, report: Report) -> Outcome:
    """Compile a project and start it; `UseCaseError` where it runs already, cannot be built, has no node, or ends at once."""
    settings = _brokerage(wanted, ground.secrets)
    client = await client_of(ground)
    async with _turn(ground, wanted.project):
        report(Progress("project"))
        await client.projects.read(wanted.project)
        before = await client.live.list(project_id=wanted.project)
        running = next((one for one in before if one.active), None)
        if running is not None:
            message = f"project {wanted.project} runs already: {running.deploy_id} is {running.status.value}; stop it first"
            raise UseCaseError(message)
        report(Progress("compiling"))
        build = await _built(client, wanted.project)
        node = await _node(client, wanted)
        plan = Plan(
            wanted.project,
            build.compile_id,
            node,
            settings,
            version_id=wanted.version,
            automatic_redeploy=wanted.automatic_redeploy,
            parameters=wanted.parameters,
        )
        report(Progress("deploying", note="if it is cut off here, look with `qc algorithms`"))
        deployment, looked = await _sent(client, plan, {one.deploy_id for one in before}, report)
        changed(ground)
    live = await _followed(client, wanted, deployment, report)
    changed(ground)
    return Outcome(wanted.project, deployment, live.status.value, live.brokerage, node, live.message, looked)


async def stop(ground: Ground, project: int, report: Report, *, liquidate: bool = False) -> Outcome:
    """End the live algorithm of a project: what it holds stays held, unless it is liquidated.

    `UseCaseError` where none runs, or where it is not seen to have ended within `STOP_S`.
    """
    client = await client_of(ground)
    try:
        async with asyncio.timeout(STOP_S), _turn(ground, project):
            return await _stopped(ground, client, project, report, liquidate=liquidate)
    except TimeoutError as error:
        message = f"the service has not confirmed within {STOP_S:g} s that project {project} ended: it may still run; "
        raise UseCaseError(message + f"look with `qc algorithm {project}`, and try again") from error


async def _stopped(ground: Ground, client: Client, project: int, report: Report, *, liquidate: bool) -> Outcome:
    """Tell it to end, and look whether it did. That it cannot be looked at before keeps nobody from stopping it."""
    report(Progress("liquidating" if liquidate else "stopping"))
    deployment = await _to_stop(client, project)
    looked = False
    try:
        await (client.live.liquidate(project) if liquidate else client.live.stop(project))
    except QcError as error:
        if not error.may_have_happened:
            raise
        looked = True
        log.warning("quantconnect_answer_lost", endpoint=error.endpoint, project=project)
    changed(ground)
    ended = await _ended(client, project, deployment, report)
    if ended is None:
        lost = "the answer was lost, and it" if looked else "it was told to end, and"
        message = f"{lost} is not known to have ended: project {project}; try again, and look at it at QuantConnect"
        raise UseCaseError(message)
    if looked and liquidate and ended.status is not LiveStatus.LIQUIDATED:
        message = f"{ended.deploy_id} is {ended.status.value}, not liquidated: what it holds may still be held; "
        raise UseCaseError(message + f"look with `qc algorithm {project}`")
    return Outcome(project, ended.deploy_id, ended.status.value, ended.brokerage, error=ended.message, looked=looked)


async def _to_stop(client: Client, project: int) -> str:
    """The deployment that runs; empty where the service cannot be asked just now. `UseCaseError` where none runs."""
    try:
        async with asyncio.timeout(GLANCE_S):
            return (await _running(client, project)).deploy_id
    except TimeoutError:
        return ""
    except QcError as error:
        if not error.transient:
            raise
        return ""


async def command(ground: Ground, project: int, body: Mapping[str, Any], report: Report) -> Outcome:
    """Tell a running algorithm something; one that does not run would not hear it, which is a `UseCaseError`."""
    client = await client_of(ground)
    live = await _running(client, project)
    if live.status is not LiveStatus.RUNNING:
        message = f"{live.deploy_id} is {live.status.value}: a command sent before it runs is lost; wait until it is Running"
        raise UseCaseError(message)
    report(Progress("sending"))
    try:
        await client.live.command(project, body)
    except QcError as error:
        if not error.may_have_happened:
            raise
        message = (
            f"the answer was lost ({error.reason}): {live.deploy_id} may have heard it; look at its log before you repeat it"
        )
        raise UseCaseError(message) from error
    return Outcome(project, live.deploy_id, live.status.value, live.brokerage)


def _brokerage(wanted: Wanted, secrets: Secrets) -> Mapping[str, Any]:
    """The settings of the brokerage: paper money, or, confirmed, those that were given with their secrets filled in."""
    given = wanted.brokerage
    if given is None or given.get("id") == PAPER:
        return paper(wanted.cash)
    if not isinstance(given.get("id"), str) or not given["id"]:
        message = "a brokerage needs its `id`, such as BinanceBrokerage"
        raise UseCaseError(message)
    if wanted.confirmed != phrase(given, wanted.project):
        message = f"{given['id']} may trade real money: confirm it with the words {phrase(given, wanted.project)!r}"
        raise UseCaseError(message)
    return {name: _filled(name, value, secrets) for name, value in given.items()}


def _filled(name: str, value: object, secrets: Secrets) -> object:
    """A setting with the secret it names. One that is written out would be in the list of jobs: it is refused."""
    if isinstance(value, str) and value.startswith(SECRET):
        found = secrets.get(value.removeprefix(SECRET))
        if found is None:
            message = f"{name}: there is no secret {value.removeprefix(SECRET)}; store it with `python -m bot secrets set`"
            raise UseCaseError(message)
        return found.value
    try:
        refuse_written(name, value)
    except ValueError as error:
        raise UseCaseError(str(error)) from error
    return value


def refuse_written(name: str, value: object) -> None:
    """`ValueError` for a secret of a brokerage that is written out instead of named."""
    if _SECRET_KEY.search(name) and not (isinstance(value, str) and value.startswith(SECRET)):
        message = f"{name} is a secret: store it with `python -m bot secrets set NAME`, and write {name}={SECRET}NAME"
        raise ValueError(message)


async def _built(client: Client, project: int) -> Compile:
    build = await client.compiles.finished(project)
    if build.state is CompileState.BUILD_SUCCESS:
        return build
    if not build.logs:  # one that ends at once is told without its log
        build = await client.compiles.read(project, build.compile_id)
    told = "; ".join(error.text for error in build.errors[:3]) or f"it ended as {build.state.value}"
    message = f"project {project} cannot be built: {told}"
    raise UseCaseError(message)


async def _node(client: Client, wanted: Wanted) -> str:
    """The machine to deploy on: the chosen one, else the first that is free."""
    machines = (await client.projects.nodes(wanted.project)).nodes.live
    free = [node.id for node in machines if not node.busy]
    if wanted.node is not None and wanted.node not in free:
        state = "busy" if any(node.id == wanted.node for node in machines) else "not there"
        message = f"live node {wanted.node} is {state}; free are: {', '.join(free) or 'none'}"
        raise UseCaseError(message)
    if not free:
        used = ", ".join(f"{node.id} by {node.project_name or node.project_id}" for node in machines)
        message = f"no live node is free ({used or 'the account has none'}): stop an algorithm, or add a node at QuantConnect"
        raise UseCaseError(message)
    return wanted.node or free[0]


async def _sent(client: Client, plan: Plan, before: set[str], report: Report) -> tuple[str, bool]:
    """The id of the new deployment, and whether it had to be looked for."""
    try:
        return (await client.live.deploy(plan)).deploy_id, False
    except QcError as error:
        if error.kind is Kind.BAD_REQUEST and error.compile_unknown:
            message = "the service does not know the compile yet; nothing was deployed: try again"
            raise UseCaseError(message) from error
        if not error.may_have_happened:
            raise
        log.warning("quantconnect_answer_lost", endpoint=error.endpoint, project=plan.project_id)
        found = await _looked(client, plan.project_id, before, report)
        if found is None:
            message = (
                f"the answer was lost ({error.reason}), and no new deployment of project {plan.project_id} is seen: "
                "it may still begin; look with `qc algorithms --fresh` before you try again"
            )
            raise UseCaseError(message) from error
        return found.deploy_id, True


async def _looked(client: Client, project: int, before: set[str], report: Report) -> LiveSummary | None:
    """The deployment that came about although nobody said so."""
    for look in range(LOOKS):
        report(Progress("looking whether it was deployed", look + 1, LOOKS))
        await asyncio.sleep(LOOK_S)
        try:
            rows = await client.live.list(project_id=project)
        except QcError as error:
            _look_failed(error, project)
            continue
        found = next((row for row in rows if row.deploy_id not in before), None)
        if found is not None:
            return found
    return None


async def _followed(client: Client, wanted: Wanted, deployment: str, report: Report) -> LiveAlgorithm:
    """The algorithm as it is once it runs, or when the patience is over; `UseCaseError` if it ended instead."""
    loop = asyncio.get_running_loop()
    end = loop.time() + wanted.wait_s
    while True:
        try:
            live = await client.live.read(wanted.project)
        except QcError as error:
            if loop.time() >= end or not error.transient:
                message = f"{deployment} was deployed, and cannot be looked at: {error.reason}; {error.remedy}"
                raise UseCaseError(message) from error
            _look_failed(error, wanted.project)
        else:
            if live.deploy_id == deployment:
                if live.status is LiveStatus.RUNNING:
                    return live
                _not_ended(live, wanted.project)
            if loop.time() >= end:
                return live
            report(Progress(f"starting: {live.status.value}"))
        await asyncio.sleep(FOLLOW_S)


def _not_ended(live: LiveAlgorithm, project: int) -> None:
    if live.active or live.status in _ON_ITS_WAY:
        return
    reason = f": {live.message}" if live.message else ""
    message = f"{live.deploy_id} was deployed and has ended, {live.status.value}{reason}; look with `qc algorithm {project}`"
    raise UseCaseError(message)


def _look_failed(error: QcError, project: int) -> None:
    log.warning("quantconnect_look_failed", project=project, endpoint=error.endpoint, kind=error.kind)


_ON_ITS_WAY = frozenset({LiveStatus.UNKNOWN, LiveStatus.UNDEFINED, LiveStatus.PENDING_INPUT, LiveStatus.IDLE})


async def _running(client: Client, project: int) -> LiveAlgorithm:
    live = await live_of(client, project)
    if not live.active:
        message = f"no live algorithm of project {project} runs: {live.deploy_id or 'the last one'} is {live.status.value}"
        raise UseCaseError(message)
    return live


async def _ended(client: Client, project: int, deployment: str, report: Report) -> LiveAlgorithm | None:
    """The algorithm once it has ended, or is another; None where it is not known to have, after the last look."""
    for look in range(LOOKS):
        try:
            live = await client.live.read(project)
            if not live.active or (deployment and live.deploy_id != deployment):
                return live
        except QcError as error:
            if not error.transient:
                raise
            _look_failed(error, project)
        report(Progress("looking whether it has ended", look + 1, LOOKS))
        await asyncio.sleep(LOOK_S)
    return None


def _turn(ground: Ground, project: int) -> asyncio.Lock:
    """One at a time changes what a project runs: between looking and doing nobody else may do."""
    turns: dict[int, asyncio.Lock] = ground.held.setdefault(_TURNS, {})
    return turns.setdefault(project, asyncio.Lock())
