"""What was learnt, in a database: on both engines, kept once, read as of a moment, in bounds."""

from __future__ import annotations

from pathlib import Path

import pytest

from research.calibration.errors import CalibrationUnavailable
from research.calibration.evidence import closed_of
from research.calibration.feedback import Feedback, Opined
from research.calibration.maps import CalibrationMap, Fit, maps_of
from research.calibration.policy import CalibrationPolicy
from research.calibration.sql import MAPS_KEPT, SqlCalibration
from research.calibration.states import SourceState
from research.memory.errors import EvidenceError
from tests.factories import LLM, RULE, T0
from tests.journal.journal_databases import change, rows
from tests.research.calibration_evidence import HOUR, a_part, outcomes

FOREVER = T0 + 1_000_000 * HOUR
KEY = (RULE, "", "buy")


async def test_outcomes_are_kept_once_and_read_as_of_a_moment(database_url: str) -> None:
    store = await SqlCalibration.open(database_url)
    told = outcomes([(0.6, 250, 100)])
    assert await store.keep(told) == 250
    assert await store.keep([*told, a_part(999, source=LLM)]) == 1
    assert await store.sources(FOREVER) == [LLM, RULE]
    assert await store.sources(T0) == []
    assert await store.parts(RULE, FOREVER) == told
    assert await store.parts(RULE, told[9].known_at) == told[:10]
    assert await store.parts(RULE, FOREVER, limit=5) == told[-5:]
    await store.close()
    again = await SqlCalibration.open_to_read(database_url)
    assert closed_of(await again.parts(RULE, FOREVER), FOREVER) == closed_of(told, FOREVER)
    await again.close()


async def test_feedback_is_kept_and_listed(database_url: str) -> None:
    store = await SqlCalibration.open(database_url)
    words = [Feedback(f"d{number % 2}", Opined.WRONG, T0 + number, "ann", "a note") for number in range(6)]
    for each in [*words, words[0]]:
        await store.say(each)
    assert await store.feedback(FOREVER) == words
    assert await store.feedback(T0 + 2) == words[:3]
    assert await store.feedback(FOREVER, "d1", limit=2) == [words[3], words[5]]
    await store.close()


async def test_states_and_maps_outlive_the_process(database_url: str) -> None:
    maps = maps_of(closed_of(outcomes([(0.7, 60, 20)]), FOREVER), CalibrationPolicy())
    store = await SqlCalibration.open(database_url)
    state = SourceState(frozen=True, since=T0, maps=maps, at=T0, author="ann")
    await store.put_state(RULE, SourceState())
    await store.put_state(RULE, state)
    await store.keep_maps(maps, T0)
    await store.keep_maps(maps, T0 + 1)
    await store.close()
    again = await SqlCalibration.open(database_url)
    found = (await again.states())[RULE]
    assert (found, dict(found.maps)) == (state, maps)
    assert await again.map(maps[KEY].version) == maps[KEY]
    assert await again.map("who?") is None
    assert rows(database_url, "SELECT as_of FROM calibration_maps") == [(T0 + 1,)]
    await again.close()


async def test_old_maps_are_let_go_of_and_the_one_in_use_never(database_url: str) -> None:
    store = await SqlCalibration.open(database_url)
    used = CalibrationMap(Fit.BETA, 99, 0.5, 0.2)
    await store.keep_maps({(RULE, "used", "buy"): used}, T0)
    many = [((RULE, f"m{number}", "buy"), CalibrationMap(Fit.BETA, number, 0.5, 0.2)) for number in range(MAPS_KEPT + 100)]
    for number in range(0, len(many), 50):
        await store.keep_maps(dict([*many[number : number + 50], ((RULE, "used", "buy"), used)]), T0 + number)
    assert await store.map(used.version) == used
    assert await store.map(many[0][1].version) is None
    [(kept,)] = rows(database_url, "SELECT count(*) FROM calibration_maps")
    assert kept < MAPS_KEPT + 100
    await store.close()


async def test_a_database_that_holds_none_is_named_and_left_alone(tmp_path: Path) -> None:
    nowhere = tmp_path / "arbiter.db"
    with pytest.raises(CalibrationUnavailable, match="nothing was learnt yet"):
        await SqlCalibration.open_to_read(f"sqlite:///{nowhere}")
    assert not nowhere.exists()
    nowhere.touch()
    with pytest.raises(CalibrationUnavailable, match="holds no calibration"):
        await SqlCalibration.open_to_read(f"sqlite:///{nowhere}")


async def test_tables_of_a_newer_bot_are_refused(database_url: str) -> None:
    await (await SqlCalibration.open(database_url)).close()
    change(database_url, "UPDATE calibration_schema SET version = 99")
    with pytest.raises(CalibrationUnavailable, match="newer bot"):
        await SqlCalibration.open(database_url)
    with pytest.raises(CalibrationUnavailable, match="newer bot"):
        await SqlCalibration.open_to_read(database_url)


async def test_a_row_that_is_no_outcome_is_an_error_and_not_an_empty_list(database_url: str) -> None:
    store = await SqlCalibration.open(database_url)
    await store.keep([a_part()])
    change(database_url, "UPDATE calibration_outcomes SET body = '{}'")
    with pytest.raises(EvidenceError, match="no outcome of a decision"):
        await store.parts(RULE, FOREVER)
    await store.put_state(RULE, SourceState())
    for body in ("{}", "not JSON"):
        change(database_url, f"UPDATE calibration_states SET body = '{body}'")
        with pytest.raises(EvidenceError):
            await store.states()
    await store.close()
