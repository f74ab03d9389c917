"""Jobs: owned from start to end, told about, bounded."""

import asyncio
from collections.abc import Mapping

import pytest

from bot.outlets.envelope import JobChanged, JobState
from bot.runtime.jobs import JobRefused, Jobs, Progress, Report


class Known(Exception):  # noqa: N818
    """An answer."""


class Unknown(Known):
    """The answer that something does not exist."""


def jobs_of(told: list[JobChanged], *, most: int = 2, kept: int = 100) -> Jobs:
    clock = iter(range(1_000, 10_000))
    return Jobs(
        lambda: next(clock), told.append, lambda e: str(e) if isinstance(e, Known) else None, lambda e: isinstance(e, Unknown),
        most=most, kept=kept,
    )  # fmt: skip


async def two_steps(report: Report) -> Mapping[str, object]:
    report(Progress("one", 1, 2))
    report(Progress("two", 2, 2))
    return {"answer": 42}


async def test_a_job_tells_of_every_step_and_keeps_its_result() -> None:
    told: list[JobChanged] = []
    jobs = jobs_of(told)
    job = jobs.start("sum", {"of": 2}, two_steps, "test")
    async with asyncio.timeout(20):
        while not job.ended:
            await asyncio.sleep(0)
    assert [(each.state, each.stage) for each in told] == [
        (JobState.RUNNING, "started"),
        (JobState.RUNNING, "one"),
        (JobState.RUNNING, "two"),
        (JobState.DONE, "two"),
    ]
    assert jobs.get(job.id).as_json()["result"] == {"answer": 42}


@pytest.mark.parametrize(
    ("error", "line", "missing"),
    [
        (Known("no node is free"), "no node is free", False),
        (Unknown("no node is called x"), "no node is called x", True),
        (KeyError("x"), "unexpected KeyError", False),
    ],
)
async def test_a_job_that_fails_says_so_and_takes_nothing_with_it(error: Exception, line: str, missing: bool) -> None:
    async def fails(report: Report) -> Mapping[str, object]:
        raise error

    told: list[JobChanged] = []
    jobs = jobs_of(told)
    job = jobs.start("sum", {}, fails, "test")
    async with asyncio.timeout(20):
        while not job.ended:
            await asyncio.sleep(0)
    assert job.state is JobState.FAILED
    assert job.error.startswith(line)
    assert job.as_json()["missing"] is missing
    assert told[-1].error == job.error


async def test_a_cancelled_job_has_cleaned_up_when_cancel_returns() -> None:
    cleaned = asyncio.Event()

    async def lasts(report: Report) -> Mapping[str, object]:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.set()
        return {}

    jobs = jobs_of([])
    job = jobs.start("long", {}, lasts, "test")
    await asyncio.sleep(0)
    assert (await jobs.cancel(job.id)).state is JobState.CANCELLED
    assert cleaned.is_set()


async def test_no_more_jobs_run_at_once_than_may_and_none_after_the_end() -> None:
    async def lasts(report: Report) -> Mapping[str, object]:
        await asyncio.Event().wait()
        return {}

    jobs = jobs_of([], most=1)
    jobs.start("long", {}, lasts, "test")
    with pytest.raises(JobRefused, match="1 jobs run already"):
        jobs.start("long", {}, lasts, "test")
    await jobs.close(1.0)
    with pytest.raises(JobRefused, match="stopping"):
        jobs.start("long", {}, lasts, "test")


async def test_old_jobs_are_forgotten_and_running_ones_are_not() -> None:
    async def lasts(report: Report) -> Mapping[str, object]:
        await asyncio.Event().wait()
        return {}

    jobs = jobs_of([], kept=3)
    running = jobs.start("long", {}, lasts, "test")
    for _ in range(5):
        job = jobs.start("sum", {}, two_steps, "test")
        async with asyncio.timeout(20):
            while not job.ended:
                await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert len(jobs.all()) == 3
    assert jobs.get(running.id) is running
    with pytest.raises(JobRefused, match="no job"):
        jobs.get("job-0")
    await jobs.close(1.0)
