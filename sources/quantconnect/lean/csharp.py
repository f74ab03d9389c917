"""The text of an algorithm in C#: the templates and the simple rules.

It has never been compiled, and says so in its first line.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from sources.base import Strict
from sources.quantconnect.lean.algorithm import Plan
from sources.quantconnect.lean.config import Forwarding
from sources.quantconnect.lean.csharp_blocks import BLOCKS, PROPOSAL
from sources.quantconnect.lean.errors import LeanError
from sources.quantconnect.lean.literals import csharp
from sources.quantconnect.lean.strategies import TEMPLATES

_ADD = {
    "add_crypto": "AddCrypto",
    "add_crypto_future": "AddCryptoFuture",
    "add_equity": "AddEquity",
    "add_forex": "AddForex",
    "add_cfd": "AddCfd",
}
_BROKERAGES = {
    "BINANCE": "Binance",
    "BINANCE_FUTURES": "BinanceFutures",
    "BINANCE_US": "BinanceUS",
    "BITFINEX": "Bitfinex",
    "BYBIT": "Bybit",
    "COINBASE": "Coinbase",
    "DEFAULT": "Default",
    "INTERACTIVE_BROKERS_BROKERAGE": "InteractiveBrokersBrokerage",
    "KRAKEN": "Kraken",
    "OANDA_BROKERAGE": "OandaBrokerage",
}
_RESOLUTIONS = {"DAILY": "Daily", "HOUR": "Hour", "MINUTE": "Minute", "SECOND": "Second"}

_USING = """// NEVER COMPILED: Arbiter wrote this text after its Python rules, and no compiler has seen it.
// Build it before you trust it.

using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using Newtonsoft.Json;
using QuantConnect.Algorithm.Framework.Alphas;
using QuantConnect.Brokerages;
using QuantConnect.Data;
using QuantConnect.Data.Market;
using QuantConnect.Interfaces;
using QuantConnect.Orders.Fees;
using QuantConnect.Orders.Slippage;
using QuantConnect.Securities;

