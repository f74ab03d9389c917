"""`qc`: the account, live algorithms and signals as a person sees them."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from simulators.quantconnect.faults import Drop, Refuse, Status
from simulators.quantconnect.server import QuantConnectSimulator
from tests.cli.qc_world import PATIENCE_S, QUICK, Shell, started


@pytest.fixture
async def qc(cli: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shell]:
    async with QuantConnectSimulator(QUICK) as running:
        yield Shell(running, cli, monkeypatch)


async def test_the_test_tells_what_is_well_and_what_is_there(qc: Shell) -> None:
    code, out, err = await qc("test")
    assert (code, err) == (0, "")
    assert "access" in out
    assert "credit 12.50 QCC" in out
    code, out, err = await qc("test", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["ok"] is True


async def test_a_wrong_token_fails_with_its_remedy_and_is_shown_nowhere(qc: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUANTCONNECT_API_TOKEN", "wrong-as-can-be")
    code, out, err = await qc("test")
    assert code == 1
    assert "BROKEN" in out
    assert "QUANTCONNECT_API_TOKEN is not the token" in out
    code, out, more = await qc("projects")
    assert (code, out) == (1, "")
    assert "authentication" in more
    assert more.count("\n") == 1, "one line"
    assert "wrong-as-can-be" not in out + err + more


async def test_nobody_is_asked_without_credentials(qc: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QUANTCONNECT_USER_ID")
    code, out, err = await qc("algorithms")
    assert (code, out) == (1, "")
    assert err.startswith("error: nobody said who asks QuantConnect: set QUANTCONNECT_USER_ID")
    assert not qc.simulator.counts()["requests"]


async def test_lists_are_tables_with_their_age_or_json(qc: Shell) -> None:
    code, out, _ = await qc("projects")
    assert (code, out.splitlines()[0]) == (0, "there is no project yet")
    running = await qc.simulator.deploy()
    code, out, err = await qc("projects")
    assert (code, err) == (0, "")
    assert out.splitlines()[0].split() == ["PROJECT", "NAME", "LANGUAGE", "MODIFIED", "CREATED"]
    (age,) = re.findall(r"read (\d+) s ago", out)
    assert int(age) < 20
    assert "--fresh asks anew" in out
    code, out, _ = await qc("algorithms", "--active")
    assert running.id in out
    code, out, _ = await qc("algorithms", "--json")
    (one,) = json.loads(out)["algorithms"]
    assert (one["deployment"], one["status"], one["active"], one["name"]) == (running.id, "Running", True, "momentum")
    code, out, _ = await qc("nodes")
    assert "LN-01" in out
    assert "busy" in out


async def test_an_algorithm_is_shown_and_what_is_missing_is_named(qc: Shell) -> None:
    project = str((await qc.simulator.deploy()).project.id)
    qc.simulator.inject(Refuse("No orders today", path="/live/orders/read"))
    code, out, err = await qc("algorithm", project)
    assert code == 0
    assert "holdings, orders and equity" in err, "progress goes to stderr"
    assert out.startswith(f"momentum  project {project}, L-")
    assert "missing orders: QuantConnect live/orders/read: bad_request: No orders today" in out
    assert "this bot: no decision of this project is journaled" in out
    code, out, err = await qc("algorithm", project, "--json")
    assert (code, err) == (0, ""), "nothing but the answer"
    assert json.loads(out)["project"] == int(project)


async def test_what_the_service_cannot_do_is_one_line_with_a_remedy(qc: Shell) -> None:
    qc.simulator.inject(Status(403, path="/projects/read", body="html"))
    code, out, err = await qc("projects")
    assert (code, out) == (1, "")
    assert err.startswith("error: QuantConnect projects/read: authentication: ")
    assert "check QUANTCONNECT_USER_ID" in err
    assert err.count("\n") == 1
    code, out, err = await qc("stop", "77", "--yes")
    assert (code, out) == (1, "")
    assert err.splitlines()[-1].startswith("error: project 77 never ran live, or is none of this account")
    assert "Traceback" not in err


@pytest.mark.parametrize("answer", ["", "n\n", "perhaps\n"])
async def test_nothing_is_stopped_sold_or_started_unless_somebody_says_yes(qc: Shell, answer: str) -> None:
    running = await qc.simulator.deploy()
    project = str(running.project.id)
    for words in (("stop", project), ("liquidate", project), ("deploy", project)):
        code, out, err = await qc(*words, stdin=answer)
        assert (code, out) == (1, "")
        assert "[y/N]" in err
        assert err.endswith("error: not confirmed, nothing was done; --yes goes on without asking\n")
    assert running.status == "Running"


async def test_a_yes_stops_it(qc: Shell) -> None:
    running = await qc.simulator.deploy()
    code, out, _ = await qc("stop", str(running.project.id), stdin="y\n")
    assert code == 0
    assert out == f"stopped: project {running.project.id}, {running.id} is Stopped on PaperBrokerage\n"
    assert running.status == "Stopped"


async def test_a_deployment_whose_answer_is_lost_is_found_and_not_repeated(qc: Shell) -> None:
    project = (await qc.simulator.deploy()).project
    await qc("liquidate", str(project.id), "--yes")
    qc.simulator.inject(Drop(path="/live/create", after=True))
    code, out, err = await qc("deploy", str(project.id), "--yes", "--cash", "usdt=5000", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["status"], found["looked"]) == ("Running", True)
    assert [one.status for one in project.deployments] == ["Liquidated", "Running"]
    assert project.deployments[-1].cash == {"USDT": 5_000.0}


async def test_real_money_takes_more_than_yes(qc: Shell) -> None:
    running = await qc.simulator.deploy()
    project = str(running.project.id)
    await qc("stop", project, "--yes")
    words = ("deploy", project, "--brokerage", "BinanceBrokerage", "--setting", "binance-exchange-name=Binance", "--yes")
    code, _, err = await qc(*words)
    assert code == 1
    assert f"add --confirm 'deploy {project} on BinanceBrokerage'" in err
    code, _, err = await qc(*words, "--confirm", "deploy 1 on BinanceBrokerage")
    assert code == 1
    assert "may trade real money" in err
    code, out, _ = await qc(*words, stdin=f"deploy {project} on BinanceBrokerage\n")
    assert code == 0
    assert "on BinanceBrokerage" in out
    code, _, err = await qc("deploy", project, "--setting", "a=b", "--yes")
    assert code == 2
    assert "--brokerage" in err


async def test_a_command_is_an_object_of_json(qc: Shell) -> None:
    project = str((await qc.simulator.deploy()).project.id)
    for bad in ("pause", "[]", "{}"):
        code, _, err = await qc("command", project, bad)
        assert code == 2, bad
        assert "JSON" in err
    code, out, _ = await qc("command", project, '{"$type": "Pause"}')
    assert code == 0
    assert out.startswith("told: ")
    assert qc.simulator.counts()["events"]["commands"] == 1


async def _emitted(qc: Shell, project: int, tag: str) -> None:
    row = await qc.simulator.emit("BTC/USDT", tag=tag, project_id=project)
    async with asyncio.timeout(PATIENCE_S):
        while row["id"] not in qc.simulator.world.projects[project].deployments[-1].snapshot.insights:
            await asyncio.sleep(0.01)


async def test_signals_are_shown_with_what_the_bot_would_make_of_them(qc: Shell) -> None:
    project = (await qc.simulator.deploy(parameters={"threshold": "1"})).project.id  # it says nothing of its own
    await _emitted(qc, project, "by hand")
    code, out, _ = await qc("signals")
    assert code == 0
    assert "held by QuantConnect" in out
    (line,) = (line for line in out.splitlines() if "by hand" in line)
    assert "BTC/USDT" in line
    assert " new" in line
    assert "missing journal" in out
    code, out, err = await qc("signals", "--no-journal", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["journaled"] is None


async def test_signals_are_followed_by_asking_again_where_no_bot_runs(qc: Shell, home: Path) -> None:
    project = (await qc.simulator.deploy()).project.id
    await _emitted(qc, project, "first")
    process = await started(home, ["signals", "-f", "--every", "5", "--json"])
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_S):
        assert json.loads(await process.stdout.readline())["tag"] == "first"
        await _emitted(qc, project, "second")
        found = ""
        while found != "second":
            found = json.loads(await process.stdout.readline())["tag"]
            assert found != "first", "what was shown is not shown again"
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
    assert (process.returncode, err.decode()) == (130, "interrupted\n")


async def test_whoever_follows_a_silent_service_is_told_that_it_is_asked(qc: Shell, home: Path) -> None:
    process = await started(home, ["signals", "-f", "--every", "5"])
    assert process.stderr is not None
    async with asyncio.timeout(PATIENCE_S):
        assert await process.stderr.readline() == b"no bot runs here: the service is asked every 5 s\n"
        process.send_signal(signal.SIGINT)
        await process.communicate()
    assert process.returncode == 130
