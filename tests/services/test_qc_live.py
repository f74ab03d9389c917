"""Live algorithms: deployed once whatever happens to the answer, ended for sure or not said to be, shown with what is missing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bot.core.decision import Fate, Tier
from bot.core.facts import DecisionFate, DecisionSeen, ShadowSampled
from bot.runtime.jobs import Progress
from bot.services.quantconnect import algorithms, deploying
from bot.services.use_case import Ground, UseCaseError
from simulators.quantconnect.faults import CompileError, Drop, Fault, LiveStuck, Refuse, Slow, Status
from simulators.quantconnect.server import QuantConnectSimulator
from sources.quantconnect.client import Client
from sources.quantconnect.errors import QcError
from sources.quantconnect.limits import Limits
from tests.services.qc_ground import ALGORITHM, QUICK, Clock, Told, asked, do, project_of, standing
from tests.services.qc_journal import NOW, journaled, lot, opinion

PATIENCE_S = 30.0


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks follow each other quickly."""
    monkeypatch.setattr(deploying, "LOOK_S", 0.05)
    monkeypatch.setattr(deploying, "FOLLOW_S", 0.05)


@pytest.fixture
async def simulator() -> AsyncIterator[QuantConnectSimulator]:
    async with QuantConnectSimulator(QUICK) as running:
        yield running


