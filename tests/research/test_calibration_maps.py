"""The laws of the map: it never falls, stays within bounds, leaves honest confidences alone, and sees no future."""

from __future__ import annotations

import json
from itertools import pairwise

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from research.calibration.beta import BetaMap, fit_beta
from research.calibration.evidence import Closed, Part, closed_of, weight_of
from research.calibration.feedback import Feedback, Opined, leaning
from research.calibration.isotonic import between, isotonic
from research.calibration.maps import IDENTITY, CalibrationMap, Fit, learnt, map_for, map_from, map_json, maps_of
from research.calibration.policy import CalibrationPolicy
from research.calibration.states import SourceState, closed_since, maps_in_force, state_from, state_json
from research.memory.errors import EvidenceError
from tests.factories import LLM, RULE, T0
from tests.research.calibration_evidence import (
    HOUR,
    a_closed,
    a_part,
    closed_lists,
    confidences,
    outcomes,
    parts,
)
from tests.research.calibration_evidence import feedback as said

FOREVER = T0 + 1_000_000 * HOUR
GRID = [step / 200 for step in range(201)]
policies = st.builds(
    CalibrationPolicy,
    min_trades=st.integers(1, 60),
    many_trades=st.integers(1, 200),
    prior_trades=st.floats(0.0, 100.0),
    max_shift=st.floats(0.0, 1.0),
)
HONEST = [(0.2, 100, 20), (0.5, 100, 50), (0.6, 100, 60), (0.9, 100, 90)]
BOASTING = [(0.5, 100, 30), (0.7, 100, 45), (0.9, 100, 60)]


def closed(groups: list[tuple[float, int, int]]) -> list[Closed]:
    return closed_of(outcomes(groups), FOREVER)


@settings(max_examples=60, deadline=None)
@given(closed_lists, policies)
def test_a_map_never_falls_and_stays_within_its_bounds(evidence: list[Closed], policy: CalibrationPolicy) -> None:
    found = learnt(evidence, policy)
    values = [found(stated) for stated in GRID]
    assert all(after >= before - 1e-9 for before, after in pairwise(values))
    assert all(0.0 <= each <= 1.0 for each in values)
    assert all(abs(each - stated) <= policy.max_shift + 1e-12 for stated, each in zip(GRID, values, strict=True))


@pytest.mark.parametrize("many", [10_000, 10])
def test_honest_confidences_stay_as_they_are(many: int) -> None:
    policy = CalibrationPolicy(many_trades=many, max_shift=1.0, prior_trades=0.0)
    found = learnt(closed(HONEST), policy)
    assert found.fit is (Fit.BETA if many == 10_000 else Fit.ISOTONIC)
    for stated in GRID[40:181]:
        assert found(stated) == pytest.approx(stated, abs=1e-6)


@pytest.mark.parametrize("many", [10_000, 10])
def test_a_boaster_is_brought_down_to_what_came_true(many: int) -> None:
    policy = CalibrationPolicy(many_trades=many, max_shift=1.0, prior_trades=0.0)
    found = learnt(closed(BOASTING), policy)
    for stated, truth in ((0.5, 0.30), (0.7, 0.45), (0.9, 0.60)):
        assert found(stated) == pytest.approx(truth, abs=0.03)


def test_the_fit_is_chosen_by_how_much_is_known() -> None:
    policy = CalibrationPolicy(min_trades=30, many_trades=200)
    known = closed(BOASTING)
    assert [learnt(known[:number], policy).fit for number in (0, 29, 30, 199, 200, 300)] == [
        Fit.IDENTITY, Fit.IDENTITY, Fit.BETA, Fit.BETA, Fit.ISOTONIC, Fit.ISOTONIC,
    ]  # fmt: skip
    assert learnt(known[:29], policy)(0.7) == 0.7


