"""What of the protection rests at the venue: as much as was asked for, as far as the venue can, and what it cannot is said."""

from __future__ import annotations

from contextlib import AsyncExitStack
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bot.app.account import OpenAccount, native_protection
from bot.app.live import LiveSide
from bot.core.tracking import NativeProtection
from bot.settings import Settings
from bot.settings.models import LiveProtection, LiveSettings
from execution.account import Permissions
from tests.core.desks import ready
from tests.execution.scripted_account import ScriptedAccount

OFF, STOP, BOTH = NativeProtection.OFF, NativeProtection.STOP, NativeProtection.BOTH
MAY_TRADE = Permissions(True, False)
DESK, STOPS, OCO = LiveProtection.DESK, LiveProtection.STOP, LiveProtection.OCO


def an_account(keeps: NativeProtection = BOTH, may: Permissions = MAY_TRADE, ahead_ms: int = 0) -> OpenAccount:
    """An account of which only what it may do matters."""
    nothing = cast("Any", None)
    return OpenAccount(
        nothing, ScriptedAccount(lambda: 0.0), nothing, nothing, may, {}, keeps, 5_000, ahead_ms, AsyncExitStack()
    )  # fmt: skip


def a_plan(account: OpenAccount, settings: Settings) -> list[str]:
    """What a person is told before the first order."""
    desk = ready()
    shell: Any = SimpleNamespace(
        clock=SimpleNamespace(now=lambda: desk.now), desk=desk.desk, inbox=SimpleNamespace(put_broker=lambda event: None)
    )
    return LiveSide.of(account, shell, settings, None, lambda text: None).plan(settings, Decimal(100))


@pytest.mark.parametrize(
    ("wanted", "keeps", "resting", "said"),
    [
        (DESK, OFF, OFF, ""),
        (DESK, BOTH, OFF, ""),
        (STOPS, OFF, OFF, "keeps no stop-loss order on every symbol"),
        (STOPS, STOP, STOP, ""),
        (STOPS, BOTH, STOP, ""),
        (OCO, OFF, OFF, "keeps no stop-loss order on every symbol"),
        (OCO, STOP, STOP, "has no pairs of orders"),
        (OCO, BOTH, BOTH, ""),
    ],
)
def test_what_rests_is_what_was_asked_for_as_far_as_the_venue_can_and_the_rest_is_said(
    wanted: LiveProtection, keeps: NativeProtection, resting: NativeProtection, said: str
) -> None:
    account, settings = an_account(keeps), Settings(live=LiveSettings(protection=wanted))
    assert native_protection(account, settings) is resting
    lines = [line for line in a_plan(account, settings) if "the bot watches" in line]
    assert len(lines) == bool(said)
    assert said in "".join(lines)


@pytest.mark.parametrize(
    ("account", "said"),
    [
        (an_account(may=Permissions(True, True)), "this key may withdraw"),
        (an_account(may=Permissions(False, False)), "this key may not trade"),
        (an_account(ahead_ms=-4_000), "clock is -4.0 s off"),
    ],
    ids=["withdraws", "trades not", "clock"],
)
def test_a_person_is_warned_before_the_first_order(account: OpenAccount, said: str) -> None:
    warnings = [line for line in a_plan(account, Settings()) if line.startswith("WARNING")]
    assert len(warnings) == 1
    assert said in warnings[0]


def test_nobody_is_warned_of_a_key_and_a_clock_that_are_as_they_should_be() -> None:
    assert not [line for line in a_plan(an_account(), Settings()) if line.startswith("WARNING")]
