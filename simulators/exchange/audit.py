"""The venue's truth about its accounts, for an auditor, and the transfers that no trading key may make.

`GET /admin/accounts`, `POST /admin/accounts`, `GET /admin/accounts/{key}`, `POST /admin/transfer`, `GET /admin/ledger`. Amounts
are decimal texts to the satoshi; whatever faults are on, these answers are right and complete.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated

import orjson
from aiohttp import web
from pydantic import Field, TypeAdapter, ValidationError

from simulators.exchange.accounts import Account, Terms, Transfer
from simulators.exchange.dialect import Wire
from simulators.exchange.dialect_private import text
from simulators.exchange.matching import Engine
from simulators.exchange.orders import Fill, VenueOrder

_Fraction = Annotated[Decimal, Field(ge=0, lt=1)]
_Amount = Annotated[Decimal, Field(ge=0, allow_inf_nan=False, decimal_places=8)]


@dataclass(frozen=True, slots=True)
class Opening:
    """A new account and what it begins with, by asset."""

    key: str
    secret: str
    passphrase: str = ""
    balances: Mapping[str, _Amount] = field(default_factory=dict)
    maker_fee: _Fraction = Decimal("0.001")
    taker_fee: _Fraction = Decimal("0.001")
    fees_in_bnb: bool = False
    may_withdraw: bool = False

    def terms(self) -> Terms:
        """Without the balances."""
        return Terms(self.key, self.secret, self.passphrase, self.maker_fee, self.taker_fee, self.fees_in_bnb, self.may_withdraw)


@dataclass(frozen=True, slots=True)
class Move:
    """A deposit of `amount` to the account of `key`, or a withdrawal when negative."""

    key: str
    asset: str
    amount: Annotated[Decimal, Field(allow_inf_nan=False, decimal_places=8)]


class AuditRoutes:
    """Accounts over the admin plane. `now` is the market's time."""

    def __init__(self, engine: Engine, now: Callable[[], int]) -> None:
        self._engine = engine
        self._now = now
        self._openings: TypeAdapter[Opening] = TypeAdapter(Opening)
        self._moves: TypeAdapter[Move] = TypeAdapter(Move)

    def routes(self) -> list[web.RouteDef]:
        """Everything about accounts under `/admin`."""
        return [
            web.get("/admin/accounts", self._get_accounts),
            web.post("/admin/accounts", self._post_account),
            web.get("/admin/accounts/{key}", self._get_account),
            web.post("/admin/transfer", self._post_transfer),
            web.get("/admin/ledger", self._get_ledger),
        ]

    def open(self, opening: Opening) -> Account:
        """Open an account; `ValueError` when the key is taken."""
        balances = {asset: amount for asset, amount in opening.balances.items() if amount}
        return self._engine.accounts.open(opening.terms(), balances, self._now())

    async def _get_accounts(self, _: web.Request) -> web.Response:
        return _json([account.terms.key for account in self._engine.accounts.all()], 200)

    async def _post_account(self, request: web.Request) -> web.Response:
        try:
            account = self.open(self._openings.validate_json(await request.read()))
        except (ValidationError, ValueError) as problem:
            return _json({"error": str(problem)}, 400)
        return _json(truth(account), 201)

    async def _get_account(self, request: web.Request) -> web.Response:
        account = self._engine.accounts.get(request.match_info["key"])
        if account is None:
            return _json({"error": "no account has this key"}, 404)
        return _json(truth(account), 200)

    async def _post_transfer(self, request: web.Request) -> web.Response:
        try:
            move = self._moves.validate_json(await request.read())
            account = self._engine.accounts.get(move.key)
            if account is None:
                return _json({"error": "no account has this key"}, 404)
            transfer = self._engine.transfer(account, move.asset, move.amount, self._now())
        except (ValidationError, ValueError) as problem:
            return _json({"error": str(problem)}, 400)
        return _json(_transfer(transfer), 201)

    async def _get_ledger(self, _: web.Request) -> web.Response:
        accounts = self._engine.accounts
        sides = {"fees": accounts.fees, "house": accounts.house}
        return _json({name: {asset: text(amount) for asset, amount in side.items()} for name, side in sides.items()}, 200)


def truth(account: Account) -> Wire:
    """Everything about an account: balances, every order ever with its fills, every list and every transfer."""
    terms = account.terms
    return {
        "key": terms.key,
        "maker_fee": text(terms.maker_fee),
        "taker_fee": text(terms.taker_fee),
        "balances": {
            asset: {"free": text(balance.free), "locked": text(balance.locked)} for asset, balance in account.balances.items()
        },
        "orders": [_order(order) for order in account.orders.values()],
        "lists": [
            {"id": pair.id, "client_id": pair.client_id, "done": pair.done, "orders": [order.id for order in pair.orders]}
            for pair in account.lists.values()
        ],
        "transfers": [_transfer(transfer) for transfer in account.transfers],
    }


def _order(order: VenueOrder) -> Wire:
    ticket = order.ticket
    return {
        "id": order.id,
        "client_id": order.client_id,
        "list_id": order.list_id,
        "symbol": order.symbol,
        "side": ticket.side.value,
        "type": ticket.kind.value,
        "time_in_force": ticket.tif.value,
        "status": order.status.value,
        "price": text(ticket.price),
        "stop": text(ticket.stop),
        "amount": text(order.amount),
        "filled": text(order.filled),
        "cost": text(order.cost),
        "created": order.created,
        "updated": order.updated,
        "fills": [_fill(fill) for fill in order.fills],
    }


def _fill(fill: Fill) -> Wire:
    return {
        "id": fill.id,
        "price": text(fill.price),
        "amount": text(fill.amount),
        "cost": text(fill.cost),
        "fee": text(fill.fee),
        "fee_asset": fill.fee_asset,
        "maker": fill.maker,
        "ts": fill.ts,
    }


def _transfer(transfer: Transfer) -> Wire:
    return {"id": transfer.id, "asset": transfer.asset, "amount": text(transfer.amount), "ts": transfer.ts}


def _json(body: object, status: int) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")
