"""Every pattern is found in its textbook picture, and not in what is nearly one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources.analysis.candlesticks import candle_patterns, marks
from sources.analysis.series import Series
from sources.analysis.shapes import ChartPattern, Stage, chart_patterns
from tests.sources.analysis.analysis_factories import bars, path, recorded, walk

Row = tuple[float, float, float, float]

FALL: list[Row] = [(120 - n, 120.3 - n, 118.7 - n, 119 - n) for n in range(14)]
"""Black candles of body 1 and range 1.6; the last closes at 106."""
RISE: list[Row] = [(100 + n, 101.3 + n, 99.7 + n, 101 + n) for n in range(14)]
"""White ones; the last closes at 114."""

PICTURES: dict[str, tuple[list[Row], list[Row], int]] = {
    "doji": (FALL, [(106.0, 106.8, 105.2, 106.05)], 0),
    "dragonfly_doji": (FALL, [(106.0, 106.1, 104.5, 106.02)], 1),
    "gravestone_doji": (RISE, [(114.0, 115.5, 113.95, 114.02)], -1),
    "spinning_top": (FALL, [(106.0, 106.9, 105.5, 106.3)], 0),
    "marubozu": (FALL, [(106.0, 108.05, 105.95, 108.0)], 1),
    "hammer": (FALL, [(106.0, 106.45, 104.8, 106.4)], 1),
    "hanging_man": (RISE, [(114.0, 114.45, 112.8, 114.4)], -1),
    "inverted_hammer": (FALL, [(106.0, 107.6, 105.95, 106.4)], 1),
    "shooting_star": (RISE, [(114.0, 115.6, 113.55, 113.6)], -1),
    "engulfing": (FALL, [(105.9, 107.4, 105.7, 107.3)], 1),
    "harami": (FALL, [(106.0, 106.2, 103.8, 104.0), (104.6, 105.0, 104.4, 104.9)], 1),
    "piercing_line": (FALL, [(106.0, 106.2, 103.8, 104.0), (103.9, 105.5, 103.6, 105.4)], 1),
    "dark_cloud_cover": (RISE, [(114.0, 116.2, 113.8, 116.0), (116.1, 116.4, 114.4, 114.6)], -1),
    "tweezer_bottom": (FALL, [(106.0, 106.2, 104.9, 105.2), (105.2, 106.4, 104.92, 106.1)], 1),
    "tweezer_top": (RISE, [(114.0, 115.1, 113.8, 114.8), (114.8, 115.12, 113.6, 113.9)], -1),
    "morning_star": (FALL, [(106.0, 106.2, 103.8, 104.0), (103.9, 104.1, 103.5, 103.7), (103.8, 105.6, 103.7, 105.5)], 1),
    "evening_star": (RISE, [(114.0, 116.2, 113.8, 116.0), (116.1, 116.5, 115.9, 116.3), (116.2, 116.3, 114.4, 114.5)], -1),
    "three_white_soldiers": (FALL, [(106, 107.6, 105.9, 107.5), (107, 109.1, 106.9, 109), (108.5, 110.6, 108.4, 110.5)], 1),
    "three_black_crows": (RISE, [(114, 114.1, 112.4, 112.5), (113, 113.1, 110.9, 111), (111.5, 111.6, 109.4, 109.5)], -1),
    "three_inside_up": (FALL, [(106, 106.2, 103.8, 104), (104.6, 105, 104.4, 104.9), (104.9, 106.5, 104.8, 106.3)], 1),
    "three_inside_down": (RISE, [(114, 116.2, 113.8, 116), (115.4, 115.6, 115, 115.1), (115.1, 115.2, 113.4, 113.5)], -1),
    "inside_bar": (FALL, [(106.3, 106.5, 105.9, 106.2)], 0),
    "outside_bar": (FALL, [(106.5, 107.9, 105.0, 107.0)], 1),
}


def found_at_the_end(series: Series) -> dict[str, int]:
    return {each.name: each.direction for each in candle_patterns(series, 1)}


@pytest.mark.parametrize("name", PICTURES)
def test_a_textbook_picture_is_found(name: str) -> None:
    before, picture, direction = PICTURES[name]
    assert found_at_the_end(bars([*before, *picture])).get(name) == direction


@pytest.mark.parametrize("name", PICTURES)
def test_its_mirror_image_says_the_opposite(name: str) -> None:
    before, picture, direction = PICTURES[name]
    mirrored = [(300 - opened, 300 - low, 300 - high, 300 - close) for opened, high, low, close in [*before, *picture]]
    assert -direction in found_at_the_end(bars(mirrored)).values()
    if direction:
        assert found_at_the_end(bars(mirrored)).get(name) != direction


@pytest.mark.parametrize(
    ("name", "before", "picture"),
    [
        ("hammer", RISE, [(114.0, 114.45, 112.8, 114.4)]),
        ("hammer", FALL, [(106.0, 106.9, 104.8, 106.4)]),
        ("shooting_star", FALL, [(106.0, 107.6, 105.95, 106.4)]),
        ("engulfing", FALL, [(106.1, 107.4, 106.0, 106.9)]),
        ("engulfing", FALL, [(106.0, 107.2, 105.8, 107.0)]),
        ("piercing_line", FALL, [(106.0, 106.2, 103.8, 104.0), (103.9, 105.0, 103.6, 104.9)]),
        ("morning_star", FALL, [(106.0, 106.2, 103.8, 104.0), (103.9, 104.1, 103.5, 103.7), (103.8, 104.9, 103.7, 104.8)]),
        ("three_white_soldiers", FALL, [(106, 107.6, 105.9, 107.5), (107, 109.1, 106.9, 109), (109.5, 111.6, 109.4, 111.5)]),
        ("inside_bar", FALL, [(106.3, 107.5, 105.9, 106.2)]),
        ("doji", FALL, [(106.0, 106.0, 106.0, 106.0)]),
        ("marubozu", FALL, [(106.0, 108.5, 105.95, 108.0)]),
    ],
)
def test_what_is_nearly_a_pattern_is_none(name: str, before: list[Row], picture: list[Row]) -> None:
    assert name not in found_at_the_end(bars([*before, *picture]))


def test_the_first_ten_candles_are_no_pattern() -> None:
    assert candle_patterns(walk(10, sigma=0.03)) == ()
    assert all(each.index >= 10 for each in candle_patterns(walk(200, sigma=0.03)))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 50), scale=st.sampled_from([1e-6, 0.5, 3.0, 1e6]))
def test_patterns_do_not_depend_on_the_unit_of_price(seed: int, scale: float) -> None:
    series = walk(120, seed=seed, sigma=0.02)
    rows = zip(*(each * scale for each in (series.open, series.high, series.low, series.close)), strict=True)
    scaled = bars([(float(a), float(b), float(c), float(d)) for a, b, c, d in rows])
    assert [(each.name, each.index) for each in candle_patterns(scaled)] == [
        (each.name, each.index) for each in candle_patterns(series)
    ]


def test_every_pattern_occurs_in_recorded_hours() -> None:
    series = recorded(20_000)
    seen = {each.name for each in candle_patterns(series)}
    assert seen == set(marks(series))
    assert len(seen) >= 20


def charts(series: Series, atr: float = 1.0) -> dict[str, ChartPattern]:
    return {each.name: each for each in chart_patterns(series, atr)}


def test_a_double_top_is_told_with_its_points_and_confirmed_below_the_neckline() -> None:
    forming = charts(path([90, 110, 103, 110, 106]))["double_top"]
    assert (forming.direction, forming.stage) == (-1, Stage.FORMING)
    assert [point.role for point in forming.points] == ["top", "neckline", "top"]
    assert [round(point.price, 2) for point in forming.points] == [110.15, 102.85, 110.15]
    assert forming.level == pytest.approx(102.85)
    assert forming.target == pytest.approx(102.85 - 7.3)
    confirmed = charts(path([90, 110, 103, 110, 100]))["double_top"]
    assert confirmed.stage is Stage.CONFIRMED
    assert confirmed.confidence > forming.confidence


def test_a_double_top_is_refuted_by_a_higher_close_or_unequal_tops() -> None:
    assert "double_top" not in charts(path([90, 110, 103, 110, 106, 112]))
    assert "double_top" not in charts(path([90, 110, 103, 113, 108]))


def test_a_double_bottom_is_the_mirror_image() -> None:
    found = charts(path([110, 90, 97, 90, 94]))["double_bottom"]
    assert (found.direction, found.stage) == (1, Stage.FORMING)
    assert found.target == pytest.approx(97.15 + 7.3)


def test_head_and_shoulders_and_its_inverse() -> None:
    found = charts(path([90, 105, 100, 112, 100, 105, 101]))["head_and_shoulders"]
    assert (found.direction, found.stage) == (-1, Stage.FORMING)
    assert [point.role for point in found.points][2] == "head"
    assert found.level == pytest.approx(99.85)
    broken = charts(path([90, 105, 100, 112, 100, 105, 96]))["head_and_shoulders"]
    assert broken.stage is Stage.CONFIRMED
    inverse = charts(path([110, 95, 100, 88, 100, 95, 99]))["inverse_head_and_shoulders"]
    assert inverse.direction == 1
    assert "head_and_shoulders" not in charts(path([90, 112, 100, 105, 100, 112, 101]))


@pytest.mark.parametrize(
    ("points", "name", "direction"),
    [
        ([90, 110, 98, 110, 102, 110, 105, 108], "ascending_triangle", 1),
        ([110, 90, 102, 90, 98, 90, 95, 92], "descending_triangle", -1),
        ([90, 112, 96, 110, 98, 108, 100, 104], "symmetrical_triangle", 0),
        ([90, 100, 94, 104, 98, 108, 102, 105], "rising_channel", 1),
        ([120, 110, 116, 106, 112, 102, 108, 105], "falling_channel", -1),
        ([90, 110, 100, 110, 100, 110, 100, 105], "rectangle", 0),
    ],
)
def test_shapes_between_two_lines(points: list[float], name: str, direction: int) -> None:
    found = charts(path(points))
    assert name in found
    assert found[name].direction == direction
    assert found[name].stage is Stage.FORMING
    assert 0.4 < found[name].confidence <= 0.6
    assert len(found[name].points) >= 5


def test_a_close_beyond_the_line_confirms_a_triangle_and_takes_its_side() -> None:
    found = charts(path([90, 110, 98, 110, 102, 110, 105, 114]))["ascending_triangle"]
    assert (found.stage, found.direction) == (Stage.CONFIRMED, 1)


def test_a_flag_hangs_on_a_pole() -> None:
    calm = [(100.0, 100.3, 99.7, 100.0)] * 20
    pole = [(100.0 + 2 * n, 102.2 + 2 * n, 99.8 + 2 * n, 102.0 + 2 * n) for n in range(5)]
    flag = [(110.0 - 0.3 * n, 110.2 - 0.3 * n, 109.5 - 0.3 * n, 109.7 - 0.3 * n) for n in range(7)]
    found = charts(bars([*calm, *pole, *flag]))["bull_flag"]
    assert (found.direction, found.stage) == (1, Stage.FORMING)
    assert [point.role for point in found.points] == ["pole_foot", "pole_top", "flag_end"]
    assert found.points[0].price == 100.0
    burst = charts(bars([*calm, *pole, *flag, (108.0, 112.2, 107.9, 112.0)]))["bull_flag"]
    assert burst.stage is Stage.CONFIRMED
    given_back = [(110.0 - n, 110.2 - n, 108.8 - n, 109.0 - n) for n in range(7)]
    assert "bull_flag" not in charts(bars([*calm, *pole, *given_back]))


def test_without_a_range_there_is_no_shape() -> None:
    assert chart_patterns(path([90, 110, 103, 110, 106]), None) == ()
    assert chart_patterns(path([90, 110, 103, 110, 106]), 0.0) == ()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 500), count=st.integers(0, 300))
def test_confidence_is_a_fraction_and_points_are_in_order(seed: int, count: int) -> None:
    for each in chart_patterns(walk(count, seed=seed), 1.0):
        assert 0.0 <= each.confidence <= 1.0
        assert [point.ts for point in each.points] == sorted(point.ts for point in each.points)
        assert each.direction in {-1, 0, 1}
