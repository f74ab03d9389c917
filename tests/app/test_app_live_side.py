"""What a live run takes up of an earlier one: the real desk, broker and reconciler, on an account that answers as written."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bot.app.account import OpenAccount
from bot.app.live import LiveSide
from bot.core.effects import Notify
from bot.core.inputs import Filled, Input
from bot.core.orders import OrderRequest, OrderState
from bot.core.tracking import NativeProtection
from bot.settings import Settings
from execution.account import OrderReport, Permissions, ReadFailed, ReportStatus, TradeReport, Unknown
from execution.live import LiveBroker
from execution.reconcile import ReconcileFailed, Reconciler, ReconcileRules
from execution.tracked import TrackedOrders
from tests.core.desks import ready
from tests.execution.scripted_account import ScriptedAccount
from tests.factories import BTC, DeskHarness

RULES = ReconcileRules((BTC,), "arb", pause_ms=0)


def a_side(
    desk: DeskHarness, account: ScriptedAccount, heard: list[Input], memory: object, notes: list[Notify] | None = None
) -> LiveSide:  # fmt: skip
    """The live side of a process that begins with this desk."""

    def now() -> int:
        return desk.now

    tracked = TrackedOrders(heard.append, now)
    broker = LiveBroker(account, tracked, heard.append, now)
    orders = desk.desk.state.orders
    reconciler = Reconciler(
        account, tracked, now, RULES, ended=lambda one: one in orders and orders[one].state.terminal, memory=memory
    )
    inbox = SimpleNamespace(put_broker=heard.append)
    clock = SimpleNamespace(now=now)
    told = [] if notes is None else notes
    shell: Any = SimpleNamespace(clock=clock, cycle=desk.cycle, desk=desk.desk, inbox=inbox, notify=told.append)
    return LiveSide(cast("Any", None), broker, reconciler, shell, "USDT", True, lambda text: None)


def given_up(desk: DeskHarness) -> OrderRequest:
    """An order that the venue denied until the desk held it for refused."""
    desk.propose()
    desk.refuse()
    assert desk.desk.state.orders[desk.order.id].state is OrderState.REJECTED
    return desk.order


def asked_since(account: ScriptedAccount) -> int:
    """From when on trades were first asked for."""
    return next(int(args[1]) for _, call, args in account.asked if call == "trades")


async def test_what_traded_of_an_ended_order_while_the_bot_was_dead_reaches_the_books() -> None:
    desk, account, heard = ready(), ScriptedAccount(asyncio.get_running_loop().time), list[Input]()
    request = given_up(desk)
    before = a_side(desk, account, heard, None)
    await before.reconciler.once()
    told = OrderReport("v1", request.id, BTC, ReportStatus.FILLED, desk.now, request.side, request.amount, request.amount)
    account.always("order", told)
    account.always(
        "trades", [TradeReport("t1", "v1", BTC, request.side, request.amount, Decimal(100), Decimal(0), "USDT", desk.now)]
    )
    side = a_side(desk, account, heard, before.reconciler.snapshot())
    side.begin()
    side.on_reconciled(await side.reconciler.once())
    await side.close(0)
    assert [event.fill.id for event in heard if isinstance(event, Filled)] == ["t1"]
    for event in heard:
        desk.turn(event)
    assert desk.position() == request.amount


async def test_trades_are_asked_for_by_the_venues_clock_where_ours_is_far_ahead() -> None:
    desk, loop = ready(), asyncio.get_running_loop()
    account = ScriptedAccount(loop.time)
    shell: Any = SimpleNamespace(
        clock=SimpleNamespace(now=lambda: desk.now), desk=desk.desk, inbox=SimpleNamespace(put_broker=lambda event: None)
    )
    opened = OpenAccount(
        None,
        account,
        cast("Any", None),
        cast("Any", None),
        Permissions(True, False),
        {},
        NativeProtection.OFF,
        5_000,
        300_000,
        AsyncExitStack(),
    )
    side = LiveSide.of(opened, shell, Settings(), None, lambda text: None)
    desk.propose()
    request = desk.order
    account.script("create", Unknown("the answer was lost"))
    account.always(
        "order", OrderReport("v1", request.id, BTC, ReportStatus.FILLED, 0, request.side, request.amount, request.amount)
    )
    side.broker.submit(request, desk.now)
    async with asyncio.timeout(20):
        while not account.count("trades"):
            await asyncio.sleep(0.01)
    await side.close(0)
    assert asked_since(account) < request.created - 300_000
    account.asked.clear()
    await side.reconciler.once()
    assert asked_since(account) < desk.now - 3_600_000 - 60_000


async def test_a_person_hears_once_that_no_pass_can_read_the_account_any_more_and_once_that_they_can() -> None:
    notes = list[Notify]()
    account = ScriptedAccount(asyncio.get_running_loop().time)
    side = a_side(ready(), account, [], None, notes)
    side.on_reconciled(await side.reconciler.once())
    account.always("balances", ReadFailed("the key is no good", transient=False))
    for _ in range(5):
        with pytest.raises(ReconcileFailed) as failure:
            await side.reconciler.once()
        side.on_reconcile_failed(failure.value)
    account.always("balances", {})
    side.on_reconciled(await side.reconciler.once())
    assert [note.title for note in notes] == ["The account is not reconciled", "The account is reconciled again"]


async def test_that_an_operator_accepted_the_account_is_kept_at_once() -> None:
    kept = list[object]()
    side = a_side(ready(), ScriptedAccount(asyncio.get_running_loop().time), [], None)
    side.keep = lambda: kept.append(side.reconciler.snapshot()["ledger"])
    await side.reconcile(None)
    assert kept == []
    await side.reconcile("operator")
    assert len(kept) == 1
    assert kept[0] is not None
