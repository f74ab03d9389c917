"""What people ask about calibration and decide: as of a moment, on what really happened, and heeded by a running bot at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest

from bot.core.facts import ShadowClosed
from bot.runtime.jobs import Progress
from bot.services.learning.beginning import begin_learning
from bot.services.learning.opening import HELD
from bot.services.learning.use_cases import USE_CASES
from bot.services.use_case import Ground, UseCaseError, use_case
from tests.factories import RULE, a_decision
from tests.journal.journal_databases import rows
from tests.services.learning_life import BOOK, NOW, a_ground, a_recorded_run, journal

NAMES = ["calibration", "outcomes", "insights", "thresholds", "feedback", "freeze", "unfreeze", "reset"]
LOOK_UPS = NAMES[:5]
RUN = a_recorded_run()


async def ask(ground: Ground, name: str, **args: object) -> Any:
    case = use_case(f"learning.{name}")
    told: list[Progress] = []
    found = await case.run(ground, case.read(args), told.append)
    return json.loads(orjson.dumps(found))  # plain JSON, as the feed would carry it


async def learnt(place: Path, facts: Any = RUN, **settings: Any) -> Ground:
    """A ground whose journal holds a run that was learnt from."""
    ground = a_ground(place, **settings)
    url = ground.loaded.settings.database_url
    await journal(url, place / "data", facts)
    live = await begin_learning(ground.loaded.settings, BOOK, lambda: NOW)
    assert live is not None
    await live.close(1.0)
    return ground


def test_every_use_case_is_quick_and_says_what_it_does() -> None:
    assert [case.name for case in USE_CASES] == [f"learning.{name}" for name in NAMES]
    assert all(case.quick and case.about.endswith(".") for case in USE_CASES)


async def test_curves_scores_and_maps_are_told(tmp_path: Path) -> None:
    ground = await learnt(tmp_path)
    async with ground.closing:
        found = await ask(ground, "calibration", source=RULE)
        buys, sells = found["calibration"]
        assert (found["calibrate"], found["max_shift"]) == ("watch", 0.5)
        assert (buys["source"], buys["action"], buys["closed"]) == (RULE, "buy", 60)
        told = buys["reliability"]
        assert told["brier"]["score"] == pytest.approx(0.25 * 0.04 + 0.75 * 0.64)
        assert told["error"] == pytest.approx(0.55)
        assert told["error_low"] < 0.55 < told["error_high"]
        [held] = told["bins"]
        assert (held["closed"], held["won"]) == (60, 0.25)
        assert held["won_low"] < 0.25 < held["won_high"]
        assert (buys["map"]["fit"], buys["frozen"]) == ("beta", False)
        curve = dict(map(tuple, buys["map"]["curve"]))
        assert curve[0.8] < 0.6
        assert (sells["action"], sells["reliability"]["won"]) == ("sell", 60)
        assert [row["action"] for row in (await ask(ground, "calibration", action="sell"))["calibration"]] == ["sell"]
        assert (await ask(ground, "calibration", source="who?"))["calibration"] == []


async def test_outcomes_are_listed_with_what_people_said(tmp_path: Path) -> None:
    ground = await learnt(tmp_path)
    async with ground.closing:
        given = await ask(ground, "feedback", decision="buy-59", opined="useful", note="bad luck", author="ann")
        assert given["feedback"][0]["note"] == "bad luck"
        found = await ask(ground, "outcomes", limit=3)
        assert (found["closed"], len(found["outcomes"])) == (120, 3)
        [lost] = [row for row in (await ask(ground, "outcomes", limit=200))["outcomes"] if row["decision"] == "buy-59"]
        assert (lost["won"], lost["weight"], lost["feedback"]) == (False, 0.5, 1.0)
        await ask(ground, "feedback", decision="buy-59", opined="wrong", author="ann")
        said = (await ask(ground, "feedback"))["feedback"]
        assert sorted(one["opined"] for one in said) == ["useful", "wrong"]
        assert (await ask(ground, "feedback", decision="buy-1"))["feedback"] == []


async def test_feedback_on_what_nobody_decided_is_refused(tmp_path: Path) -> None:
    ground = await learnt(tmp_path)
    async with ground.closing:
        with pytest.raises(UseCaseError, match="'buy-999' is in no journal"):
            await ask(ground, "feedback", decision="buy-999", opined="wrong")
        with pytest.raises(UseCaseError, match="name the decision"):
            await ask(ground, "feedback", opined="wrong")
    assert rows(ground.loaded.settings.database_url, "SELECT count(*) FROM calibration_feedback") == [(0,)]


async def test_insights_say_what_matters_in_words(tmp_path: Path) -> None:
    ground = await learnt(tmp_path)
    async with ground.closing:
        [one] = (await ask(ground, "insights"))["insights"]
        said = "\n".join(one["insights"])
        assert "buy decisions: 15 of 60 came true (25%)" in said
        assert "overconfident, it states 80% on average where 25% came true" in said
        assert "only watched" in said
        assert "sell decisions: underconfident" in said
        await ask(ground, "freeze", source=RULE, to="identity", author="ann")
        [one] = (await ask(ground, "insights"))["insights"]
        assert "frozen by ann to what it states; it learns nothing" in one["insights"]
        await ask(ground, "reset", source=RULE)
        [one] = (await ask(ground, "insights"))["insights"]
        assert one["insights"] == ["begun anew by operator: what was known before is not learnt from"]


async def test_thresholds_are_advised_with_their_reasons(tmp_path: Path) -> None:
    ground = await learnt(tmp_path)
    async with ground.closing:
        found = await ask(ground, "thresholds")
        [one] = found["thresholds"]
        assert (found["adjust_threshold"], found["bounds"]) == (False, [0.3, 0.9])
        assert (one["threshold"], one["closed"]) == (0.9, 60)
        assert one["reason"] == "no confidence was expected to earn anything"


@pytest.mark.parametrize("name", ["calibration", "outcomes", "insights", "thresholds"])
async def test_nothing_learnt_later_is_seen(tmp_path: Path, name: str) -> None:
    at = [fact.at for fact in RUN if isinstance(fact, ShadowClosed)][39]
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    knowing = await learnt(tmp_path / "a")
    innocent = await learnt(tmp_path / "b", [fact for fact in RUN if fact.at <= at])
    async with knowing.closing, innocent.closing:
        assert await ask(knowing, name, as_of=at) == await ask(innocent, name, as_of=at)
        assert await ask(knowing, name, as_of=at) != await ask(knowing, name)


async def test_freezing_unfreezing_and_resetting_are_kept_and_shown(tmp_path: Path) -> None:
    ground = await learnt(tmp_path)
    async with ground.closing:
        frozen = await ask(ground, "freeze", source=RULE, note="while I look", author="ann")
        shown = (await ask(ground, "calibration"))["calibration"]
        assert [one["version"] for one in frozen["maps"]] == [row["map"]["version"] for row in shown]
        assert all(row["frozen"] for row in shown)
        [state] = (await ask(ground, "calibration"))["states"]
        assert (state["author"], state["note"], state["frozen"]) == ("ann", "while I look", True)
    again = a_ground(tmp_path)
    async with again.closing:
        await ask(again, "unfreeze", source=RULE)
        [now, _] = (await ask(again, "calibration"))["calibration"]
        assert (now["frozen"], now["map"]["fit"]) == (False, "beta")
        await ask(again, "freeze", source=RULE, to="identity")
        [now, _] = (await ask(again, "calibration"))["calibration"]
        assert (now["frozen"], now["map"]["fit"]) == (True, "identity")
        await ask(again, "reset", source=RULE)
        found = await ask(again, "calibration")
        assert found["calibration"] == []
        assert (found["states"][0]["since"], found["states"][0]["frozen"]) == (NOW, False)
        assert (await ask(again, "calibration", as_of=NOW - 1))["calibration"] != []  # at that time nothing was forgotten


async def test_a_source_nobody_heard_of_is_not_frozen(tmp_path: Path) -> None:
    ground = await learnt(tmp_path)
    async with ground.closing:
        for name in ("freeze", "unfreeze", "reset"):
            with pytest.raises(UseCaseError, match=f"'rules:typo' is not known; there are .*{RULE}"):
                await ask(ground, name, source="rules:typo")


async def test_a_running_bot_heeds_what_people_decide_at_once(tmp_path: Path) -> None:
    ground = await learnt(tmp_path, calibrate="on")
    live = await begin_learning(ground.loaded.settings, BOOK, lambda: NOW)
    assert live is not None
    ground.held[HELD] = live
    decision = a_decision(at=NOW, confidence=0.8)
    before = live.adjust(decision).confidence
    assert before < 0.8
    await ask(ground, "freeze", source=RULE, to="identity")
    assert live.adjust(decision) is decision
    await ask(ground, "unfreeze", source=RULE)
    assert live.adjust(decision).confidence == before
    await ask(ground, "feedback", decision="buy-1", opined="useful")
    assert live.adjust(decision).confidence > before
    await ask(ground, "reset", source=RULE)
    assert live.adjust(decision) is decision
    await live.close(1.0)


async def test_a_simulated_world_is_found_by_the_plain_name(tmp_path: Path) -> None:
    ground = a_ground(tmp_path, simulated=True)
    world = type(BOOK)("main", "paper", "test", "simulated")
    await journal(ground.loaded.settings.database_url, tmp_path / "data", RUN, world)
    live = await begin_learning(ground.loaded.settings, world, lambda: NOW)
    assert live is not None
    await live.close(1.0)
    async with ground.closing:
        for name in (RULE, f"simulated/{RULE}"):
            found = await ask(ground, "calibration", source=name)
            assert {row["source"] for row in found["calibration"]} == {f"simulated/{RULE}"}
        assert (await ask(ground, "freeze", source=RULE))["source"] == f"simulated/{RULE}"


@pytest.mark.parametrize("name", LOOK_UPS)
async def test_where_nothing_was_learnt_nothing_is_made(tmp_path: Path, name: str) -> None:
    ground = a_ground(tmp_path)
    async with ground.closing:
        with pytest.raises(UseCaseError, match="nothing was learnt yet"):
            await ask(ground, name)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("outcomes", {"limit": 0}),
        ("calibration", {"action": "hold"}),
        ("feedback", {"opined": "great"}),
        ("freeze", {"source": ""}),
        ("freeze", {"to": "never", "source": RULE}),
        ("insights", {"x": 1}),
    ],
)
def test_wrong_arguments_are_one_line(name: str, args: dict[str, object]) -> None:
    with pytest.raises(UseCaseError, match=next(iter(args))):
        use_case(f"learning.{name}").read(args)
