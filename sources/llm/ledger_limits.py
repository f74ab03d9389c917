"""The limits as they stand in the ledger: what refuses a call, what is left, what is worth an alert."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from sqlalchemy import Connection

from sources.llm.budget import NO_LIMITS_OF_ITS_OWN, Advice, Alert, Budget, BudgetRefused, Limit, SourceBudget, utc_day
from sources.llm.ledger_rows import (
    MINUTE_MS,
    SIMULATED,
    TOTAL,
    Cap,
    NewCall,
    Total,
    first_alert,
    recent,
    to_pico,
    to_usd,
    total_of,
    totals,
)

_WHOLE = Decimal(1)


class Limits:
    """The common budget and what sources add to it in `of_source`, which may grow."""

    def __init__(self, budget: Budget, of_source: Mapping[str, SourceBudget]) -> None:
        self._budget = budget
        self._of_source = of_source

    def refusal(self, connection: Connection, call: NewCall, pico: int) -> BudgetRefused | None:
        """Why a call that may cost so much is not made; None if it may be."""
        per_call, _ = self._narrowed(call.source)
        if to_usd(pico) > per_call:
            reason = f"this call may cost {to_usd(pico)} USD and one may cost {per_call}: ask for less, or raise budget.per_call"
            return BudgetRefused(Limit.PER_CALL, reason)
        if recent(connection, call.ts - MINUTE_MS, call.source) >= self._budget.calls_per_minute:
            reason = f"{self._budget.calls_per_minute} calls in this minute are enough (budget.calls_per_minute): wait"
            return BudgetRefused(Limit.RATE, reason)
        for cap, seen in self._seen(connection, call.source, utc_day(call.ts)):
            if seen.held + seen.spent + pico > cap.limit:
                left = to_usd(max(0, cap.limit - seen.held - seen.spent))
                reason = (
                    f"{left} of {to_usd(cap.limit)} USD are left of the limit {cap.kind.value} in {cap.period}"
                    f"{f' of {cap.scope}' if cap.scope else ''}, and this call may cost {to_usd(pico)}: wait, or raise the limit"
                )
                return BudgetRefused(cap.kind, reason)
        return None

    def used_up(self, connection: Connection, call: NewCall, limit: Limit) -> list[Alert]:
        """The alert for a limit that has refused a call: it is as good as reached."""
        if _WHOLE not in self._budget.alerts:
            return []
        of_limit = [each for each in self._seen(connection, call.source, utc_day(call.ts)) if each[0].kind is limit]
        return [alert for cap, seen in of_limit for alert in _given(connection, cap, seen, _WHOLE, call.ts)]

    def reached(self, connection: Connection, touched: Iterable[tuple[str, str]], at: int) -> list[Alert]:
        """Alerts that are due now that something was spent by those sources on those days."""
        found: list[Alert] = []
        for source, day in dict.fromkeys(touched):
            for cap, seen in self._seen(connection, source, day):
                for share in sorted(self._budget.alerts):
                    if seen.spent and seen.spent >= cap.limit * share:
                        found += _given(connection, cap, seen, share, at)
        return found

    def advice(self, connection: Connection, source: str, at: int) -> Advice:
        """What a source should do: the worst of what its limits and the common ones say. An empty source: the common ones."""
        worst = Advice.NORMAL
        for cap, seen in self._seen(connection, source, utc_day(at)):
            if seen.spent >= cap.limit:
                return Advice.OFF
            if seen.spent >= cap.limit * self._budget.soft:
                worst = Advice.CHEAPER
        return worst

    def standing(self, connection: Connection, source: str, at: int) -> list[tuple[Cap, Total]]:
        """Each limit with what it has seen."""
        return self._seen(connection, source, utc_day(at))

    def _narrowed(self, source: str) -> tuple[Decimal, Decimal]:
        return self._of_source.get(source, NO_LIMITS_OF_ITS_OWN).narrowing(self._budget)

    def _seen(self, connection: Connection, source: str, day: str) -> list[tuple[Cap, Total]]:
        caps = self._caps(source, day)
        return list(zip(caps, totals(connection, caps), strict=True))

    def _caps(self, source: str, day: str) -> list[Cap]:
        month = day[:7]
        common = [
            Cap(Limit.DAY, total_of(source), day, to_pico(self._budget.per_day) or 0),
            Cap(Limit.MONTH, total_of(source), month, to_pico(self._budget.per_month) or 0),
        ]
        if source in (TOTAL, SIMULATED):
            return common
        _, per_day = self._narrowed(source)
        return [Cap(Limit.SOURCE_DAY, source, day, to_pico(per_day) or 0), *common]


def _given(connection: Connection, cap: Cap, seen: Total, share: Decimal, at: int) -> list[Alert]:
    percent = int(share * 100)
    if not first_alert(connection, cap, percent, at):
        return []
    return [Alert(cap.kind, cap.scope, cap.period, percent, to_usd(seen.spent), to_usd(cap.limit), at)]
