"""A replay gives the recorded effects, byte for byte, or names the first input at which it does not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bot.backtest.engine import BacktestEngine
from bot.core.desk import TradingDesk
from bot.journal.errors import JournalCorrupt
from bot.journal.journal import Journal
from bot.journal.reading import SegmentReader, segment_paths
from bot.journal.run import BookKey, RunStart
from bot.journal.writer import Watch
from bot.services.replaying import ReplayError, ReplayReport, replay
from bot.settings import load
from bot.settings.run import ReplayOptions
from tests.backtest.candle_data import BTC, ETH, config, crossing, drive, instrument, market_of, walk

RUN = "20230101-000000-test"
SYMBOLS = (BTC, ETH)


async def record(data_dir: Path, bars: int = 600, run: str = RUN, *, closed: bool = True) -> None:
    """A recorded run: two symbols, two sources, protection and all, through the journal that records a live one."""
    data_dir.mkdir(exist_ok=True)
    journal = Journal.open(f"sqlite:///{data_dir / 'arbiter.db'}", data_dir)
    sources = [
        crossing("rules:fast", SYMBOLS, fast=5, slow=12, rsi=4),
        crossing("rules:large", SYMBOLS, "15m", fast=4, slow=9, rsi=3),
    ]
    desk = config()
    fresh = TradingDesk(desk)
    snapshot = {"config": desk, "desk": fresh.snapshot(), "sources": {}}
    start = RunStart(run, BookKey("arbiter", "paper", "made", "simulated"), 1, True, {}, "0.1.0", 7, snapshot)
    journal.begin(start, Watch(lambda trouble: None, lambda: None))
    engine = BacktestEngine(desk, {symbol: instrument(symbol) for symbol in SYMBOLS}, sources, tape=journal)
    drive(engine, market_of(walk(BTC, bars), walk(ETH, bars, seed=4, price=1_500.0)).candles())
    await journal.close(2, snapshot if closed else None)


def replayed(data_dir: Path, run: str = "latest") -> ReplayReport:
    options = ReplayOptions(run, None, data_dir)
    return replay(options, load(None, environ={}, overrides=options.overrides()), lambda done, total: None)


def segment(data_dir: Path) -> Path:
    (path,) = segment_paths(data_dir, RUN)
    return path


async def test_a_recorded_run_replays_byte_for_byte(tmp_path: Path) -> None:
    await record(tmp_path)
    found = replayed(tmp_path)
    assert found.passed
    assert found.divergence is None
    assert found.inputs > 1_200
    assert found.effects > 100
    assert (found.torn, found.closed_cleanly) == (0, True)
    assert replayed(tmp_path, RUN).as_json()["identical"] is True


async def test_a_tampered_effect_is_found_at_its_input(tmp_path: Path) -> None:
    await record(tmp_path)
    path = segment(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    number, line = next((i, line) for i, line in enumerate(lines) if b'"FillBooked"' in line and i > len(lines) // 2)
    lines[number] = line.replace(b'"confidence":0.', b'"confidence":1.', 1)
    path.write_bytes(b"".join(lines))
    found = replayed(tmp_path)
    assert found.divergence is not None
    assert line.startswith(b'{"n":%d,' % found.divergence.n)
    assert "confidence" in found.divergence.recorded
    assert found.divergence.recorded != found.divergence.replayed
    assert len(found.divergence.recorded) < 300


async def test_a_tampered_input_is_found_where_its_effects_change(tmp_path: Path) -> None:
    await record(tmp_path)
    path = segment(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    number = next(i for i, line in enumerate(lines) if line.startswith(b'{"n":') and b'"type":"Filled"' in line)
    lines[number] = lines[number].replace(b'"price":{"$d":"', b'"price":{"$d":"9', 1)
    path.write_bytes(b"".join(lines))
    found = replayed(tmp_path)
    assert found.divergence is not None
    assert lines[number].startswith(b'{"n":%d,' % found.divergence.n)
    assert "Filled" in found.divergence.input


async def test_the_torn_tail_of_a_killed_run_is_reported_and_the_rest_replays(tmp_path: Path) -> None:
    await record(tmp_path, closed=True)
    path = segment(tmp_path)
    whole = path.read_bytes()
    last = whole.rstrip(b"\n").rfind(b'{"n"')
    path.write_bytes(whole[: last + 9])
    found = replayed(tmp_path)
    assert found.passed
    assert found.torn == 1
    assert found.inputs >= 1_200


async def test_a_missing_input_is_refused_with_file_and_line(tmp_path: Path) -> None:
    await record(tmp_path)
    path = segment(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    del lines[20]
    path.write_bytes(b"".join(lines))
    with pytest.raises(JournalCorrupt, match=r"000001\.jsonl"):
        replayed(tmp_path)


async def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    await record(tmp_path)
    with pytest.raises(ReplayError, match=f"no run other.*{RUN}"):
        replayed(tmp_path, "other")
    segment(tmp_path).unlink()
    with pytest.raises(ReplayError, match="no segment files"):
        replayed(tmp_path)


ALONE = """
import sys
from bot.cli import main
sys.argv = ["bot", "replay", "latest", "--data-dir", sys.argv[1], "--json"]
code = main()
foreign = {"ccxt", "execution", "simulators", "aiohttp", "redis", "openai", "anthropic"}
named = {name.partition('.')[0] for name in sys.modules}
# Of the sources only what the settings are made of: nothing that makes one, or asks anybody.
plain = {"base", "config", "llm", "llm.asking", "llm.models", "llm.settings", "news", "news.items", "news.settings"}
made = {name for name in sys.modules if name.startswith("sources.")} - {f"sources.{name}" for name in plain}
sys.stderr.write(f"{code} {sorted(foreign & named | made)}")
"""


async def test_a_fresh_process_needs_neither_venue_nor_sources_whatever_its_hash_seed(tmp_path: Path) -> None:
    await record(tmp_path)
    for seed in ("1", "99"):
        done = subprocess.run(
            [sys.executable, "-c", ALONE, str(tmp_path)],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.stderr == "0 []", done.stderr
        assert '"identical":true' in done.stdout


def test_a_run_that_was_killed_replays_to_its_last_whole_input(tmp_path: Path) -> None:
    code = (
        f"import sys, os, asyncio; sys.path[:0] = {sys.path!r}\n"
        "import test_replay as t\nfrom pathlib import Path\n"
        "async def main():\n"
        "    t.Journal.close = lambda *a, **k: asyncio.sleep(60)\n"
        "    task = asyncio.ensure_future(t.record(Path(sys.argv[1]), 4_000))\n"
        "    await asyncio.sleep(0)\n"
        f"    folder = Path(sys.argv[1]) / 'segments' / {RUN!r}\n"
        "    while not any(file.stat().st_size > 100_000 for file in folder.glob('*')):\n"
        "        await asyncio.sleep(0.01)\n"
        f"    os.kill(os.getpid(), {int(signal.SIGKILL)})\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    found = replayed(tmp_path)
    assert found.passed
    assert not found.closed_cleanly
    assert "killed" in found.notices[0]
    assert found.inputs > 500
    assert sum(1 for _ in SegmentReader(segment_paths(tmp_path, RUN))) in {found.inputs, found.inputs + 1}
