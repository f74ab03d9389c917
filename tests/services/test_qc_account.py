"""The account: what a test of the access says, and how old a list may be."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bot.services.use_case import UseCaseError, use_case
from simulators.quantconnect.faults import BadHash, ClockSkew, Drop, Refuse
from simulators.quantconnect.server import QuantConnectSimulator
from sources.quantconnect.errors import QcError
from tests.services.qc_ground import QUICK, Clock, asked, do, project_of, standing


@pytest.fixture
async def simulator() -> AsyncIterator[QuantConnectSimulator]:
    async with QuantConnectSimulator(QUICK) as running:
        yield running


@pytest.fixture
def now() -> Clock:
    return Clock(time.time_ns() // 1_000_000)


def broken(found: Any) -> dict[str, str]:
    """The remedies by check, of what is not well."""
    return {one["check"]: one["remedy"] for one in found["checks"] if not one["ok"]}


async def test_good_credentials_are_told_with_all_that_is_there(
    simulator: QuantConnectSimulator, tmp_path: Path, now: Clock
) -> None:
    async with standing(simulator.url, tmp_path, now) as ground:
        found = await do(ground, "qc.test")
    assert found["ok"]
    assert broken(found) == {}
    assert found["credit"] == 12.5
    assert [one["preferred"] for one in found["organizations"]] == [True]
    assert len(found["nodes"]["live"]) == 2
    assert "secret" not in str(found).lower()
    assert "123456" not in str(found)


async def test_a_wrong_token_is_named_as_such(simulator: QuantConnectSimulator, tmp_path: Path, now: Clock) -> None:
    wrong = {"QUANTCONNECT_USER_ID": "123456", "QUANTCONNECT_API_TOKEN": "wrong"}
    async with standing(simulator.url, tmp_path, now, wrong) as ground:
        found = await do(ground, "qc.test")
    assert not found["ok"]
    assert "QUANTCONNECT_API_TOKEN is not the token of this user" in broken(found)["access"]


async def test_a_user_that_is_nobody_is_named_as_such(simulator: QuantConnectSimulator, tmp_path: Path, now: Clock) -> None:
    wrong = {"QUANTCONNECT_USER_ID": "999", "QUANTCONNECT_API_TOKEN": "secret"}
    async with standing(simulator.url, tmp_path, now, wrong) as ground:
        found = await do(ground, "qc.test")
    assert "QUANTCONNECT_USER_ID names no user" in broken(found)["access"]


async def test_a_user_that_is_no_number_and_missing_credentials_are_named_before_anybody_is_asked(
    simulator: QuantConnectSimulator, tmp_path: Path, now: Clock
) -> None:
    for environ, word in (
        ({}, "secrets set"),
        ({"QUANTCONNECT_USER_ID": "me", "QUANTCONNECT_API_TOKEN": "x"}, "set QUANTCONNECT_USER_ID"),
    ):
        async with standing(simulator.url, tmp_path, now, environ) as ground:
            found = await do(ground, "qc.test")
        assert word in broken(found)["credentials"], found
    assert asked(simulator, "/authenticate") == 0


async def test_a_clock_that_is_far_off_is_named_and_corrected(
    simulator: QuantConnectSimulator, tmp_path: Path, now: Clock
) -> None:
    simulator.inject(ClockSkew(4 * 3_600))
    async with standing(simulator.url, tmp_path, now) as ground:
        found = await do(ground, "qc.test")
    assert "set this machine's clock" in broken(found)["clock"]
    assert "behind" in str(found["checks"])
    assert found["credit"] == 12.5, "everything else was still looked at"


async def test_what_cannot_be_read_of_the_account_is_a_check_that_failed(
    simulator: QuantConnectSimulator, tmp_path: Path, now: Clock
) -> None:
    simulator.inject(Refuse("Organization is suspended", path="/nodes/read"))
    async with standing(simulator.url, tmp_path, now) as ground:
        found = await do(ground, "qc.test")
    assert list(broken(found)) == ["nodes"]
    assert found["nodes"] is None, "what was not read is not shown as nothing"
    assert found["credit"] == 12.5


async def test_an_organization_that_is_not_the_users_is_named(
    simulator: QuantConnectSimulator, tmp_path: Path, now: Clock
) -> None:
    async with standing(simulator.url, tmp_path, now, quantconnect__organization="0" * 32) as ground:
        found = await do(ground, "qc.test")
    assert "quantconnect.organization" in broken(found)["organization"]


async def test_a_list_is_kept_with_its_age_and_read_again_when_it_is_old_or_a_fresh_one_is_wanted(
    simulator: QuantConnectSimulator, tmp_path: Path, now: Clock
) -> None:
    project_of(simulator)
    async with standing(simulator.url, tmp_path, now) as ground:
        first = await do(ground, "qc.projects")
        assert (first["age_ms"], len(first["projects"])) == (0, 1)
        project_of(simulator)
        now.at += 59_000
        kept = await do(ground, "qc.projects")
        assert (kept["age_ms"], len(kept["projects"])) == (59_000, 1)
        assert asked(simulator, "/projects/read") == 1
        fresh = await do(ground, "qc.projects", fresh=True)
        assert (fresh["age_ms"], len(fresh["projects"])) == (0, 2)
        now.at += 60_001
        await do(ground, "qc.projects")
        assert asked(simulator, "/projects/read") == 3


async def test_many_who_ask_at_once_are_answered_by_one_reading(
    simulator: QuantConnectSimulator, tmp_path: Path, now: Clock
) -> None:
    async with standing(simulator.url, tmp_path, now) as ground:
        await asyncio.gather(*(do(ground, "qc.projects") for _ in range(5)))
    assert asked(simulator, "/projects/read") == 1


async def test_a_list_that_cannot_be_read_is_an_error_and_not_an_empty_list(
    simulator: QuantConnectSimulator, tmp_path: Path, now: Clock
) -> None:
    simulator.inject(BadHash(path="/projects/read"))
    async with standing(simulator.url, tmp_path, now) as ground:
        with pytest.raises(QcError, match="authentication"):
            await do(ground, "qc.projects")
        assert (await do(ground, "qc.projects"))["projects"] == []


async def test_a_dropped_connection_is_survived_by_a_reading(
    simulator: QuantConnectSimulator, tmp_path: Path, now: Clock
) -> None:
    simulator.inject(Drop(path="/nodes/read"))
    async with standing(simulator.url, tmp_path, now) as ground:
        found = await do(ground, "qc.nodes")
    assert [node["id"] for node in found["nodes"]["live"]] == ["LN-01", "LN-02"]


def test_arguments_that_are_wrong_are_one_line() -> None:
    with pytest.raises(UseCaseError, match=r"qc\.projects: fresh: "):
        use_case("qc.projects").read({"fresh": "perhaps"})
    with pytest.raises(UseCaseError, match=r"there is no use case 'qc\.nothing'; qc has qc\.test"):
        use_case("qc.nothing")
