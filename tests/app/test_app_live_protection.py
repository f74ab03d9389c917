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
DESK, STOPS, OCO = LiveProtection.DESK, LiveProtection.STOP, LiveProtection.OCO


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
    desk = ready()
    shell: Any = SimpleNamespace(
        clock=SimpleNamespace(now=lambda: desk.now), desk=desk.desk, inbox=SimpleNamespace(put_broker=lambda event: None)
    )
    nothing = cast("Any", None)
    account = OpenAccount(
        nothing,
        ScriptedAccount(lambda: 0.0),
        nothing,
        nothing,
        Permissions(True, False),
        {},
        keeps,
        5_000,
        0,
        AsyncExitStack(),
    )
    settings = Settings(live=LiveSettings(protection=wanted))
    assert native_protection(account, settings) is resting
    side = LiveSide.of(account, shell, settings, None, lambda text: None)
    lines = [line for line in side.plan(settings, Decimal(100)) if "the bot watches" in line]
    assert len(lines) == bool(said)
    assert said in "".join(lines)