namespace QuantConnect.Algorithm.CSharp
{"""


def csharp_text(plan: Plan) -> tuple[str, dict[str, str]]:
    """`Main.cs` and the parameters it asks for; `LeanError` for a rule that is written in Python only."""
    kind = plan.strategy.kind
    template = TEMPLATES.get(kind)
    blocks = BLOCKS.get(kind if template is None else template.rule)
    if blocks is None:
        known = ", ".join(dict.fromkeys((*TEMPLATES, *BLOCKS)))
        raise LeanError("backtest", "strategy.kind", kind, f"is not written in C#; use one of {known}, or export to Python")
    asked: dict[str, str] = {}
    classes = [_algorithm(plan, asked), PROPOSAL, *blocks]
    fees = [_FEES] if plan.config.fees.rate is not None else []
    inside = "\n\n".join(_indented(text, 1) for text in (*classes, *fees))
    return f"{_USING}\n{inside}\n}}\n", asked


def _indented(text: str, levels: int) -> str:
    return "\n".join(f"{'    ' * levels}{line}" if line else "" for line in text.splitlines())


def _arguments(params: Strict, asked: dict[str, str]) -> Iterable[str]:
    for name, known in type(params).model_fields.items():
        value = getattr(params, name)
        if value is not None:
            asked[name] = str(value)
        if "None" in str(known.annotation):
            yield f"Optional({csharp(name)}, {'null' if value is None else csharp(float(value))})"
        else:
            yield f"GetParameter({csharp(name)}, {csharp(value)})"


def _algorithm(plan: Plan, asked: dict[str, str]) -> str:
    config, forwarding = plan.config, plan.config.forward
    members = [
        _FIELDS,
        _initialize(plan, asked),
        _on_data(plan),
        _ACTING.replace("PERIOD_MS", str(config.horizon)),
        _PROTECTING,
        _READING,
    ]
    if forwarding is not Forwarding.NONE:
        members.insert(5, _MESSAGE.replace("MARKET", csharp(plan.security.market)))
        members.insert(6, _WEBHOOK if forwarding is Forwarding.WEBHOOK else _OBJECTS)
    body = "\n\n".join(_indented(member, 1) for member in members)
    return f"public class {plan.class_name} : QCAlgorithm\n{{\n{body}\n}}"


_FIELDS = """private Symbol _symbol;
private Strategy _rule;
private double _size;
private double? _stopLoss;
private double? _takeProfit;
private double? _stop;
private double? _target;
private DateTime _since;
private string _url = "";
private string _secret = "";
private string _key = "";
private readonly List<Dictionary<string, object>> _messages = new List<Dictionary<string, object>>();"""


def _initialize(plan: Plan, asked: dict[str, str]) -> str:
    config, security, bars = plan.config, plan.security, plan.bars
    resolution = f"Resolution.{_RESOLUTIONS[bars.resolution]}"
    account = "Cash" if security.cash else "Margin"
    rule = ",\n    ".join(_arguments(plan.strategy.params, asked))
    asked["position_size"] = str(plan.size)
    lines = [
        "SetTimeZone(TimeZones.Utc);",
        f"SetStartDate({config.start.year}, {config.start.month}, {config.start.day});",
        f"SetEndDate({config.end.year}, {config.end.month}, {config.end.day});",
        f"SetAccountCurrency({csharp(config.currency)});",
        f"SetCash({csharp(config.capital)});",
        f"SetBrokerageModel(BrokerageName.{_BROKERAGES[security.brokerage]}, AccountType.{account});",
        f"var security = {_ADD[security.add]}({csharp(security.ticker)}, {resolution}, {csharp(security.market)}, false);",
        *_costs(plan),
        "_symbol = security.Symbol;",
        *f"_rule = new Strategy(\n    {rule});".splitlines(),
        f'_size = GetParameter("position_size", {csharp(plan.size)});',
        f'_stopLoss = Optional("stop_loss", {_or_null(config.stop_loss)});',
        f'_takeProfit = Optional("take_profit", {_or_null(config.take_profit)});',
        *_wiring(plan),
        f"SetWarmUp({(plan.strategy.warmup + bars.spare) * bars.count}, {resolution});",
    ]
    return "public override void Initialize()\n{\n" + _indented("\n".join(lines), 1) + "\n}"


def _or_null(value: float | None) -> str:
    return "null" if value is None else csharp(float(value))


def _costs(plan: Plan) -> Iterable[str]:
    fees = plan.config.fees
    if fees.rate is not None:
        yield f"security.SetFeeModel(new RateFeeModel({csharp(float(fees.rate))}, {csharp(plan.config.currency)}));"
    if fees.slippage:
        yield f"security.SetSlippageModel(new ConstantSlippageModel({csharp(Decimal(str(fees.slippage)))}));"


def _wiring(plan: Plan) -> Iterable[str]:
    config, kind = plan.config, "QuoteBar" if plan.security.quotes else "TradeBar"
    if plan.bars.joined:
        length = f"TimeSpan.FromMilliseconds({plan.bars.length})"
        yield f"Consolidate<{kind}>(_symbol, {length}, bar => OnCandle(bar.High, bar.Low, bar.Close));"
    if config.forward is Forwarding.WEBHOOK:
        yield f'_url = GetParameter("webhook_url", {csharp(config.webhook_url)});'
        yield '_secret = GetParameter("webhook_secret", "");'
    if config.forward is Forwarding.OBJECTS:
        yield f'_key = GetParameter("object_key", {csharp(config.object_key)});'
    if config.forward is not Forwarding.NONE:
        yield "InsightsGenerated += Forward;"


def _on_data(plan: Plan) -> str:
    bars, kind = ("QuoteBars", "QuoteBar") if plan.security.quotes else ("Bars", "TradeBar")
    taking = "" if plan.bars.joined else "\n    OnCandle(bar.High, bar.Low, bar.Close);"
    return f"""public override void OnData(Slice data)
{{
    {kind} bar;
    if (!data.{bars}.TryGetValue(_symbol, out bar))
    {{
        return;
    }}
    Protect((double)bar.Low, (double)bar.High);{taking}
}}"""


_ACTING = """private void OnCandle(decimal high, decimal low, decimal close)
{
    var proposal = _rule.Step((double)high, (double)low, (double)close);
    if (proposal == null || IsWarmingUp)
    {
        return;
    }
    Say(proposal.Direction, proposal.Confidence, proposal.Reason);
    if (proposal.Direction == InsightDirection.Up && !Portfolio[_symbol].Invested)
    {
        SetHoldings(_symbol, _size, tag: proposal.Reason);
        _since = UtcTime;
        _stop = (double)close * (1.0 - _stopLoss);
        _target = (double)close * (1.0 + _takeProfit);
    }
    else if (proposal.Direction == InsightDirection.Down && Portfolio[_symbol].Invested)
    {
        Liquidate(_symbol, tag: proposal.Reason);
    }
}

private void Say(InsightDirection direction, double confidence, string tag)
{
    var period = TimeSpan.FromMilliseconds(PERIOD_MS);
    EmitInsights(Insight.Price(_symbol, period, direction, null, confidence, GetType().Name, null, tag));
}"""

_PROTECTING = """private void Protect(double low, double high)
{
    if (!Portfolio[_symbol].Invested || UtcTime <= _since)
    {
        return;
    }
    // the stop before the target: nobody knows which came first
    var reason = low <= _stop ? "stop-loss" : high >= _target ? "take-profit" : "";
    if (reason != "")
    {
        Say(InsightDirection.Flat, 1.0, reason);
        Liquidate(_symbol, tag: reason);
    }
}"""

_MESSAGE = """private static Dictionary<string, object> Message(Insight insight)
{
    return new Dictionary<string, object>
    {
        { "v", 1 },
        { "id", insight.Id.ToString() },
        { "source", insight.SourceModel },
        { "symbol", insight.Symbol.Value },
        { "market", MARKET },
        { "side", Side(insight.Direction) },
        { "confidence", insight.Confidence },
        { "price", insight.ReferenceValue },
        { "time", insight.GeneratedTimeUtc.ToString("yyyy-MM-ddTHH:mm:ssZ", CultureInfo.InvariantCulture) },
        { "ttl", (int)insight.Period.TotalSeconds },
        { "tag", insight.Tag }
    };
}

private static string Side(InsightDirection direction)
{
    return direction == InsightDirection.Up ? "buy" : direction == InsightDirection.Down ? "sell" : "flat";
}"""

_WEBHOOK = """private void Forward(IAlgorithm algorithm, GeneratedInsightsCollection collection)
{
    if (!LiveMode)
    {
        return;
    }
    var headers = new Dictionary<string, string> { { "X-Secret", _secret } };
    foreach (var insight in collection.Insights)
    {
        Notify.Web(_url, JsonConvert.SerializeObject(Message(insight)), headers);
    }
}"""

_OBJECTS = """private void Forward(IAlgorithm algorithm, GeneratedInsightsCollection collection)
{
    _messages.AddRange(collection.Insights.Select(Message));
    _messages.RemoveRange(0, Math.Max(0, _messages.Count - 100));
    if (LiveMode)
    {
        Store();
    }
}

public override void OnEndOfAlgorithm()
{
    Store();
}

private void Store()
{
    ObjectStore.Save(_key, JsonConvert.SerializeObject(new { v = 1, signals = _messages }));
}"""

_READING = """private double? Optional(string name, double? otherwise)
{
    var text = GetParameter(name, "");
    if (text == "")
    {
        return otherwise;
    }
    return text == "none" ? (double?)null : double.Parse(text, CultureInfo.InvariantCulture);
}"""

_FEES = """public class RateFeeModel : FeeModel
{
    private readonly double _rate;
    private readonly string _currency;

    public RateFeeModel(double rate, string currency)
    {
        _rate = rate;
        _currency = currency;
    }

    public override OrderFee GetOrderFee(OrderFeeParameters parameters)
    {
        var notional = Math.Abs(parameters.Order.GetValue(parameters.Security));
        return new OrderFee(new CashAmount(notional * (decimal)_rate, _currency));
    }
}"""
