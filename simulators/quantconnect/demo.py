"""The demonstration's algorithm: momentum on bars of a minute or a second, as insights and, where wanted, as webhooks."""

from __future__ import annotations

NAME = "momentum"

ALGORITHM = """from AlgorithmImports import *


class Momentum(QCAlgorithm):

    def initialize(self):
        self.set_time_zone(TimeZones.UTC)
        self.set_start_date(2026, 1, 1)
        self.set_end_date(2026, 1, 31)
        self.set_account_currency("USDT", 10000)
        self.set_brokerage_model(BrokerageName.BINANCE, AccountType.CASH)
        quick = self.get_parameter("bars", "minute") == "second"
        resolution = Resolution.SECOND if quick else Resolution.MINUTE
        self._symbols = [
            self.add_crypto(ticker, resolution, Market.BINANCE).symbol
            for ticker in self.get_parameter("tickers", "BTCUSDT,ETHUSDT").split(",")
        ]
        self._change = {symbol: self.roc(symbol, self.get_parameter("period", 15)) for symbol in self._symbols}
        self._side = {}
        self._threshold = self.get_parameter("threshold", 0.001)
        self._lasts = timedelta(seconds=self.get_parameter("lasts", 1800))
        self._hook = self.get_parameter("webhook", "")
        self._secret = self.get_parameter("secret", "")
        self.insights_generated += self.forward
        self.set_warm_up(self.get_parameter("period", 15) + 1, resolution)

    def on_data(self, data):
        if self.is_warming_up:
            return
        for symbol in self._symbols:
            change = self._change[symbol]
            if symbol not in data.bars or not change.is_ready:
                continue
            up = change.current.value > 0
            if abs(change.current.value) < self._threshold or self._side.get(symbol) == up:
                continue
            self._side[symbol] = up
            direction = InsightDirection.UP if up else InsightDirection.DOWN
            strength = min(0.95, 0.5 + 100 * abs(change.current.value))
            self.emit_insights(Insight.price(
                symbol, self._lasts, direction, confidence=strength, tag=f"roc={change.current.value:.5f}"))
            self.set_holdings(symbol, 0.95 / len(self._symbols) if up else 0)

    def forward(self, algorithm, collection):
        if not self._hook:
            return
        for insight in collection.insights:
            side = {InsightDirection.UP: "buy", InsightDirection.DOWN: "sell", InsightDirection.FLAT: "flat"}[insight.direction]
            self.notify.web(self._hook, {
                "v": 1, "id": insight.id, "source": insight.source_model, "symbol": insight.symbol.value, "market": "binance",
                "side": side, "confidence": insight.confidence, "price": insight.reference_value,
                "time": insight.generated_time_utc.strftime("%Y-%m-%dT%H:%M:%SZ"), "ttl": int(insight.period.total_seconds()),
            }, {"X-Secret": self._secret})
"""