def test_little_evidence_moves_little_and_no_evidence_more_than_the_bound() -> None:
    boasting = [a_closed(0.9, number % 3 == 0, number) for number in range(3_000)]
    policy = CalibrationPolicy(max_shift=0.2, prior_trades=300)
    shifts = [0.9 - learnt(boasting[:number], policy)(0.9) for number in (30, 60, 120, 3_000)]
    assert 0.02 < shifts[0] < shifts[1] < shifts[2] < shifts[3]
    assert shifts[3] == pytest.approx(0.2)
    free = CalibrationPolicy(max_shift=1.0, prior_trades=50)
    few = learnt(boasting[:60], free)
    assert few.share == pytest.approx(60 / 110)


def test_only_the_newest_window_is_looked_at() -> None:
    policy = CalibrationPolicy(window=50, min_trades=10, many_trades=20, max_shift=1.0)
    old = [a_closed(0.6, True, number) for number in range(500)]
    new = [a_closed(0.6, False, 500 + number) for number in range(50)]
    assert learnt([*old, *new], policy) == learnt(new, policy)


@settings(max_examples=60, deadline=None)
@given(st.lists(parts, max_size=60), st.lists(parts, max_size=30), st.lists(said, max_size=20), st.lists(said, max_size=20))
def test_what_became_known_later_changes_nothing(
    known: list[Part], later: list[Part], heard: list[Feedback], unheard: list[Feedback]
) -> None:
    at = T0 + 80 * HOUR
    policy = CalibrationPolicy(min_trades=3, many_trades=20)
    before = [each for each in known if each.known_at <= at], [each for each in heard if each.at <= at]
    after = [*known, *[each for each in later if each.known_at > at]], [*heard, *[each for each in unheard if each.at > at]]
    assert closed_of(after[0], at, after[1], policy) == closed_of(before[0], at, before[1], policy)
    assert maps_of(closed_of(after[0], at, after[1], policy), policy) == maps_of(
        closed_of(before[0], at, before[1], policy), policy
    )


@given(st.lists(parts, max_size=30), st.lists(said, max_size=20))
def test_neither_order_nor_repetition_changes_what_is_known(known: list[Part], heard: list[Feedback]) -> None:
    once = {part.id: part for part in known}
    shuffled = list(reversed(list(once.values())))
    assert closed_of([*shuffled, *shuffled], FOREVER, [*heard[::-1], *heard]) == closed_of(once.values(), FOREVER, heard)


@given(st.lists(st.tuples(confidences, st.booleans(), st.floats(0.1, 2.0)), min_size=1, max_size=12))
def test_pooling_gives_the_least_squares_rising_fit(drawn: list[tuple[float, bool, float]]) -> None:
    rows: dict[float, list[float]] = {}
    for stated, won, weight in drawn:
        row = rows.setdefault(stated, [0.0, 0.0])
        row[0] += weight
        row[1] += weight * won
    xs = sorted(rows)
    points = isotonic(*zip(*drawn, strict=True))

    def mean(first: int, last: int) -> float:
        inside = [rows[x] for x in xs[first : last + 1]]
        return sum(row[1] for row in inside) / sum(row[0] for row in inside)

    # The minimax formula of isotonic regression, worked out the slow way.
    best = [max(min(mean(i, k) for k in range(j, len(xs))) for i in range(j + 1)) for j in range(len(xs))]
    levels = sorted({round(level, 9) for level in best})
    assert sorted({round(y, 9) for _, y in points}) == pytest.approx(levels, abs=1e-8)
    assert [x for x, _ in points] == sorted(x for x, _ in points)


def test_a_curve_is_straight_between_its_points_and_level_outside() -> None:
    points = ((0.2, 0.1), (0.6, 0.5))
    assert [between(points, x) for x in (0.0, 0.2, 0.4, 0.6, 1.0)] == pytest.approx([0.1, 0.1, 0.3, 0.5, 0.5])
    with pytest.raises(ValueError, match="at least one point"):
        between((), 0.5)


