"""The pitfalls of LEAN's Python API, each a check by name: text that parses, runs, and does something else than it says."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

_CRYPTO = "add_crypto"
_ADDING = frozenset(("add_crypto", "add_crypto_future", "add_equity", "add_forex", "add_cfd", "add_security", "add_data"))
_AVERAGE_AT = {"rsi": 2, "atr": 2, "bb": 3, "macd": 4}
"""Position of the kind of average among the arguments of an indicator method."""
_INDICATORS = frozenset((
    "sma", "ema", "rsi", "macd", "bb", "atr", "roc", "rocp", "mom", "std", "max", "min", "dch", "adx", "cci", "sto",
))  # fmt: skip
_ORDERS = frozenset(("set_holdings", "market_order", "limit_order", "stop_market_order", "liquidate", "buy", "sell"))
_LOGS = frozenset(("log", "debug", "error"))
_METHODS = _INDICATORS | _ORDERS | _LOGS | _ADDING | {
    "consolidate", "emit_insights", "get_parameter", "history", "notify", "object_store", "plot", "portfolio", "schedule",
    "securities", "set_cash", "set_warm_up", "settings", "time", "transactions",
}  # fmt: skip
_CAMEL = frozenset((
    "AddCrypto", "AddEquity", "AddForex", "Debug", "EmitInsights", "EMA", "GetParameter", "Initialize", "Liquidate", "Log",
    "MACD", "MarketOrder", "OnData", "RSI", "SetBrokerageModel", "SetCash", "SetEndDate", "SetHoldings", "SetStartDate",
    "SetWarmUp", "SMA",
))  # fmt: skip
_FULL = 0.99


@dataclass(frozen=True, slots=True)
class Place:
    """A line, and what to do about it."""

    line: int
    message: str


def algorithms(tree: ast.Module) -> list[ast.ClassDef]:
    """The classes that derive from QCAlgorithm, as far as their text says so."""
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    return [one for one in classes if any(ast.unparse(base).rpartition(".")[2] == "QCAlgorithm" for base in one.bases)]


class Reading:
    """What the checks look at: all nodes of the algorithms, the calls of methods of `self` by name, and the functions."""

    def __init__(self, classes: Sequence[ast.ClassDef]) -> None:
        self.nodes = [node for one in classes for node in ast.walk(one)]
        self.calls = [(name, node) for node in self.nodes if isinstance(node, ast.Call) and (name := _own(node.func))]
        self.functions = {node.name: node for node in self.nodes if isinstance(node, ast.FunctionDef)}


def _own(node: ast.expr) -> str:
    """The name of an attribute of `self`, else nothing."""
    return node.attr if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self" else ""


def _argument(call: ast.Call, place: int, name: str) -> ast.expr | None:
    if len(call.args) > place:
        return call.args[place]
    return next((each.value for each in call.keywords if each.arg == name), None)


def _attribute_of(node: ast.AST | None, owner: str) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == owner


def _text(node: ast.expr | None) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _number(node: ast.expr | None) -> float | None:
    negative = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)
    inner = node.operand if isinstance(node, ast.UnaryOp) and negative else node
    if isinstance(inner, ast.Constant) and isinstance(inner.value, int | float) and not isinstance(inner.value, bool):
        return -float(inner.value) if negative else float(inner.value)
    return None


def market_missing(text: Reading) -> Iterator[Place]:
    """Without a market, crypto is Coinbase's: other prices than those of the exchange that is meant."""
    for name, call in text.calls:
        if name == _CRYPTO and _argument(call, 2, "market") is None:
            yield Place(call.lineno, "without a market this is Coinbase's; name one, such as Market.BINANCE")


def resolution_as_average(text: Reading) -> Iterator[Place]:
    """The argument in which some indicators take the kind of average is taken for the resolution."""
    for name, call in text.calls:
        place = _AVERAGE_AT.get(name)
        if place is not None and len(call.args) > place and _attribute_of(call.args[place], "Resolution"):
            yield Place(call.lineno, f"argument {place + 1} of {name} is the kind of average; write resolution=Resolution...")


