"""How the record of stated confidences is told: curve, Brier score, calibration error, and thresholds from what was earned."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from research.calibration.curve import brier_of, error_of, reliability, wilson
from research.calibration.evidence import Closed, closed_of
from research.calibration.policy import CalibrationPolicy
from research.calibration.thresholds import threshold_advice
from tests.factories import T0
from tests.research.calibration_evidence import HOUR, a_closed, closed_lists, outcomes

FOREVER = T0 + 1_000_000 * HOUR


@settings(max_examples=40, deadline=None)
@given(closed_lists)
def test_the_parts_of_the_brier_score_add_up_to_it(closed: list[Closed]) -> None:
    found = reliability(closed)
    assert found is not None
    brier = found.brier
    assert brier.score == pytest.approx(brier.reliability - brier.resolution + brier.uncertainty + brier.within, abs=1e-9)
    assert brier.score == pytest.approx(brier_of(closed))
    assert found.error == pytest.approx(error_of(closed), abs=1e-9)
    assert sum(each.closed for each in found.bins) == found.closed == len(closed)
    assert all(each.low - 1e-9 <= each.stated <= each.high + 1e-9 for each in found.bins)
    assert all(0 <= each.won_low <= each.won <= each.won_high <= 1 for each in found.bins)
    assert 0.0 <= found.error_low <= found.error_high <= 1.0


def test_figures_that_are_known_by_hand() -> None:
    found = reliability(closed_of(outcomes([(0.25, 10, 1), (0.75, 10, 7)]), FOREVER))
    assert found is not None
    assert (found.closed, found.won) == (20, 8)
    assert found.profit == pytest.approx((8 - 12) * 0.01 / 20)
    assert [(each.closed, each.stated, each.won) for each in found.bins] == [(10, 0.25, 0.1), (10, 0.75, 0.7)]
    assert found.error == pytest.approx((0.15 + 0.05) / 2)
    assert found.brier.reliability == pytest.approx((0.15**2 + 0.05**2) / 2)
    assert found.brier.resolution == pytest.approx((0.3**2 + 0.3**2) / 2)
    assert found.brier.uncertainty == pytest.approx(0.24)
    assert found.brier.within == pytest.approx(0.0)
    assert found.error_low < found.error < found.error_high


def test_the_interval_of_a_fraction_is_wilsons() -> None:
    assert wilson(7, 10) == pytest.approx((0.3968, 0.8922), abs=1e-4)
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)


def test_the_same_record_has_the_same_interval() -> None:
    closed = closed_of(outcomes([(0.3, 40, 20), (0.8, 40, 20)]), FOREVER)
    assert reliability(closed) == reliability(closed)
    assert reliability(closed) != reliability(closed[:-1])


def test_feedback_teaches_and_does_not_mend_the_record() -> None:
    assert reliability([a_closed(weight=1.5), a_closed(won=False, number=1)]) == reliability(
        [a_closed(), a_closed(won=False, number=1)]
    )


def test_nothing_has_no_record() -> None:
    assert reliability([]) is None
    assert brier_of([]) is None
    assert error_of([]) is None


def earning(stated: float, profit: float, number: int, first: int) -> list[Closed]:
    return [a_closed(stated, number=first + each, profit=profit) for each in range(number)]


def test_the_threshold_leaves_out_what_loses() -> None:
    closed = [
        *earning(0.42, -0.02, 40, 0),
        *earning(0.57, -0.01, 40, 40),
        *earning(0.72, 0.01, 40, 80),
        *earning(0.88, 0.02, 40, 120),
    ]
    found = threshold_advice(closed)
    assert found.threshold == pytest.approx(0.70)
    assert [each.profit for each in found.buckets] == pytest.approx([-0.02, -0.01, 0.01, 0.02])
    assert all(abs(each.expected) < abs(each.profit) for each in found.buckets)


def test_of_equal_thresholds_the_lower_one_is_advised() -> None:
    assert threshold_advice([*earning(0.42, 0.0, 40, 0), *earning(0.72, 0.01, 40, 40)]).threshold == pytest.approx(0.40)


def test_advice_stays_within_its_bounds_and_needs_evidence() -> None:
    winning, losing = earning(0.1, 0.01, 40, 0), earning(0.95, -0.01, 40, 0)
    policy = CalibrationPolicy(threshold_low=0.35, threshold_high=0.8)
    assert threshold_advice(winning, policy).threshold == 0.35
    assert threshold_advice(losing, policy).threshold == 0.8
    few = threshold_advice(winning[:10], policy)
    assert (few.threshold, few.reason) == (None, "10 of 30 closed decisions")
    assert threshold_advice([], policy).threshold is None


@settings(max_examples=40, deadline=None)
@given(closed_lists)
def test_advice_is_within_bounds_whatever_happened(closed: list[Closed]) -> None:
    policy = CalibrationPolicy(min_trades=1, threshold_low=0.2, threshold_high=0.7)
    found = threshold_advice(closed, policy)
    assert found.threshold is not None
    assert 0.2 <= found.threshold <= 0.7