def test_the_beta_map_recovers_what_made_the_outcomes() -> None:
    truth = BetaMap(0.6, 1.4, -0.3)
    stated = [step / 1_000 for step in range(20, 981)]
    # Each confidence twice, as a win and as a loss, weighed as often as it comes true.
    found = fit_beta(
        stated * 2, [1.0] * 961 + [0.0] * 961, [100 * truth(x) for x in stated] + [100 * (1 - truth(x)) for x in stated]
    )
    assert (found.a, found.b, found.c) == pytest.approx((0.6, 1.4, -0.3), abs=0.02)
    assert BetaMap()(0.37) == pytest.approx(0.37)


@pytest.mark.parametrize("turned", [False, True])
def test_outcomes_that_confidence_tells_apart_entirely_still_give_a_finite_rising_map(turned: bool) -> None:
    stated = [0.1] * 50 + [0.9] * 50
    found = fit_beta(stated, [float((x > 0.5) is not turned) for x in stated], [1.0] * 100)
    assert 0.0 <= found.a < 20
    assert 0.0 <= found.b < 20
    assert found(0.1) <= found(0.5) <= found(0.9)
    if turned:
        assert found(0.9) == pytest.approx(0.5, abs=0.05)  # it knows nothing, and is not turned around


@pytest.mark.parametrize(("a", "b"), [(-0.8, 1.5), (1.5, -0.8), (-0.5, -0.5)])
def test_what_would_make_the_map_fall_is_held_at_zero_and_the_rest_fitted_again(a: float, b: float) -> None:
    truth = BetaMap(a, b, -0.4)
    stated = [step / 200 for step in range(10, 191)]
    likely = [100 * truth(x) for x in stated]
    found = fit_beta(stated * 2, [1.0] * 181 + [0.0] * 181, likely + [100 - each for each in likely])
    assert [found.a == 0.0, found.b == 0.0] == [a < 0, b < 0]
    # At the optimum of what is free, the map is right on the whole.
    assert 100 * sum(map(found, stated)) == pytest.approx(sum(likely), rel=5e-3)


def test_people_weigh_an_outcome_and_never_turn_it() -> None:
    policy = CalibrationPolicy(feedback_weight=0.5)
    assert [weight_of(won, lean, policy) for won in (1, 0) for lean in (1.0, 0.0, -1.0)] == [1.5, 1.0, 0.5, 0.5, 1.0, 1.5]
    words = [
        Feedback("d0", Opined.WRONG, T0, "ann"),
        Feedback("d0", Opined.USEFUL, T0 + 1, "ann", "second thoughts"),
        Feedback("d0", Opined.WRONG, T0, "bob"),
        Feedback("d1", Opined.USEFUL, T0, "bob"),
    ]
    assert leaning(words, T0) == {"d0": -1.0, "d1": 1.0}
    assert leaning(words, T0 + 1) == {"d0": 0.0, "d1": 1.0}
    found = closed_of([a_part(0, profit=-0.01), a_part(1)], FOREVER, words, policy)
    assert [(each.decision, each.won, each.weight) for each in found] == [("d0", 0, 1.0), ("d1", 1, 1.5)]


def test_the_parts_of_a_decision_are_one_outcome_and_other_books_are_others() -> None:
    first, second = a_part(0, profit=0.05), a_part(0, profit=-0.02, known_at=T0 + HOUR)
    second = Part(second.opinion, second.known_at, second.gain, second.cost, "the rest", "book")
    [whole] = closed_of([first, second], FOREVER)
    assert whole.profit == pytest.approx(0.015)
    assert (whole.known_at, whole.won) == (T0 + HOUR, 1)
    [half] = closed_of([first, second], T0 + HOUR - 1)
    assert half.profit == pytest.approx(0.05)
    elsewhere = Part(first.opinion, first.known_at, first.gain, first.cost, first.reference, "another book")
    assert len(closed_of([first, elsewhere], FOREVER)) == 2


