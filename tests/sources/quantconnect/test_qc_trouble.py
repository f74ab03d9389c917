"""The trouble that users of the service have reported: each row of it that a client can meet, and how this one comes through.

Where a row is a law of its own it is tested where the law is: half-finished statistics and statuses in test_qc_shapes, repeated
calls and waits in test_qc_transport, formats in test_qc_statistics.
"""

from __future__ import annotations

from typing import Any

import pytest

from sources.quantconnect.client_live import Plan, paper
from sources.quantconnect.errors import Kind, QcError
from sources.quantconnect.models_backtest import Stage
from sources.quantconnect.models_project import Project
from tests.sources.quantconnect.qc_answers import FINISHED, INSIGHT, LIVE, OPTIMIZATION, PROJECT, QUEUED
from tests.sources.quantconnect.qc_service import Page, client_of, no, serving


async def test_a_backtest_with_half_of_its_statistics_is_not_taken_for_done() -> None:
    half = {**FINISHED, "statistics": [], "totalPerformance": None, "runtimeStatistics": {"Probabilistic Sharpe Ratio": "0%"}}
    script: Any = [{"backtest": half}, {"backtest": FINISHED}]
    async with serving(backtests__read=script) as service, client_of(service) as client:
        stages = [(await client.backtests.read(7, "b1")).stage for _ in range(2)]
    assert stages == [Stage.UNSETTLED, Stage.DONE]


@pytest.mark.parametrize(
    "error",
    [
        "Algorithm.OnData() Error: The algorithm took longer than 10 minutes on a single time loop.",
        "Backtest exceeded the maximum run time of 12 hours and was stopped.",
    ],
)
async def test_a_backtest_that_was_killed_has_failed_and_says_why(error: str) -> None:
    killed = {**QUEUED, "status": "Runtime Error", "completed": True, "progress": 0.4, "error": error}
    async with serving(backtests__read={"backtest": killed}) as service, client_of(service) as client:
        found = await client.backtests.read(7, "b1")
    assert (found.stage, found.error) == (Stage.FAILED, error)


async def test_an_endpoint_that_has_changed_its_meaning_is_a_bad_request_and_not_an_empty_answer() -> None:
    async with serving(live__read=no("Invalid argument"), live__list={"running": []}) as service, client_of(service) as client:
        with pytest.raises(QcError) as caught:
            await client.live.read(7, "L-stopped")
        assert caught.value.kind is Kind.BAD_REQUEST
        with pytest.raises(QcError) as caught:
            await client.live.list()
        assert caught.value.kind is Kind.UNREADABLE


@pytest.mark.parametrize(
    "answer", [{"portfolio": []}, {"portfolio": None}, {"holdings": {}, "cash": {}}, {"Portfolio": {"Cash": {}}}]
)
async def test_a_portfolio_that_has_moved_is_unreadable_and_not_empty(answer: dict[str, Any]) -> None:
    async with serving(live__portfolio__read=answer) as service, client_of(service) as client:
        with pytest.raises(QcError, match="if it stays so") as caught:
            await client.live.portfolio(7)
        assert caught.value.kind is Kind.UNREADABLE


async def test_a_host_without_memory_that_sends_null_holdings_does_not_empty_the_portfolio() -> None:
    answer: dict[str, Any] = {"portfolio": {"holdings": None, "cash": {}}}
    async with serving(live__portfolio__read=answer) as service, client_of(service) as client:
        with pytest.raises(QcError, match="holdings"):
            await client.live.portfolio(7)


async def test_new_nulls_and_new_fields_break_nothing() -> None:
    live = {**LIVE, "liveResults": None, "brandNew": {"deep": [None]}}
    async with serving(live__read=live) as service, client_of(service) as client:
        assert (await client.live.read(7)).active
    members = [{"name": "Me", "owner": True}, {"uid": None, "name": "You"}]
    assert [one.uid for one in Project.model_validate({**PROJECT, "collaborators": members}).collaborators] == [None, None]


async def test_an_empty_500_is_not_taken_for_bad_credentials() -> None:
    async with serving(authenticate=Page(b"", 500)) as service, client_of(service) as client:
        with pytest.raises(QcError) as caught:
            await client.authenticate()
    assert (caught.value.kind, caught.value.transient) == (Kind.SERVER, True)
    assert "TOKEN" not in str(caught.value)


async def test_an_optimization_that_is_new_is_waited_for() -> None:
    states = [{"optimization": {**OPTIMIZATION, "status": word}} for word in ("new", "active", "running", "completed")]
    async with serving(optimizations__read=list(states)) as service, client_of(service) as client:
        found = [(await client.optimizations.read("O-1")).status.finished for _ in states]
    assert found == [False, False, False, True]


async def test_a_stuck_backtest_is_deleted_even_while_the_budget_is_spent() -> None:
    late = Page(b"", 429, {"Retry-After": "120"})
    async with serving(backtests__list=late, backtests__delete={}) as service, client_of(service) as client:
        with pytest.raises(QcError):
            await client.backtests.list(7)
        await client.backtests.delete(7, "b1")
        assert len(service.bodies("backtests/delete")) == 1


async def test_a_forgotten_compile_is_named() -> None:
    async with serving(backtests__create=no("Compile id not found")) as service, client_of(service) as client:
        with pytest.raises(QcError, match="Compile id not found") as caught:
            await client.backtests.create(7, "", "run")
    assert (caught.value.kind, caught.value.compile_unknown) == (Kind.BAD_REQUEST, True)


@pytest.mark.parametrize("most", ["32,000", "64,000", "128,000", "256,000"])
async def test_a_file_that_is_too_long_is_refused_in_the_words_of_the_service_whatever_the_quota(most: str) -> None:
    refusal = no(f"File exceeds the maximum size of {most} characters.")
    async with serving(files__update=refusal, files__create=no("File already exist")) as service, client_of(service) as client:
        with pytest.raises(QcError, match=most):
            await client.files.write(7, "main.py", "x")


async def test_letters_of_all_scripts_and_all_line_breaks_go_there_and_back() -> None:
    content = "# 策略 — naïve\r\n\tx = '\u2028'\n\n\n"
    async with serving(files__create={}) as service, client_of(service) as client:
        await client.files.create(7, "main.py", content)
        service.answers["files/read"] = {"files": [{"name": "main.py", "content": service.asked[0][1]["content"]}]}
        assert (await client.files.read(7, "main.py")).content == content


async def test_a_faulty_build_of_the_engine_can_be_avoided_by_its_version() -> None:
    plan = Plan(7, "aa-bb", "LN-1", paper({"USDT": 1}), version_id="17800")
    async with serving(live__create={"deployId": "L-1"}, projects__update={}) as service, client_of(service) as client:
        await client.live.deploy(plan)
        await client.projects.update(7, version_id=17_800)
    assert [body["versionId"] for _, body in service.asked] == ["17800", 17_800]


async def test_an_insight_is_not_known_by_its_score() -> None:
    scored = {**INSIGHT, "confidence": None, "scoreDirection": 0.9, "scoreFinal": True}
    async with serving(live__insights__read={"insights": [scored], "length": 1}) as service, client_of(service) as client:
        (insight,) = (await client.live.insights_page(7, 0, 100)).rows
    assert (insight.confidence, insight.score_direction) == (None, 0.9)
