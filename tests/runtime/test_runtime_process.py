"""What the process sets for itself before it trades."""

from __future__ import annotations

import gc
import sys

from bot.runtime.process import SWITCH_SECONDS, loading, steady


def test_threads_give_way_soon_and_the_collector_leaves_start_up_alone() -> None:
    before = sys.getswitchinterval()
    gc.unfreeze()
    try:
        steady()
        assert abs(sys.getswitchinterval() - SWITCH_SECONDS) < 1e-9
        assert gc.get_freeze_count() > 0
    finally:
        sys.setswitchinterval(before)
        gc.unfreeze()


def test_nothing_is_collected_while_a_process_loads_and_afterwards_everything_else_is() -> None:
    gc.unfreeze()
    try:
        with loading():
            assert not gc.isenabled()
        assert gc.isenabled()
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
