"""How the interpreter runs a bot: what the process sets once, before it trades."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

SWITCH_SECONDS = 0.0005


def steady() -> None:
    """Keep threads and the garbage collector from holding the desk up.

    Call it when everything is loaded and nothing is traded yet. A thread that wants the interpreter waits until another yields
    it, 5 ms unless told otherwise: so long could the journal's thread keep the desk from an order, and the desk the journal from
    an intent. What start-up made (tens of thousands of classes and functions) lives as long as the process: the collector need
    not walk through it at every full collection.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.collect()
    gc.freeze()
    gc.enable()  # it may have been off while everything was loaded


@contextmanager
def loading() -> Iterator[None]:
    """While everything is imported and set up, collect no garbage: there is none, and looking for it takes a fifth of the time.

    What was made stays for as long as the process runs, so the collector need not walk through it later either.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
