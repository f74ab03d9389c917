"""A paused terminal, or a pipe whose reader is slow, must not hold up the bot: a thread writes what is taken at once."""

from __future__ import annotations

import queue
import threading
from types import TracebackType
from typing import Self, TextIO

_BOUND = 20_000
_END_SECONDS = 2.0


class PatientStream:
    """As much of a text stream as logs and the screen need. At most `bound` texts wait; what comes then is lost and counted.

    Within `with`, writing never blocks. Afterwards it writes straight through.
    """

    def __init__(self, stream: TextIO, bound: int = _BOUND) -> None:
        self._stream = stream
        self._waiting: queue.Queue[str | None] = queue.Queue(bound)
        self._thread: threading.Thread | None = None
        self.lost = 0

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._write_all, name="terminal", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Write what waits, for at most two seconds: a reader that is gone is not waited for."""
        thread, self._thread = self._thread, None
        if thread is not None:
            try:
                self._waiting.put(None, timeout=_END_SECONDS)
            except queue.Full:
                return
            thread.join(_END_SECONDS)

    def write(self, text: str) -> int:
        """Take a text."""
        if self._thread is None:
            return self._stream.write(text)
        try:
            self._waiting.put_nowait(text)
        except queue.Full:
            self.lost += 1
        return len(text)

    def flush(self) -> None:
        """The thread flushes when nothing waits."""
        if self._thread is None:
            self._stream.flush()

    def isatty(self) -> bool:
        """Whether a person reads it."""
        return self._stream.isatty()

    def _write_all(self) -> None:
        while (text := self._waiting.get()) is not None:
            try:
                self._stream.write(text)
                if self._waiting.empty():
                    self._stream.flush()
            except (OSError, ValueError):
                self.lost += 1
