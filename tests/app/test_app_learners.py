"""What learns has its say: a model whose words came true counts more in an ensemble than one whose did not."""

from __future__ import annotations

from typing import Any, cast

import pytest

from bot.app.learners import Learners
from bot.core.desk import DeskConfig, TradingDesk
from bot.runtime.hosting import Port, SourceHost
from bot.runtime.inbox import Inbox
from bot.runtime.supervision import Supervisor
from bot.settings import Settings
from tests.factories import LLM, T0
from tests.runtime.test_runtime_hosting import Attentive


class Learnt:
    """Calibration that knows one model to be right, and one to be wrong."""

    def calibrated(self, source: str, model: str, action: str, stated: float, at: int) -> float:
        return {"right": 0.84, "wrong": 0.35}.get(model, stated)


def a_host() -> SourceHost:
    inbox, desk = Inbox(), TradingDesk(DeskConfig())
    host = SourceHost(inbox, Port(inbox, desk, lambda: T0), Supervisor())
    host.add_life(Attentive(LLM))
    return host


@pytest.mark.parametrize(("member", "weight"), [("one/right", 1.2), ("one/wrong", 0.5), ("one/unknown", 1.0)])
def test_a_models_word_counts_by_what_it_came_to(member: str, weight: float) -> None:
    learners = Learners(Settings())
    learners.calibration = cast("Any", Learnt())
    assert learners.weight(a_host(), lambda: T0)(member) == pytest.approx(weight)


def test_where_nothing_is_learnt_all_count_alike() -> None:
    assert Learners(Settings()).weight(a_host(), lambda: T0)("one/right") == 1.0
