"""What the process sets for itself before it trades."""

from __future__ import annotations

import gc
import sys

from bot.runtime.process import SWITCH_SECONDS, steady


def test_threads_give_way_soon_and_the_collector_leaves_start_up_alone() -> None:
    before = sys.getswitchinterval()
    try:
        steady()
        assert abs(sys.getswitchinterval() - SWITCH_SECONDS) < 1e-9
        assert gc.get_freeze_count() > 0
    finally:
        sys.setswitchinterval(before)
        gc.unfreeze()
