from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bot.core.effects import SetTimer
from bot.core.inputs import Wake
from bot.core.market import Quote
from bot.journal.codec import encode_effects
from bot.journal.errors import JournalCorrupt, Trouble
from bot.journal.journal import JournalLimits
from bot.journal.queries import Queries
from bot.journal.reading import SegmentReader, digest_of, segment_paths
from bot.journal.segments import SegmentLimits, segment_folder
from tests.journal.journal_databases import empty_file
from tests.journal.journal_facts import NOW, Watcher, journal_of, run_of


async def record(tmp_path: Path, count: int, limits: SegmentLimits | None = None, url: str | None = None) -> None:
    wanted = JournalLimits(segments=limits or SegmentLimits(), ballast_bytes=0)
    journal = journal_of(url or empty_file(tmp_path), tmp_path, wanted)
    journal.begin(run_of(), Watcher().watch)
    for number in range(count):
        n = journal.input(Quote.of("BTC/USDT", NOW + number, 1.0 + number, 2.0 + number))
        journal.effects(n, [SetTimer(NOW)] if number % 3 == 0 else [])
        if number % 50 == 0:
            await asyncio.sleep(0.02)
    await journal.close(NOW)


async def test_what_was_recorded_is_read_back_in_order(tmp_path: Path) -> None:
    await record(tmp_path, 100)
    reader = SegmentReader(segment_paths(tmp_path, "run1"))
    got = list(reader)
    assert [one.n for one in got] == list(range(1, 101))
    assert got[5].event == Quote.of("BTC/USDT", NOW + 5, 6.0, 7.0)
    assert got[0].effects == encode_effects([SetTimer(NOW)])
    assert got[1].effects is None
    assert reader.torn == 0


async def test_full_segments_rotate_are_compressed_and_indexed(tmp_path: Path, database_url: str) -> None:
    await record(tmp_path, 600, SegmentLimits(segment_bytes=10_000), database_url)
    paths = segment_paths(tmp_path, "run1")
    assert len(paths) > 2
    assert [path.suffix for path in paths[:-1]] == [".gz"] * (len(paths) - 1)
    assert [one.n for one in SegmentReader(paths)] == list(range(1, 601))
    with Queries(database_url) as queries:
        index = queries.segments("run1")
    assert [tmp_path / entry.path for entry in index] == paths
    assert all(entry.closed and entry.sha256 == digest_of(tmp_path / entry.path) for entry in index)
    assert index[0].first_input == 1
    assert index[-1].last_input == 600


async def test_a_torn_last_line_is_dropped_and_counted(tmp_path: Path) -> None:
    await record(tmp_path, 10)
    (path,) = segment_paths(tmp_path, "run1")
    path.write_bytes(path.read_bytes()[:-7])
    reader = SegmentReader([path])
    got = list(reader)
    assert reader.torn == 1
    assert [one.n for one in got] == list(range(1, 11))
    assert got[-1].effects is None


async def test_a_damaged_or_missing_line_is_named(tmp_path: Path) -> None:
    await record(tmp_path, 10)
    (path,) = segment_paths(tmp_path, "run1")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], b'{"n":x}\n', *lines[3:]]))
    with pytest.raises(JournalCorrupt, match=r"000001\.jsonl:4"):
        list(SegmentReader([path]))
    path.write_bytes(b"".join([*lines[:2], *lines[3:]]))
    with pytest.raises(JournalCorrupt, match="inputs are missing"):
        list(SegmentReader([path]))


async def test_a_segment_that_cannot_be_written_is_told_and_trading_goes_on(tmp_path: Path) -> None:
    journal = journal_of(empty_file(tmp_path), tmp_path)
    watcher = Watcher()
    journal.begin(run_of(), watcher.watch)
    folder = segment_folder(tmp_path, "run1")
    folder.rmdir()
    folder.write_text("in the way")
    journal.input(Wake(NOW))
    await asyncio.wait_for(watcher.troubled.wait(), 20)
    assert watcher.troubles[0].kind is Trouble.SEGMENTS
    journal.input(Wake(NOW))
    assert journal.inputs_dropped >= 1
    await journal.close(NOW)


KILLED = """
import asyncio, sys
from pathlib import Path
from bot.core.market import Quote
from bot.journal.journal import Journal, JournalLimits
from tests.journal.journal_databases import empty_file
from tests.journal.journal_facts import NOW, Watcher, run_of

async def main(folder):
    journal = Journal.open(f"sqlite:///{folder / 'journal.db'}", folder, JournalLimits(ballast_bytes=0))
    journal.begin(run_of(), Watcher().watch)
    while True:
        for _ in range(200):
            n = journal.input(Quote.of("BTC/USDT", NOW, 1.0, 2.0))
        print(n, flush=True)
        await asyncio.sleep(0.002)

asyncio.run(main(Path(sys.argv[1])))
"""


def test_a_killed_run_can_be_read_to_its_last_whole_line(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": "."}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for _ in range(100):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    got = [one.n for one in SegmentReader(segment_paths(tmp_path, "run1"))]
    assert got == list(range(1, len(got) + 1))
    assert len(got) > 1_000
