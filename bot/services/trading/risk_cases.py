"""The use cases `risk.*`: the state and its limits, an assessment, and what an order or a size would come to. All only look."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Self

from pydantic import Field, model_validator

from bot.core.market import Side
from bot.runtime.jobs import Report, Result
from bot.services.trading import assess, size, state, validate
from bot.services.trading.at_desk import at_desk
from bot.services.trading.desk_cases import NoArgs
from bot.services.use_case import Arguments, Ground, UseCase

_LEAST, _MOST = Decimal("1e-18"), Decimal("1e15")


class ValidateArgs(Arguments):
    """A hypothetical order: `amount` or `notional`."""

    symbol: str = Field(min_length=1, max_length=60, description="such as BTC/USDT")
    side: Side = Field(description="buy or sell")
    amount: Decimal | None = Field(None, ge=_LEAST, le=_MOST, max_digits=36, description="in the base currency")
    notional: Decimal | None = Field(None, ge=_LEAST, le=_MOST, max_digits=36, description="in the quote currency")
    price: float | None = Field(None, gt=1e-15, lt=1e15, description="what its decision saw; absent: the live price")
    source: str | None = Field(None, min_length=1, max_length=200, description="whose order it is; absent: nobody's")

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        if (self.amount is None) is (self.notional is None):
            message = "give either amount or notional"
            raise ValueError(message)
        return self


class SizeArgs(Arguments):
    """A buy that somebody thinks of."""

    symbol: str = Field(min_length=1, max_length=60, description="such as BTC/USDT")
    source: str | None = Field(
        None, min_length=1, max_length=200, description="whose sizing and capital; absent: the desk's default"
    )
    confidence: float = Field(0.5, ge=0.0, le=1.0, description="how sure it is (0..1)")
    stop_loss: float | None = Field(None, gt=0.0, lt=1e15, description="the price of its stop, to see what would be lost there")


async def _state(ground: Ground, args: NoArgs, report: Report) -> Result:
    del args, report
    return await state.state_json(ground, at_desk(ground))


async def _assess(ground: Ground, args: NoArgs, report: Report) -> Result:
    del args, report
    where = at_desk(ground)
    return assess.assess_json(where.desk, where.now)


async def _validate(ground: Ground, args: ValidateArgs, report: Report) -> Result:
    del report
    where = at_desk(ground)
    wish = validate.Wish(args.symbol, args.side, args.amount, args.notional, args.price, args.source)
    return validate.validate_json(where.desk, where.now, wish)


async def _size(ground: Ground, args: SizeArgs, report: Report) -> Result:
    del report
    where = at_desk(ground)
    return size.size_json(where.desk, where.now, size.Idea(args.symbol, args.confidence, args.source, args.stop_loss))


USE_CASES: tuple[UseCase[Any], ...] = (
    UseCase(
        "risk.state", "The trading state, how full each limit is, and what is wrong with market or account", NoArgs, _state, True
    ),
    UseCase(
        "risk.assess", "The portfolio assessed: exposure, concentration, value at risk, stops, warnings", NoArgs, _assess, True
    ),
    UseCase("risk.validate", "What risk would say of an order now, check by check", ValidateArgs, _validate, True),
    UseCase("risk.size", "What each sizing policy would hold at a confidence, before and after risk", SizeArgs, _size, True),
)
