"""The signed side of REST: `/api/v3` for accounts, listen keys, and what clients ask under `/sapi`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl

from aiohttp import web

from simulators.exchange import dialect, signed
from simulators.exchange.accounts import Account, Accounts
from simulators.exchange.answer_faults import Answers
from simulators.exchange.dialect_private import text
from simulators.exchange.limits import WeightLimit
from simulators.exchange.listen_keys import ListenKeys
from simulators.exchange.private import Action, PrivateApi
from simulators.exchange.query import Query, Rejected
from simulators.exchange.rest import answer, weigh_in
from simulators.exchange.venue import Venue

Handler = Callable[[web.Request], Awaitable[web.Response]]

_ORDERS = {
    ("POST", "order"): "order.place",
    ("POST", "order/test"): "order.test",
    ("GET", "order"): "order.status",
    ("DELETE", "order"): "order.cancel",
    ("POST", "order/cancelReplace"): "order.cancelReplace",
    ("POST", "order/oco"): "orderList.place",
    ("GET", "openOrders"): "openOrders.status",
    ("DELETE", "openOrders"): "openOrders.cancelAll",
    ("GET", "allOrders"): "allOrders",
    ("GET", "myTrades"): "myTrades",
    ("GET", "account"): "account.status",
    ("POST", "orderList/oco"): "orderList.place.oco",
    ("DELETE", "orderList"): "orderList.cancel",
    ("GET", "orderList"): "orderList.status",
    ("GET", "openOrderList"): "openOrderLists.status",
    ("GET", "allOrderList"): "allOrderLists",
    ("GET", "rateLimit/order"): "account.rateLimits.orders",
}


class PrivateRoutes:
    """Answers signed requests. `now` is the venue's clock, wrong as the faults make it."""

    def __init__(
        self, api: PrivateApi, accounts: Accounts, venue: Venue, weights: WeightLimit, keys: ListenKeys, answers: Answers,
        now: Callable[[], int],
    ) -> None:  # fmt: skip
        self._api = api
        self._accounts = accounts
        self._venue = venue
        self._weights = weights
        self._keys = keys
        self._answers = answers
        self._now = now

    def routes(self) -> list[web.RouteDef]:
        """Everything that needs a key."""
        found = [
            web.route(method, f"/api/v3/{path}", self._signed(self._api.actions[name]))
            for (method, path), name in _ORDERS.items()
        ]
        found += [web.route(method, "/api/v3/userDataStream", self._listen_key) for method in ("POST", "PUT", "DELETE")]
        others: dict[str, Callable[[Account, Query], object]] = {
            "account/apiRestrictions": self._restrictions,
            "asset/tradeFee": self._fees,
            "capital/config/getall": lambda _, __: [],
            "margin/allPairs": lambda _, __: [],
            "margin/isolated/allPairs": lambda _, __: [],
            "capital/deposit/hisrec": lambda account, _: self._transfers(account, 1),
            "capital/withdraw/history": lambda account, _: self._transfers(account, -1),
        }
        found += [web.get(f"/sapi/v1/{path}", self._signed(Action(act, 1))) for path, act in others.items()]
        return [*found, web.get("/sapi/v1/system/status", self._system_status, allow_head=False)]

    def _signed(self, action: Action) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            headers: dict[str, str] = {}
            try:
                account, query = await self._who(request)
                everything = action.all_weight is not None and not query.has("symbol")
                weigh_in(self._weights, action.all_weight if everything and action.all_weight else action.weight, headers)
                body = self._api.perform(action, account, query)
                headers["X-MBX-ORDER-COUNT-10S"] = str(self._api.limit_of(account).used)
                headers["X-MBX-ORDER-COUNT-1D"] = str(self._api.limit_of(account).today)
                return answer(body, 200, headers)
            except Rejected as problem:
                body = getattr(problem, "body", None) or dialect.error(problem.code, str(problem))
                return answer(body, problem.status, headers)

        return handle

    async def _who(self, request: web.Request) -> tuple[Account, Query]:
        """The account that signed the request, and what it asks."""
        account = signed.owner(self._accounts, request.headers.get("X-MBX-APIKEY"))
        question = request.raw_path.partition("?")[2]
        body = (await request.read()).decode(errors="replace")
        given = dict(parse_qsl(question, keep_blank_values=True)) | dict(parse_qsl(body, keep_blank_values=True))
        payload = signed.without_signature(question) + signed.without_signature(body)
        signed.check(account, payload, given, self._now())
        return account, Query(given, self._venue)

    async def _listen_key(self, request: web.Request) -> web.Response:
        """POST makes or prolongs a listen key, PUT prolongs, DELETE ends it; the API key alone is enough."""
        headers: dict[str, str] = {}
        try:
            account = signed.owner(self._accounts, request.headers.get("X-MBX-APIKEY"))
            weigh_in(self._weights, 2, headers)
            if request.method == "POST":
                return answer({"listenKey": self._keys.create(account.terms.key)}, 200, headers)
            given = dict(parse_qsl(await request.text())) | dict(request.query)
            known = self._keys.prolong if request.method == "PUT" else self._keys.end
            if not known(given.get("listenKey", ""), account.terms.key):
                raise Rejected(-1125, "This listenKey does not exist.")
            return answer({}, 200, headers)
        except Rejected as problem:
            return answer(dialect.error(problem.code, str(problem)), problem.status, headers)

    async def _system_status(self, _: web.Request) -> web.Response:
        down = self._answers.maintenance() is not None
        return answer({"status": int(down), "msg": "system_maintenance" if down else "normal"}, 200, {})

    def _restrictions(self, account: Account, _: Query) -> object:
        return {
            "ipRestrict": False,
            "createTime": self._now(),
            "enableReading": True,
            "enableSpotAndMarginTrading": True,
            "enableWithdrawals": account.terms.may_withdraw,
            "enableInternalTransfer": False,
            "enableMargin": False,
            "enableFutures": False,
            "permitsUniversalTransfer": False,
            "enableVanillaOptions": False,
            "enablePortfolioMarginTrading": False,
        }

    def _fees(self, account: Account, query: Query) -> object:
        maker, taker = text(account.terms.maker_fee), text(account.terms.taker_fee)
        names = [self._venue.ids[symbol] for symbol in query.symbols()]
        return [{"symbol": name, "makerCommission": maker, "takerCommission": taker} for name in names]

    def _transfers(self, account: Account, sign: int) -> object:
        return [
            {
                "id": str(move.id),
                "amount": text(abs(move.amount)),
                "coin": move.asset,
                "network": move.asset,
                "status": 1 if sign > 0 else 6,
                "address": "",
                "txId": f"transfer{move.id}",
                "insertTime": move.ts,
                "successTime": move.ts,
                "transferType": 0,
            }
            for move in account.transfers
            if move.amount * sign > 0
        ]