def enum_arithmetic(text: Reading) -> Iterator[Place]:
    """Directions are no numbers there: counting with them, or comparing them to one, fails."""
    for node in text.nodes:
        if isinstance(node, ast.expr) and any(map(_is_direction, _counted(node))):
            yield Place(node.lineno, "a direction is no number; compare it with InsightDirection.UP, FLAT or DOWN")


def _counted(node: ast.expr) -> list[ast.expr]:
    """What an expression takes for a number."""
    match node:
        case ast.BinOp(left=left, right=right):
            return [left, right]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return [operand]
        case ast.Call(func=ast.Name(id="int" | "float"), args=args):
            return args
        case ast.Compare(left=left, comparators=others) if any(_number(side) is not None for side in (left, *others)):
            return [left, *others]
        case _:
            return []


def _is_direction(node: ast.expr) -> bool:
    named = isinstance(node, ast.Attribute) and node.attr == "direction"
    return named or any(_attribute_of(node, each) for each in ("InsightDirection", "OrderDirection"))


def holdings_too_full(text: Reading) -> Iterator[Place]:
    """An order for everything leaves nothing for its fee and may be refused, in a cash account at least."""
    for name, call in text.calls:
        weight = _number(_argument(call, 1, "percentage")) if name == "set_holdings" else None
        if weight is not None and abs(weight) > _FULL:
            yield Place(call.lineno, f"{weight:g} leaves nothing for fees and may be refused; use at most {_FULL}")


def parameter_is_text(text: Reading) -> Iterator[Place]:
    """A parameter arrives as a text unless a default of another type stands beside it."""
    named = [node for node in text.nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args]
    converted = {id(node.args[0]) for node in named if ast.unparse(node.func) in {"int", "float", "str"}}
    for name, call in text.calls:
        if name == "get_parameter" and _argument(call, 1, "default_value") is None and id(call) not in converted:
            yield Place(call.lineno, "without a default a parameter is a text, or None; give a default of the type that is meant")


def currency_too_late(text: Reading) -> Iterator[Place]:
    """The account's currency is fixed with the first security."""
    initialize = text.functions.get("initialize")
    calls = sorted(text.calls, key=lambda one: one[1].lineno) if initialize else []
    added = next((call.lineno for name, call in calls if name in _ADDING), None)
    for name, call in calls:
        if name == "set_account_currency" and added is not None and call.lineno > added:
            yield Place(call.lineno, f"raises after a security was added (line {added}); move it above")


def currency_without_pair(text: Reading) -> Iterator[Place]:
    """Cash in another currency than the pair's needs a pair that converts it, in that very market."""
    calls = text.calls
    told = [call for name, call in calls if name == "set_account_currency"]
    currency = _text(_argument(told[0], 0, "account_currency")).upper() if told else "USD"
    for name, call in calls:
        ticker = _text(_argument(call, 0, "ticker")).upper()
        if name in {_CRYPTO, "add_crypto_future"} and ticker and not ticker.endswith(currency):
            yield Place(call.lineno, f"{ticker} is not paid in {currency}: give set_account_currency its quote, or another pair")


def zone_missing(text: Reading) -> Iterator[Place]:
    """The algorithm's clock is New York's unless told otherwise."""
    calls = {name for name, _ in text.calls}
    if "set_time_zone" in calls:
        return
    used = [node for node in text.nodes if isinstance(node, ast.Attribute) and _own(node) == "time"]
    for node in used:
        yield Place(node.lineno, "self.time is New York's; set_time_zone(TimeZones.UTC), or use self.utc_time")


def warm_up_missing(text: Reading) -> Iterator[Place]:
    """An indicator that nobody warms up begins with the backtest, or later: data have a first day, too."""
    calls = text.calls
    warmed = {name for name, _ in calls} & {"set_warm_up", "warm_up_indicator"}
    words = {node.attr for node in text.nodes if isinstance(node, ast.Attribute)}
    if warmed or words & {"automatic_indicator_warm_up", "is_ready"}:
        return
    for name, call in calls:
        if name in _INDICATORS:
            yield Place(call.lineno, "is never warmed up; set_warm_up, or wait for is_ready: data may begin later than wanted")


