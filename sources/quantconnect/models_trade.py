"""Orders, their events, closed trades and insights of an algorithm. Times are ms UTC; a quantity below zero is a sale."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator

from sources.quantconnect.shapes import Also, Amount, Code, Flag, Id, Many, Moment, Number, Price, Shape, Span, Text, one_of


class OrderType(Code):
    """How an order is to be filled."""

    UNKNOWN = -1
    MARKET = 0
    LIMIT = 1
    STOP_MARKET = 2
    STOP_LIMIT = 3
    MARKET_ON_OPEN = 4
    MARKET_ON_CLOSE = 5
    OPTION_EXERCISE = 6
    LIMIT_IF_TOUCHED = 7
    COMBO_MARKET = 8
    COMBO_LIMIT = 9
    COMBO_LEG_LIMIT = 10
    TRAILING_STOP = 11


class OrderStatus(Code):
    """What has become of an order. Four was never given out."""

    UNKNOWN = -1
    NEW = 0
    SUBMITTED = 1
    PARTIALLY_FILLED = 2
    FILLED = 3
    CANCELED = 5
    NONE = 6
    INVALID = 7
    CANCEL_PENDING = 8
    UPDATE_SUBMITTED = 9


class OrderDirection(Code):
    """Which way an order goes."""

    UNKNOWN = -1
    BUY = 0
    SELL = 1
    HOLD = 2


class TradeDirection(Code):
    """Which way a position was held."""

    UNKNOWN = -1
    LONG = 0
    SHORT = 1


class SecurityType(Code):
    """What is traded."""

    UNKNOWN = -1
    BASE = 0
    EQUITY = 1
    OPTION = 2
    COMMODITY = 3
    FOREX = 4
    FUTURE = 5
    CFD = 6
    CRYPTO = 7
    FUTURE_OPTION = 8
    INDEX = 9
    INDEX_OPTION = 10
    CRYPTO_FUTURE = 11


class InsightDirection(Code):
    """Where an insight sees the price going. `UNKNOWN` is none of them: it must never be traded."""

    UNKNOWN = -9
    DOWN = -1
    FLAT = 0
    UP = 1


class InsightType(Code):
    """What an insight is about."""

    UNKNOWN = -1
    PRICE = 0
    VOLATILITY = 1


class Symbol(Shape):
    """A security: `id` is the security identifier (SID), `value` the ticker."""

    id: Text = ""
    value: Text = ""
    permtick: Text = ""

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, raw: Any) -> Any:
        if isinstance(raw, str):  # the identifier alone, which begins with the ticker
            return {"id": raw, "value": raw.partition(" ")[0]}
        return raw


class OrderEvent(Shape):
    """Something that happened to an order; `id` is `{algorithm}-{order}-{event}`."""

    id: Text = ""
    algorithm_id: Text = ""
    order_id: Id
    order_event_id: Id = 0
    symbol: Text = ""
    symbol_value: Text = ""
    symbol_permtick: Text = ""
    time: Moment = None
    status: Annotated[OrderStatus, one_of(OrderStatus)] = OrderStatus.UNKNOWN
    direction: Annotated[OrderDirection, one_of(OrderDirection)] = OrderDirection.UNKNOWN
    fill_price: Number = None
    fill_price_currency: Text = ""
    fill_quantity: Amount = 0.0
    order_fee_amount: Number = None
    order_fee_currency: Text = ""
    message: Text = ""
    is_assignment: Flag = False
    quantity: Amount = 0.0
    stop_price: Number = None
    limit_price: Number = None
    is_in_the_money: Flag = False


class Submission(Shape):
    """The market when an order was submitted."""

    bid_price: Number = None
    ask_price: Number = None
    last_price: Number = None


class Order(Shape):
    """An order. `price` is its average fill; a status of null means that it was cancelled."""

    id: Id
    contingent_id: Id = 0
    broker_id: Many[Text] = ()
    symbol: Symbol = Field(default_factory=Symbol)
    price: Number = None
    price_currency: Text = ""
    limit_price: Number = None
    stop_price: Number = None
    stop_triggered: Flag = False
    trigger_price: Number = None
    trigger_touched: Flag = False
    trailing_amount: Number = None
    trailing_as_percentage: Annotated[Flag, Also.of("trailing percentage")] = False
    quantity: Amount = 0.0
    value: Number = None
    type: Annotated[OrderType, one_of(OrderType)] = OrderType.UNKNOWN
    status: Annotated[OrderStatus, one_of(OrderStatus)] = OrderStatus.CANCELED
    direction: Annotated[OrderDirection, one_of(OrderDirection)] = OrderDirection.UNKNOWN
    security_type: Annotated[SecurityType, one_of(SecurityType)] = SecurityType.UNKNOWN
    tag: Text = ""
    time: Moment = None
    created_time: Moment = None
    last_fill_time: Moment = None
    last_update_time: Moment = None
    canceled_time: Moment = None
    order_submission_data: Submission | None = None
    is_marketable: Flag = False
    events: Many[OrderEvent] = ()


class ClosedTrade(Shape):
    """A position that was opened and closed. Profit, fees, `mae` and `mfe` are money; `duration` is in seconds."""

    id: Text = ""
    symbol: Symbol = Field(default_factory=Symbol)
    symbols: Many[Symbol] = ()
    entry_time: Moment = None
    entry_price: Number = None
    direction: Annotated[TradeDirection, one_of(TradeDirection)] = TradeDirection.UNKNOWN
    quantity: Amount = 0.0
    exit_time: Moment = None
    exit_price: Number = None
    profit_loss: Number = None
    total_fees: Number = None
    mae: Number = None
    mfe: Number = None
    duration: Span = None
    end_trade_drawdown: Number = None
    is_win: Flag | None = None
    order_ids: Many[Id] = ()

    @model_validator(mode="before")
    @classmethod
    def _one_symbol(cls, raw: Any) -> Any:
        """The newer engine gives a list of symbols only."""
        if isinstance(raw, dict) and not raw.get("symbol") and isinstance(raw.get("symbols"), list) and raw["symbols"]:
            return {**raw, "symbol": raw["symbols"][0]}
        return raw


class Insight(Shape):
    """An opinion of the algorithm. `period` is in seconds; confidence is 0..1 and often missing, scores are made afterwards."""

    id: Annotated[Text, Also.of("insight id")]
    group_id: Text = ""
    source_model: Text = ""
    generated_time: Annotated[Moment, Also.of("created time")] = None
    close_time: Moment = None
    symbol: Annotated[Text, Also.of("symbol id")] = ""
    ticker: Text = ""
    type: Annotated[InsightType, one_of(InsightType)] = InsightType.PRICE
    direction: Annotated[InsightDirection, one_of(InsightDirection)] = InsightDirection.UNKNOWN
    period: Span = None
    magnitude: Number = None
    confidence: Number = None
    weight: Number = None
    reference: Annotated[Price, Also.of("reference value")] = None
    reference_final: Annotated[Number, Also.of("reference value final")] = None
    score_final: Annotated[Flag, Also.of("score is final")] = False
    score_direction: Amount = 0.0
    score_magnitude: Amount = 0.0
    estimated_value: Amount = 0.0
    tag: Text = ""
    project_id: Id | None = None
    deploy_id: Text = ""