def test_each_model_and_action_has_a_map_and_a_new_model_that_of_all() -> None:
    policy = CalibrationPolicy(min_trades=30)
    evidence = [
        *outcomes([(0.8, 40, 10)], source=LLM, model="old"),
        *outcomes([(0.8, 40, 40)], source=LLM, model="old", action="sell"),
        *outcomes([(0.8, 5, 5)], source=LLM, model="new"),
        *outcomes([(0.6, 40, 20)], source=RULE),
    ]
    maps = maps_of(closed_of(evidence, FOREVER), policy)
    assert sorted(maps) == sorted(
        [(LLM, "old", "buy"), (LLM, "old", "sell"), (LLM, "new", "buy"), (LLM, "", "buy"), (LLM, "", "sell"), (RULE, "", "buy")]
    )
    assert map_for(maps, LLM, "old", "buy")(0.8) < 0.8 < map_for(maps, LLM, "old", "sell")(0.8)
    assert map_for(maps, LLM, "new", "buy") is maps[LLM, "", "buy"]
    assert map_for(maps, LLM, "unheard of", "buy") is maps[LLM, "", "buy"]
    assert map_for(maps, RULE, "", "sell") is IDENTITY


@pytest.mark.parametrize("many", [10_000, 10])
def test_maps_and_states_survive_being_written_down(many: int) -> None:
    found = learnt(closed(BOASTING), CalibrationPolicy(many_trades=many))
    again = map_from(json.loads(orjson.dumps(map_json(found))))
    assert (again, again.version) == (found, found.version)
    state = SourceState(frozen=True, since=T0, maps={(RULE, "", "buy"): found}, at=T0 + 1, author="ann", note="why")
    back = state_from(json.loads(orjson.dumps(state_json(state))))
    assert (back, dict(back.maps)) == (state, dict(state.maps))
    assert found.version != learnt(closed(BOASTING)[:-1], CalibrationPolicy(many_trades=many)).version


@pytest.mark.parametrize("told", [{}, {"fit": "magic", "points": [], "beta": {}}, {"points": None}])
def test_what_is_no_map_is_refused(told: dict[str, object]) -> None:
    with pytest.raises(EvidenceError, match="no calibration map"):
        map_from(told)
    with pytest.raises(EvidenceError, match="no state of a calibration"):
        state_from(told)


def test_frozen_maps_stay_and_a_reset_forgets_what_was_known_before_it() -> None:
    policy = CalibrationPolicy(min_trades=30)
    evidence = outcomes(BOASTING)
    half = T0 + 150 * HOUR
    maps = maps_of(closed_of(evidence, half), policy)
    frozen = SourceState(frozen=True, maps=maps)
    assert maps_in_force(closed_of(evidence, FOREVER), frozen, policy) == maps
    assert maps_in_force(closed_of(evidence, FOREVER), SourceState(frozen=True), policy) == {}
    anew = SourceState(since=half)
    assert all(each.known_at > half for each in closed_since(evidence, anew, FOREVER, (), policy))
    assert len(closed_since(evidence, anew, FOREVER, (), policy)) == 150
    assert closed_since(evidence, anew, half - 1, (), policy) == closed_of(evidence, half - 1)


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("stated", {"stated": 1.1}),
        ("stated", {"stated": float("nan")}),
        ("action", {"action": "hold"}),
        ("source", {"source": "\n"}),
    ],
)
def test_opinions_that_cannot_be_judged_are_refused(name: str, changed: dict[str, object]) -> None:
    with pytest.raises(EvidenceError, match=name):
        a_part(0, **changed)  # type: ignore[arg-type]


def test_a_map_of_nothing_is_the_identity() -> None:
    assert learnt([]) == CalibrationMap()
    assert [IDENTITY(x) for x in (0.0, 0.3, 1.0)] == [0.0, 0.3, 1.0]