@pytest.fixture
async def ground(simulator: QuantConnectSimulator, tmp_path: Path) -> AsyncIterator[Ground]:
    async with standing(simulator.url, tmp_path, Clock(time.time_ns() // 1_000_000)) as made:
        yield made


def deployments(simulator: QuantConnectSimulator, project: int) -> list[str]:
    return [one.status for one in simulator.world.projects[project].deployments]


async def test_a_project_is_compiled_deployed_and_followed_until_it_runs(
    simulator: QuantConnectSimulator, ground: Ground
) -> None:
    project, told = project_of(simulator), Told()
    before = await do(ground, "qc.algorithms")
    found = await do(ground, "qc.deploy", told, project=project, cash={"USDT": 5_000.0})
    assert (found["status"], found["brokerage"], found["node"], found["looked"]) == ("Running", "PaperBrokerage", "LN-01", False)
    assert told.stages[:3] == ["project", "compiling", "deploying"]
    assert simulator.world.projects[project].deployments[0].cash == {"USDT": 5_000.0}
    after = await do(ground, "qc.algorithms")
    assert (len(before["algorithms"]), len(after["algorithms"])) == (0, 1), "a deployment lets go of the kept list"
    assert after["algorithms"][0]["name"] == "listening"


async def test_a_lost_answer_never_deploys_twice(simulator: QuantConnectSimulator, ground: Ground) -> None:
    project = project_of(simulator)
    simulator.inject(Drop(path="/live/create", after=True))
    found = await do(ground, "qc.deploy", project=project)
    assert (found["status"], found["looked"]) == ("Running", True)
    assert len(deployments(simulator, project)) == 1
    assert asked(simulator, "/live/create") == 1


async def test_a_request_that_got_lost_itself_is_not_repeated_but_said(simulator: QuantConnectSimulator, ground: Ground) -> None:
    project = project_of(simulator)
    simulator.inject(Drop(path="/live/create"))
    with pytest.raises(UseCaseError, match="it may still begin; look with `qc algorithms --fresh`"):
        await do(ground, "qc.deploy", project=project)
    assert deployments(simulator, project) == []
    assert asked(simulator, "/live/create") == 1


async def test_a_server_error_on_deploying_is_looked_up_too(simulator: QuantConnectSimulator, ground: Ground) -> None:
    project = project_of(simulator)
    simulator.inject(Status(502, path="/live/create", body="html"))
    with pytest.raises(UseCaseError, match="the answer was lost"):
        await do(ground, "qc.deploy", project=project)
    assert asked(simulator, "/live/create") == 1


async def impatient(ground: Ground) -> None:
    """A client that gives up at once."""
    limits = Limits(requests=100_000, tries=1, pause_s=0.01)
    client = Client("123456", "secret", base_url=ground.quantconnect.base_url, limits=limits)
    ground.held["quantconnect.client"] = await ground.closing.enter_async_context(client)


class AtStage(Told):
    """Lets a fault happen when work comes to a stage."""

    def __init__(self, simulator: QuantConnectSimulator, stage: str, *faults: Fault) -> None:
        super().__init__()
        self._simulator, self._stage, self._faults = simulator, stage, faults

    def __call__(self, progress: Progress) -> None:
        super().__call__(progress)
        if progress.stage == self._stage and self.stages.count(self._stage) == 1:
            for fault in self._faults:
                self._simulator.inject(fault)


async def test_a_look_that_fails_is_followed_by_another(simulator: QuantConnectSimulator, ground: Ground) -> None:
    await impatient(ground)
    project = project_of(simulator)
    faults = (Drop(path="/live/create", after=True), Status(503, path="/live/list", count=2), Status(503, path="/live/read"))
    found = await do(ground, "qc.deploy", AtStage(simulator, "deploying", *faults), project=project)
    assert (found["status"], found["looked"]) == ("Running", True)
    assert len(deployments(simulator, project)) == 1


async def test_a_deployment_that_cannot_be_looked_at_is_not_called_a_failure(
    simulator: QuantConnectSimulator, ground: Ground
) -> None:
    await impatient(ground)
    told = AtStage(simulator, "deploying", Status(503, path="/live/read", count=1_000))
    with pytest.raises(UseCaseError, match=r"L-[0-9a-f]+ was deployed, and cannot be looked at"):
        await do(ground, "qc.deploy", told, project=project_of(simulator), wait_s=0.2)


async def test_two_who_deploy_the_same_project_at_once_deploy_it_once(simulator: QuantConnectSimulator, ground: Ground) -> None:
    project = project_of(simulator)
    results = await asyncio.gather(*(do(ground, "qc.deploy", project=project) for _ in range(2)), return_exceptions=True)
    refused = [one for one in results if isinstance(one, UseCaseError)]
    assert len(refused) == 1
    assert "runs already" in str(refused[0])
    assert len(deployments(simulator, project)) == 1


async def test_a_project_that_cannot_be_built_says_where(simulator: QuantConnectSimulator, ground: Ground) -> None:
    project = project_of(simulator)
    simulator.inject(CompileError(line=7, message="invalid syntax"))
    with pytest.raises(UseCaseError, match=rf"project {project} cannot be built: .*line 7"):
        await do(ground, "qc.deploy", project=project)
    assert asked(simulator, "/live/create") == 0


async def test_no_free_node_is_said_with_who_uses_them(simulator: QuantConnectSimulator, ground: Ground) -> None:
    for _ in range(2):
        await simulator.deploy()
    with pytest.raises(UseCaseError, match=r"no live node is free .*momentum"):
        await do(ground, "qc.deploy", project=project_of(simulator))
    with pytest.raises(UseCaseError, match="live node LN-02 is busy; free are: none"):
        await do(ground, "qc.deploy", project=project_of(simulator), node="LN-02")


async def test_an_algorithm_that_ends_on_its_way_is_a_failure_with_its_status(
    simulator: QuantConnectSimulator, ground: Ground
) -> None:
    project = project_of(simulator)
    simulator.inject(LiveStuck("DeployError"))
    with pytest.raises(UseCaseError, match="was deployed and has ended, DeployError: forced"):
        await do(ground, "qc.deploy", project=project)


async def test_one_that_takes_long_to_start_is_told_as_it_is(simulator: QuantConnectSimulator, ground: Ground) -> None:
    simulator.inject(LiveStuck("Initializing"))
    found = await do(ground, "qc.deploy", project=project_of(simulator), wait_s=0.2)
    assert found["status"] == "Initializing"


async def test_a_project_that_is_gone_is_an_error(ground: Ground) -> None:
    with pytest.raises(QcError):
        await do(ground, "qc.deploy", project=1)


@pytest.mark.parametrize("case", ["qc.stop", "qc.liquidate"])
async def test_a_project_that_never_ran_is_named_with_where_to_look(case: str, ground: Ground) -> None:
    with pytest.raises(UseCaseError, match="project 99 never ran live, or is none of this account"):
        await do(ground, case, project=99)
    with pytest.raises(UseCaseError, match="project 99 never ran live"):
        await do(ground, "qc.algorithm", id="99")


async def test_another_brokerage_needs_words_that_are_bound_to_it(simulator: QuantConnectSimulator, ground: Ground) -> None:
    project = project_of(simulator)
    binance = {"id": "BinanceBrokerage", "binance-exchange-name": "Binance"}
    for words in ("", "yes", "deploy 1 on BinanceBrokerage", f"deploy {project} on KrakenBrokerage"):
        with pytest.raises(UseCaseError, match="may trade real money: confirm it with the words"):
            await do(ground, "qc.deploy", project=project, brokerage=binance, confirmed=words)
    assert asked(simulator, "/projects/read") == 0, "nobody was asked before it was confirmed"
    found = await do(ground, "qc.deploy", project=project, brokerage=binance, confirmed=f"deploy {project} on BinanceBrokerage")
    assert found["brokerage"] == "BinanceBrokerage"


async def test_keys_of_an_exchange_come_from_the_secrets_and_go_nowhere_else(
    simulator: QuantConnectSimulator, tmp_path: Path
) -> None:
    project = project_of(simulator)
    environ = {"QUANTCONNECT_USER_ID": "123456", "QUANTCONNECT_API_TOKEN": "secret", "BINANCE_API_KEY": "k-from-the-secrets"}
    words = f"deploy {project} on BinanceBrokerage"
    async with standing(simulator.url, tmp_path, Clock(1), environ) as ground:
        written: Mapping[str, object] = {"id": "BinanceBrokerage", "binance-api-key": "written-out"}
        with pytest.raises(UseCaseError, match="binance-api-key is a secret") as caught:
            await do(ground, "qc.deploy", project=project, brokerage=written, confirmed=words)
        assert "written-out" not in str(caught.value)
        missing = {"id": "BinanceBrokerage", "binance-api-secret": "secret:NOT_THERE"}
        with pytest.raises(UseCaseError, match="there is no secret NOT_THERE"):
            await do(ground, "qc.deploy", project=project, brokerage=missing, confirmed=words)
        named = {"id": "BinanceBrokerage", "binance-api-key": "secret:BINANCE_API_KEY"}
        found = await do(ground, "qc.deploy", project=project, brokerage=named, confirmed=words)
    assert found["status"] == "Running"
    assert "k-from-the-secrets" not in str(found)


async def test_stopping_is_seen_to_have_happened(simulator: QuantConnectSimulator, ground: Ground) -> None:
    project = (await simulator.deploy()).project.id
    found = await do(ground, "qc.stop", project=project)
    assert (found["status"], found["looked"]) == ("Stopped", False)
    assert deployments(simulator, project) == ["Stopped"]
    with pytest.raises(UseCaseError, match=f"no live algorithm of project {project} runs: L-[0-9a-f]+ is Stopped"):
        await do(ground, "qc.stop", project=project)


async def test_a_lost_answer_to_liquidate_is_looked_up_and_not_repeated(simulator: QuantConnectSimulator, ground: Ground) -> None:
    project = (await simulator.deploy()).project.id
    simulator.inject(Drop(path="/live/update/liquidate", after=True))
    found = await do(ground, "qc.liquidate", project=project)
    assert (found["status"], found["looked"]) == ("Liquidated", True)
    assert asked(simulator, "/live/update/liquidate") == 1


async def test_nobody_is_told_that_one_has_stopped_that_still_runs(simulator: QuantConnectSimulator, ground: Ground) -> None:
    project = (await simulator.deploy()).project.id
    simulator.inject(Drop(path="/live/update/stop"))
    with pytest.raises(UseCaseError, match="the answer was lost, and it is not known to have ended"):
        await do(ground, "qc.stop", project=project)
    assert deployments(simulator, project) == ["Running"]


async def test_a_service_that_cannot_be_looked_at_keeps_nobody_from_stopping(
    simulator: QuantConnectSimulator, ground: Ground
) -> None:
    project = (await simulator.deploy()).project.id
    simulator.inject(Status(503, path="/live/read", count=1))
    found = await do(ground, "qc.liquidate", project=project)
    assert found["status"] == "Liquidated"
    assert asked(simulator, "/live/update/liquidate") == 1


async def test_a_command_reaches_the_algorithm_and_is_refused_where_it_would_be_lost(
    simulator: QuantConnectSimulator, ground: Ground
) -> None:
    project = project_of(simulator)
    await do(ground, "qc.deploy", project=project)
    found = await do(ground, "qc.command", project=project, command={"$type": "Pause", "minutes": 5})
    assert found["status"] == "Running"
    assert simulator.counts()["events"]["commands"] == 1
    simulator.inject(Drop(path="/live/commands/create", after=True))
    with pytest.raises(UseCaseError, match="may have heard it; look at its log before you repeat it"):
        await do(ground, "qc.command", project=project, command={"again": True})
    assert asked(simulator, "/live/commands/create") == 2
    await do(ground, "qc.stop", project=project)
    with pytest.raises(UseCaseError, match="no live algorithm"):
        await do(ground, "qc.command", project=project, command={"late": True})
    simulator.inject(LiveStuck("Initializing"))
    await do(ground, "qc.deploy", project=project, wait_s=0.0)
    with pytest.raises(UseCaseError, match="a command sent before it runs is lost"):
        await do(ground, "qc.command", project=project, command={"early": True})


async def _traded(simulator: QuantConnectSimulator) -> int:
    """A running algorithm that has bought something."""
    running = await simulator.deploy({"main.py": ALGORITHM})
    async with asyncio.timeout(PATIENCE_S):
        while not (running.snapshot.orders and running.snapshot.portfolio["holdings"] and running.snapshot.charts):
            assert running.status == "Running", (running.error, running.snapshot.logs)
            await asyncio.sleep(0.02)
    return running.project.id


async def test_an_algorithm_is_shown_with_all_there_is_of_it(simulator: QuantConnectSimulator, ground: Ground) -> None:
    project = await _traded(simulator)
    assert isinstance(ground.now, Clock)
    ground.now.at = time.time_ns() // 1_000_000 + 2_000
    found = await do(ground, "qc.algorithm", id=str(project), rows=1)
    assert (found["status"], found["name"], found["active"]) == ("Running", "momentum", True)  # the name that the simulator gives
    assert found["statistics"]["equity"] > 0
    assert found["holdings"][0]["quantity"] > 0
    assert len(found["orders"]) == 1
    assert found["orders"][0]["side"] == "buy"
    assert found["equity"], "the curve is there"
    assert list(found["troubles"]) == ["ours"], "nothing is journaled here, which is said"
    same = await do(ground, "qc.algorithm", id=found["deployment"])
    assert same["project"] == project


async def test_what_cannot_be_read_of_an_algorithm_is_named_and_not_shown_as_nothing(
    simulator: QuantConnectSimulator, ground: Ground
) -> None:
    project = await _traded(simulator)
    simulator.inject(Refuse("No portfolio", path="/live/portfolio/read"))
    found = await do(ground, "qc.algorithm", id=str(project))
    assert found["holdings"] is None
    assert found["cash"] is None
    assert "No portfolio" in found["troubles"]["portfolio"]
    assert found["orders"]


async def test_a_part_that_takes_too_long_keeps_the_others_from_nobody(
    simulator: QuantConnectSimulator, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = await _traded(simulator)
    monkeypatch.setattr(algorithms, "PART_S", 0.5)
    simulator.inject(Slow(5.0, path="/live/orders/read"))
    found = await do(ground, "qc.algorithm", id=str(project))
    assert found["orders"] is None
    assert found["troubles"]["orders"] == "not there within 0.5 s; ask again later"
    assert found["holdings"]


async def test_of_an_older_deployment_only_the_list_tells(simulator: QuantConnectSimulator, ground: Ground) -> None:
    project = project_of(simulator)
    old = await do(ground, "qc.deploy", project=project)
    await do(ground, "qc.stop", project=project)
    new = await do(ground, "qc.deploy", project=project)
    with pytest.raises(UseCaseError, match=f"{old['deployment']} is not the newest"):
        await do(ground, "qc.algorithm", id=old["deployment"])
    with pytest.raises(UseCaseError, match="no deployment is called 'L-nothing'"):
        await do(ground, "qc.algorithm", id="L-nothing")
    listed = (await do(ground, "qc.algorithms"))["algorithms"]
    assert [(one["deployment"], one["active"]) for one in listed] == [(new["deployment"], True), (old["deployment"], False)]
    assert len((await do(ground, "qc.algorithms", active=True))["algorithms"]) == 1


async def test_the_bots_own_result_stands_beside_that_of_the_service(simulator: QuantConnectSimulator, ground: Ground) -> None:
    project = await _traded(simulator)
    fate: Any = DecisionFate(
        NOW, "d1", "quantconnect:momentum", Tier.QUANTCONNECT, "BTC/USDT", Fate.EXECUTED, None, "v1", "d1", "won"
    )
    shadow = ShadowSampled(NOW, "quantconnect:momentum", Tier.QUANTCONNECT, 10_012.0, Decimal("11.5"), 0.5, Decimal("0.2"), 3, 2)
    rule = lot("99", "rules:sma", Tier.TRADITIONAL)
    await journaled(
        ground,
        [
            DecisionSeen(NOW, opinion(1, project)),
            fate,
            DecisionSeen(NOW, opinion(2, project + 1, "quantconnect:other")),
            lot("12.50"),
            lot("-2.25"),
            rule,
            shadow,
        ],
    )
    ours = (await do(ground, "qc.algorithm", id=str(project)))["ours"]
    (source,) = ours["sources"]
    assert (source["source"], source["projects"], source["fates"]) == ("quantconnect:momentum", [project], {"executed": 1})
    assert (source["pnl"], source["trades"], source["wins"]) == ("10.25", 2, 1)
    assert (source["shadow"]["equity"], source["shadow"]["realised"]) == (10_012.0, "11.5")
    assert (ours["simulated"], ours["currency"]) == (True, "USDT")