def warm_up_unguarded(text: Reading) -> Iterator[Place]:
    """During warm-up orders are refused and insights ignored, but the algorithm's own state moves on."""
    calls = text.calls
    warming = next((call.lineno for name, call in calls if name == "set_warm_up"), None)
    orders = any(name in _ORDERS or name == "emit_insights" for name, _ in calls)
    guarded = any(isinstance(node, ast.Attribute) and node.attr in {"is_warming_up", "is_ready"} for node in text.nodes)
    if warming is not None and orders and not guarded:
        yield Place(warming, "nothing asks self.is_warming_up: what is ordered in the warm-up is refused; return early there")


def daily_ends_differ(text: Reading) -> Iterator[Place]:
    """A daily bar ends at midnight UTC where the market never closes, and at the close where it does."""
    adding = [(name, call, _argument(call, 1, "resolution")) for name, call in text.calls if name in _ADDING]
    daily = [(name, call) for name, call, length in adding if length is not None and ast.unparse(length) == "Resolution.DAILY"]
    if len({name == "add_equity" for name, _ in daily}) > 1:
        yield Place(daily[-1][1].lineno, "daily bars of equities end at the close, others at midnight UTC: never in one slice")


def log_in_on_data(text: Reading) -> Iterator[Place]:
    """The quota of the log is a few kilobytes: a line for every bar is lost, and what mattered with it."""
    on_data = text.functions.get("on_data")
    for node in on_data.body if on_data else ():
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and _own(node.value.func) in _LOGS:
            yield Place(node.lineno, "a line for every bar fills the log's quota (10 KB) at once; log changes only")


def method_overwritten(text: Reading) -> Iterator[Place]:
    """`self.sma = self.sma(...)` puts a value where the method was."""
    for node in text.nodes:
        if not isinstance(node, ast.Assign | ast.AnnAssign):
            continue
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            if (name := _own(target)) in _METHODS:
                yield Place(node.lineno, f"overwrites QCAlgorithm.{name}; write self._{name}")


def camel_case(text: Reading) -> Iterator[Place]:
    """Both spellings work, mixed ones do not where a method is overridden."""
    functions, called = text.functions, text.calls
    lines = {name: node.lineno for name, node in functions.items() if name in _CAMEL}
    lines |= {name: call.lineno for name, call in called if name in _CAMEL}
    if _METHODS.intersection(name for name, _ in called) or {"initialize", "on_data"}.intersection(functions):
        for name, line in lines.items():
            yield Place(line, f"{name} is the other spelling; use snake_case throughout")


def orders_beside_model(text: Reading) -> Iterator[Place]:
    """With a portfolio model insights become orders by themselves."""
    calls = text.calls
    model = any(name == "set_portfolio_construction" for name, _ in calls)
    for name, call in calls:
        if model and name in _ORDERS:
            yield Place(call.lineno, "a portfolio model orders already; leave one of them out")


def notify_in_backtest(text: Reading) -> Iterator[Place]:
    """`notify` works in live runs only."""
    attributes = [node for node in text.nodes if isinstance(node, ast.Attribute)]
    if any(node.attr == "live_mode" for node in attributes):
        return
    for node in attributes:
        if _own(node.value) == "notify":
            yield Place(node.lineno, "does nothing in a backtest; ask self.live_mode first, or store an object")


Pitfall = Callable[[Reading], Iterator[Place]]

PITFALLS: Mapping[str, tuple[str, Pitfall]] = {
    "market-missing": ("warning", market_missing),
    "resolution-as-average": ("error", resolution_as_average),
    "enum-arithmetic": ("error", enum_arithmetic),
    "holdings-too-full": ("warning", holdings_too_full),
    "parameter-is-text": ("warning", parameter_is_text),
    "currency-too-late": ("error", currency_too_late),
    "currency-without-pair": ("warning", currency_without_pair),
    "zone-missing": ("warning", zone_missing),
    "warm-up-missing": ("warning", warm_up_missing),
    "warm-up-unguarded": ("warning", warm_up_unguarded),
    "daily-ends-differ": ("warning", daily_ends_differ),
    "log-in-on-data": ("warning", log_in_on_data),
    "method-overwritten": ("error", method_overwritten),
    "camel-case": ("warning", camel_case),
    "orders-beside-model": ("warning", orders_beside_model),
    "notify-in-backtest": ("warning", notify_in_backtest),
}
"""By name: how bad it is, and who finds it."""
