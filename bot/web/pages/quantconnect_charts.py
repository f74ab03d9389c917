"""The charts of the page of QuantConnect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response

from bot.web.charts.backtests import backtest, comparison, monthly_returns, sweep
from bot.web.charts.equity import worth
from bot.web.charts.learning import memory_confidence
from bot.web.charts.theme import Theme
from bot.web.pages.asking import if_it_can
from bot.web.pages.drawing import ThemeWanted, drawn
from bot.web.pages.quantconnect_reading import algorithm_of, backtest_of, comparison_of, sweep_of
from bot.web.room import ControlRoom, Room
from bot.web.security.gate import Reader
from bot.web.security.principal import Principal

router = APIRouter()

_DAY_MS = 86_400_000
_MOST_LOOK_UPS = 500
_FINEST = 60

Project = Annotated[int, Path(gt=0, le=2**53)]
BacktestId = Annotated[str, Path(max_length=64, pattern=r"^[0-9a-zA-Z-]+$")]
Id = Annotated[str, Path(max_length=64, pattern=r"^[A-Za-z0-9-]+$")]
JobId = Annotated[str, Path(max_length=64, pattern=r"^job-[0-9]+-[0-9]+$")]
Reference = Annotated[str, Query(max_length=100, pattern=r"^\d{1,16}/[0-9a-fA-F]{4,64}$")]
References = Annotated[list[Reference], Query(min_length=2, max_length=20)]
Name = Annotated[str, Query(max_length=100)]


@router.get("/ui/charts/quantconnect/algorithms/{id}")
async def algorithm_chart(room: Room, principal: Reader, id: Id, theme: ThemeWanted = Theme.LIGHT) -> Response:  # noqa: A002
    """The equity of a live algorithm since its launch."""
    found = await algorithm_of(room, principal, id)
    curve = [(int(at), value) for at, value in found["equity"] or ()]
    stats = found["statistics"] or {}
    title = f"Equity of {found['name'] or found['project']}"
    return drawn(worth(f"algorithm-{found['project']}", title, curve, theme, currency=_currency(stats)))


def _currency(statistics: Mapping[str, Any]) -> str:
    return {"₮": "USDT", "$": "USD", "€": "EUR"}.get(str(statistics.get("currency") or ""), "")


@router.get("/ui/charts/quantconnect/backtests/{project}/{backtest_id}")
async def backtest_chart(
    room: Room, principal: Reader, project: Project, backtest_id: BacktestId, theme: ThemeWanted = Theme.LIGHT
) -> Response:
    """Equity and drawdown of a backtest beside its benchmark."""
    return drawn(backtest(dict(await backtest_of(room, principal, project, backtest_id)), theme))


@router.get("/ui/charts/quantconnect/backtests/{project}/{backtest_id}/months")
async def months_chart(
    room: Room, principal: Reader, project: Project, backtest_id: BacktestId, theme: ThemeWanted = Theme.LIGHT
) -> Response:
    """The return of each month of a backtest."""
    found = await backtest_of(room, principal, project, backtest_id)
    return drawn(monthly_returns(months_of(found["daily_equity"], found.get("equity_start")), theme))


def months_of(daily: Sequence[Sequence[float]], start: float | None) -> list[dict[str, object]]:
    """The return of each month, from equities at the ends of days (ms UTC, worth); the first counts from `start`."""
    last: dict[tuple[int, int], float] = {}
    for at, worth_then in daily:
        day = datetime.fromtimestamp((at - 1) / 1_000, UTC)
        last[(day.year, day.month)] = worth_then
    before = start or (daily[0][1] if daily else None)
    rows: list[dict[str, object]] = []
    for (year, month), worth_then in last.items():
        if before:
            rows.append({"year": year, "month": month, "return": worth_then / before - 1.0})
        before = worth_then
    return rows


@router.get("/ui/charts/quantconnect/compare")
async def compare_chart(room: Room, principal: Reader, backtest: References, theme: ThemeWanted = Theme.LIGHT) -> Response:
    """Curves of several backtests, each from 100."""
    return drawn(comparison(dict(await comparison_of(room, principal, backtest)), theme))


@router.get("/ui/charts/quantconnect/sweep/{job}")
async def sweep_chart(room: Room, principal: Reader, job: JobId, theme: ThemeWanted = Theme.LIGHT) -> Response:
    """What a sweep found, over its parameters."""
    found = dict(await sweep_of(room, principal, job))
    figures = {"return": "compounding_annual_return", "drawdown": "drawdown"}
    target = str(found.get("target") or "").replace("-", "_")
    return drawn(sweep(found, theme, figure_name=figures.get(target, f"{target}_ratio")))


@router.get("/ui/charts/quantconnect/memory")
async def memory_chart(
    room: Room, principal: Reader, symbol: Name = "", strategy: Name = "", theme: ThemeWanted = Theme.LIGHT
) -> Response:
    """How far each subject was believed, from the first that was learnt of it."""
    return drawn(memory_confidence(await history_of(room, principal, symbol, strategy), theme))


async def history_of(room: ControlRoom, principal: Principal, symbol: str, strategy: str) -> Sequence[Mapping[str, Any]]:
    """Confidence over time of the subjects that are meant, at as many moments as may be asked for."""
    about = {name: value for name, value in (("symbol", symbol), ("strategy", strategy)) if value}
    kept = await if_it_can(room, "memory.lessons", principal, {**about, "limit": 1_000})
    if kept is None:
        return ()
    lessons = kept["lessons"]
    subjects = len((await room.ask("memory.subjects", about, principal))["subjects"])
    if not subjects:
        return ()
    first = min((int(lesson["known_at"]) for lesson in lessons), default=room.now() - 30 * _DAY_MS)
    since = max(0, min(first, room.now() - 60_000) - (room.now() - first) // 20)
    points = max(2, min(_FINEST, _MOST_LOOK_UPS // subjects))
    found: Sequence[Mapping[str, Any]] = (
        await room.ask("memory.history", {**about, "since": since, "points": points}, principal)
    )["history"]
    return found
