"""Input segments: every input of a run, and what the desk returned for it, in append-only files that replay reads.

A line per input, `{"n":12,"type":"Quote","in":[...]}`, followed by `{"n":12,"out":[...]}` only where there were effects. Lines
are made on the desk's task and written by a thread of their own; a full segment is closed, compressed and indexed in the journal.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import os
import shutil
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from queue import Empty, SimpleQueue

import structlog

from bot.core.effects import Effect
from bot.core.inputs import Input
from bot.journal.codec import encode_effects, encode_input
from bot.journal.errors import JournalTrouble, JournalUnavailable, Trouble
from bot.journal.rows import Row

log = structlog.get_logger(__name__)

_GATHER_SECONDS = 0.05
_CHUNK = 4_096


@dataclass(frozen=True, slots=True)
class SegmentLimits:
    """Bytes of a segment before the next begins, bytes that may wait for the disk, and whether closed segments are compressed."""

    segment_bytes: int = 64 << 20
    waiting_bytes: int = 64 << 20
    compress: bool = True


@dataclass(slots=True)
class SegmentCounts:
    """What was written, and what had to be left out because the disk did not follow."""

    inputs: int = 0
    bytes: int = 0
    dropped: int = 0


@dataclass(slots=True)
class _Segment:
    number: int
    path: Path
    file: FileIO
    first: int
    last: int
    size: int = 0


def segment_folder(data_dir: Path, run: str) -> Path:
    """Where the segments of a run are."""
    return data_dir / "segments" / run


class SegmentRecorder:
    """Records one run. `index` receives a row of the table `segments` whenever one opens or closes, from the writing thread."""

    def __init__(
        self,
        data_dir: Path,
        run: str,
        index: Callable[[Row], None],
        on_trouble: Callable[[JournalTrouble], None],
        limits: SegmentLimits,
    ) -> None:
        self.counts = SegmentCounts()
        self._data_dir = data_dir
        self._folder = segment_folder(data_dir, run)
        self._run = run
        self._index = index
        self._on_trouble = on_trouble
        self._limits = limits
        self._lines: deque[tuple[int, bytes]] = deque()
        self._queued = 0
        self._written = 0
        self._n = 0
        self._at = 0
        self._number = 0
        self._segment: _Segment | None = None
        self._digest = hashlib.sha256()
        self._failed = False
        self._closing = False
        self._signal: SimpleQueue[None] = SimpleQueue()
        self._writing = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run_thread, name="segments", daemon=True)

    def start(self) -> None:
        """Begin to write; trouble will be told in the running loop."""
        self._loop = asyncio.get_running_loop()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._thread.start()

    def input(self, event: Input) -> int:
        """Record what the desk is about to handle; its number, from 1."""
        self._n += 1
        self._at = event.at
        self._put(b'{"n":%d,' % self._n + encode_input(event)[1:] + b"\n")
        return self._n

    def effects(self, n: int, returned: Sequence[Effect]) -> None:
        """Record what the desk returned for input `n`; nothing is written for no effects."""
        if returned:
            self._put(b'{"n":%d,"out":' % n + encode_effects(returned) + b"}\n")

    @property
    def count(self) -> int:
        """Inputs recorded, which is the number of the newest."""
        return self._n

    def _put(self, line: bytes) -> None:
        if self._queued - self._written > self._limits.waiting_bytes or self._failed:
            self.counts.dropped += 1
            return
        self._queued += len(line)
        self._lines.append((self._n, line))

    def flush(self) -> None:
        """Hand what was recorded to the operating system, from any thread: a killed process loses none of it."""
        with self._writing:
            if self._lines and not self._failed:
                try:
                    self._write_all()
                except Exception as error:  # noqa: BLE001 - the boundary of the recorder: told, counted, and the bot trades on
                    self._fail(error)

    async def close(self, timeout: float = 5.0) -> None:
        """Write the rest, close the last segment. `JournalUnavailable` if that takes longer than `timeout` seconds."""
        if not self._thread.is_alive():
            return
        self._closing = True
        self._signal.put(None)
        await asyncio.to_thread(self._thread.join, timeout)
        if self._thread.is_alive():
            message = f"the segments of run {self._run} were not closed within {timeout:g} s"
            raise JournalUnavailable(message)

    # Below: the writing thread.

    def _run_thread(self) -> None:
        try:
            while not self._closing:
                with suppress(Empty):
                    self._signal.get(timeout=_GATHER_SECONDS)
                self.flush()
                if self._segment is not None and self._segment.size >= self._limits.segment_bytes:
                    self._close_segment(compress=self._limits.compress)
            self.flush()
            self._close_segment(compress=False)
        except Exception as error:  # noqa: BLE001 - the boundary of the thread: told, counted, and the bot trades on
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """Recording ends here: a stream with a hole cannot be replayed, so what follows would only fill the disk."""
        self._failed = True
        self.counts.dropped += len(self._lines)
        self._lines.clear()
        if self._segment is not None:
            with suppress(OSError):
                self._segment.file.close()
        log.error("segments_stopped", run=self._run, after_input=self.counts.inputs, error=str(error))
        trouble = JournalTrouble(Trouble.SEGMENTS, f"{self._folder}: {error}; this run cannot be replayed past this point", 0)
        with suppress(RuntimeError):
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._on_trouble, trouble)

    def _write_all(self) -> None:
        while self._lines:
            taken = [self._lines.popleft() for _ in range(min(len(self._lines), _CHUNK))]
            self._write(taken)

    def _write(self, taken: list[tuple[int, bytes]]) -> None:
        segment = self._segment or self._open_segment(taken[0][0])
        data = b"".join([line for _, line in taken])
        view = memoryview(data)
        while view:
            view = view[segment.file.write(view) :]
        self._digest.update(data)
        segment.size += len(data)
        segment.last = taken[-1][0]
        self._written += len(data)
        self.counts.bytes += len(data)
        self.counts.inputs = segment.last

    def _open_segment(self, first: int) -> _Segment:
        self._number += 1
        path = self._folder / f"{self._number:06d}.jsonl"
        self._segment = segment = _Segment(self._number, path, FileIO(path, "w"), first, first)
        self._digest = hashlib.sha256()
        self._record(segment, path, digest=None)
        return segment

    def _close_segment(self, *, compress: bool) -> None:
        with self._writing:
            segment, self._segment = self._segment, None
            digest = self._digest.hexdigest()
        if segment is None:
            return
        os.fsync(segment.file.fileno())
        segment.file.close()
        path = _compressed(segment.path) if compress else segment.path
        self._record(segment, path, digest=digest)

    def _record(self, segment: _Segment, path: Path, *, digest: str | None) -> None:
        """The index row: `bytes` and `sha256` are those of the lines, compressed or not."""
        row: Row = {
            "run": self._run,
            "number": segment.number,
            "path": path.relative_to(self._data_dir).as_posix(),
            "first_input": segment.first,
            "last_input": segment.last,
            "bytes": segment.size,
            "sha256": digest,
            "closed": digest is not None,
            "at": self._at,
        }
        self._index(row)


def _compressed(path: Path) -> Path:
    """Compress a closed segment; the plain file goes only when the compressed one is on the disk, and stays if that cannot be."""
    target = path.with_name(path.name + ".gz")
    partial = path.with_name(path.name + ".partial")
    try:
        with path.open("rb") as source, partial.open("wb") as sink:
            with gzip.GzipFile(filename="", fileobj=sink, mode="wb", compresslevel=4, mtime=0) as packed:
                shutil.copyfileobj(source, packed, 1 << 20)
            sink.flush()
            os.fsync(sink.fileno())
        partial.replace(target)
    except OSError as error:
        log.warning("segment_not_compressed", path=str(path), error=str(error))
        partial.unlink(missing_ok=True)
        return path
    path.unlink()
    return target
