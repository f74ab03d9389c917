"""The mirror: whole files for their owner alone, in which nothing from outside can run or pose as a line of its own."""

from __future__ import annotations

import ast
import errno
import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from research.memory.confidence import Confidence
from research.memory.errors import ResearchError
from research.memory.evidence import Evidence, Parameters, Subject
from research.memory.files import LESSONS_FILE, PARAMETERS_FILE, STRATEGIES_FILE, MemoryFiles, MirroredMemory
from research.memory.lessons import lesson_of_backtest
from research.memory.outside import OutsideMemory
from research.memory.parameters import RobustParameters
from research.memory.store import InMemoryStore
from research.memory.writing import Standing, lesson_text, plain, strategies_in, strategy_module
from tests.research.memory_evidence import DAY, SUBJECT, YEAR, backtest, trade

HOSTILE = "\"\"\"\n__import__('os').system('id')\n#'\\"


def subject_of(name: str) -> Subject:
    """A subject as a foreign store might give it, unchecked."""
    subject = Subject("BTC/USDT", "x", "1h")
    object.__setattr__(subject, "strategy", name)
    return subject


def standing(name: str, parameters: Parameters) -> Standing:
    return Standing(
        subject_of(name),
        1_000,
        Confidence(0.4, 0.8, 0.5, 30.0, proven=True),
        RobustParameters(parameters, 0.5, 0.5, 0.5, 3),
        lesson_of_backtest(backtest()),
    )


ANY_TEXT = st.text(st.characters())  # lone surrogates too
SCALARS = ANY_TEXT | st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.booleans()
NAMING = (ast.Module, ast.Expr, ast.Assign, ast.Name, ast.Store, ast.Load)
LITERALS = (*NAMING, ast.Dict, ast.Tuple, ast.Constant, ast.UnaryOp, ast.USub)


@given(ANY_TEXT, st.dictionaries(ANY_TEXT, SCALARS))
def test_a_strategy_module_holds_nothing_but_literals_whatever_the_names(name: str, parameters: Parameters) -> None:
    module = strategy_module([standing(name, parameters)])
    assert module.isascii()
    nodes = list(ast.walk(ast.parse(module)))
    assert all(isinstance(node, LITERALS) for node in nodes)
    assert [node.id for node in nodes if isinstance(node, ast.Name)] == ["STRATEGIES"]
    assert strategies_in(module)[(name, "BTC/USDT", "1h")]["parameters"] == parameters


class Sly(str):
    """Text with a notation of its own."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "exit()"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), Sly("x")])
def test_what_is_no_literal_never_reaches_a_strategy_module(value: float) -> None:
    with pytest.raises(ResearchError, match="literal"):
        strategy_module([standing("sma-cross", {"fast": value})])


@pytest.mark.parametrize(
    "module", ["import os", '"""d"""\nSTRATEGIES = {1: exit()}', '"""d"""\nSTRATEGIES = {}\nexit()', "STRATEGIES ="]
)
def test_a_changed_strategy_module_is_refused_unread(module: str) -> None:
    with pytest.raises(ResearchError, match="delete it"):
        strategies_in(module)


@given(st.text())
def test_outside_text_is_one_printable_line_and_says_the_same(text: str) -> None:
    shown = plain(text)
    assert shown.isprintable()
    assert shown.encode().decode("unicode_escape") == text or not text.isascii()


def test_a_reference_cannot_pose_as_a_lesson_of_its_own() -> None:
    lesson = lesson_of_backtest(backtest())
    forged = lesson_text(replace(lesson, reference="x\n[2026-01-01] sma-cross\n  rating EXCELLENT"))
    assert forged.count("\n") == lesson_text(lesson).count("\n")


async def test_what_is_remembered_is_written_down_for_its_owner_alone(tmp_path: Path) -> None:
    memory = MirroredMemory(InMemoryStore(), MemoryFiles(tmp_path / "mem"))
    await memory.remember([backtest({"fast": fast}, sharpe=1 + fast / 10, reference=f"run-{fast}") for fast in range(4)])
    await memory.remember([trade(day) for day in range(3)])
    found = sorted((tmp_path / "mem").iterdir())
    assert [path.name for path in found] == [LESSONS_FILE, PARAMETERS_FILE, STRATEGIES_FILE]
    assert {stat.S_IMODE(path.stat().st_mode) for path in found} == {0o600}
    text = (tmp_path / "mem" / LESSONS_FILE).read_text()
    assert all(f"run-{fast}" in text for fast in range(4))
    updates = json.loads((tmp_path / "mem" / PARAMETERS_FILE).read_text())["updates"]
    assert [update["symbol"] for update in updates] == ["BTC/USDT"]  # the trades did not change the parameters
    state = strategies_in((tmp_path / "mem" / STRATEGIES_FILE).read_text())
    assert state[("sma-cross", "BTC/USDT", "1h")]["parameters"] == updates[0]["parameters"]
    assert memory.unmirrored == 0


async def test_what_cannot_be_written_down_is_counted_not_raised(tmp_path: Path) -> None:
    class Foreign(InMemoryStore):
        """A store that says what no file can hold."""

        async def parameters(self, subject: Subject, as_of: int) -> RobustParameters | None:
            return RobustParameters({"fast": "\ud800"}, 0.5, 0.5, 0.5, 2)

    memory = MirroredMemory(OutsideMemory("foreign", Foreign()), MemoryFiles(tmp_path))
    assert await memory.remember([trade(1)]) == 1
    assert memory.unmirrored == 1


async def test_evidence_that_comes_late_does_not_take_a_strategy_off_the_page(tmp_path: Path) -> None:
    memory = MirroredMemory(InMemoryStore(), MemoryFiles(tmp_path))
    await memory.remember([backtest(strategy="breakout", known_at=3 * YEAR)])
    await memory.remember([trade(1)])
    assert len(strategies_in((tmp_path / STRATEGIES_FILE).read_text())) == 2


async def test_a_restarted_mirror_still_shows_what_was_known_before(tmp_path: Path) -> None:
    store = InMemoryStore()
    await store.remember([backtest(strategy="breakout")])
    await MirroredMemory(store, MemoryFiles(tmp_path)).remember([trade(1)])
    assert len(strategies_in((tmp_path / STRATEGIES_FILE).read_text())) == 2


async def test_files_turn_over_before_they_outgrow_their_limit(tmp_path: Path) -> None:
    memory = MirroredMemory(InMemoryStore(), MemoryFiles(tmp_path, limit=2_000, kept=2))
    for run in range(40):
        await memory.remember([backtest({"fast": run}, known_at=3 * YEAR + run * DAY, sharpe=run / 10)])
    names = {path.name for path in tmp_path.iterdir()}
    assert {LESSONS_FILE, f"{LESSONS_FILE}.1", f"{LESSONS_FILE}.2", f"{PARAMETERS_FILE}.1"} <= names
    assert f"{LESSONS_FILE}.3" not in names
    assert all(path.stat().st_size <= 2_000 for path in tmp_path.iterdir())
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in tmp_path.iterdir())
    newest, older = ((tmp_path / name).read_text() for name in (LESSONS_FILE, f"{LESSONS_FILE}.1"))
    assert "3.9" in newest
    assert newest > older  # each lesson begins with its time


async def test_a_disk_that_refuses_costs_a_page_and_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = MirroredMemory(InMemoryStore(), MemoryFiles(tmp_path))
    await memory.remember([trade(1)])
    before = (tmp_path / LESSONS_FILE).read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        assert await memory.remember([trade(2)]) == 1
    assert memory.unmirrored == 1
    assert (tmp_path / LESSONS_FILE).read_bytes() == before
    assert not list(tmp_path.glob(".*"))
    found = await memory.confidence(SUBJECT, YEAR)
    assert found is not None
    assert found.trades == 2


async def test_a_file_that_was_spoilt_is_kept_aside_and_begun_anew(tmp_path: Path) -> None:
    (tmp_path / PARAMETERS_FILE).write_text("{spoilt")
    await MirroredMemory(InMemoryStore(), MemoryFiles(tmp_path)).remember([backtest({"fast": fast}) for fast in range(4)])
    assert (tmp_path / f"{PARAMETERS_FILE}.1").read_text() == "{spoilt"
    assert len(json.loads((tmp_path / PARAMETERS_FILE).read_text())["updates"]) == 1


def test_a_draft_that_someone_laid_as_a_link_is_not_written_through(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    folder = tmp_path / "mem"
    folder.mkdir()
    (folder / f".{STRATEGIES_FILE}.{os.getpid()}").symlink_to(victim)
    (folder / STRATEGIES_FILE).symlink_to(victim)
    MemoryFiles(folder).write([], [], [standing(HOSTILE, {"x": HOSTILE})])
    assert victim.read_text() == "mine"
    assert not (folder / STRATEGIES_FILE).is_symlink()


async def test_many_lessons_at_once_fill_files_one_after_another(tmp_path: Path) -> None:
    memory = MirroredMemory(InMemoryStore(), MemoryFiles(tmp_path, limit=3_000, kept=50))
    runs = [backtest({"fast": run}, known_at=3 * YEAR + run * DAY, reference=f"run-{run:02}") for run in range(30)]
    sweeps = [backtest({"fast": fast}, strategy=f"rule-{rule:02}") for rule in range(30) for fast in range(3)]
    await memory.remember([*runs, *sweeps])
    assert all(path.stat().st_size <= 3_000 for path in tmp_path.glob(f"{LESSONS_FILE}*"))
    assert all(path.stat().st_size <= 3_000 for path in tmp_path.glob(f"{PARAMETERS_FILE}*"))
    pages = "".join(path.read_text() for path in tmp_path.glob(f"{LESSONS_FILE}*"))
    assert all(f"run-{run:02}" in pages for run in range(30))
    kept = [json.loads(path.read_text())["updates"] for path in tmp_path.glob(f"{PARAMETERS_FILE}*")]
    assert len({update["strategy"] for updates in kept for update in updates}) == 31


async def test_the_strategy_module_turns_over_too_and_each_page_of_it_is_whole(tmp_path: Path) -> None:
    memory = MirroredMemory(InMemoryStore(), MemoryFiles(tmp_path, limit=1_000, kept=2))
    for rule in range(12):
        await memory.remember([backtest(strategy=f"rule-{rule:02}", known_at=3 * YEAR + rule * DAY)])
    pages = [tmp_path / name for name in (STRATEGIES_FILE, f"{STRATEGIES_FILE}.1", f"{STRATEGIES_FILE}.2")]
    assert [len(strategies_in(page.read_text())) for page in pages] == [12, 11, 10]
    assert not (tmp_path / f"{STRATEGIES_FILE}.3").exists()
    assert {stat.S_IMODE(page.stat().st_mode) for page in pages} == {0o600}


async def test_without_old_files_the_newest_page_is_all_there_is(tmp_path: Path) -> None:
    memory = MirroredMemory(InMemoryStore(), MemoryFiles(tmp_path, limit=1_000, kept=0))
    for run in range(5):
        await memory.remember([backtest(known_at=3 * YEAR + run * DAY, reference=f"run-{run}")])
    assert sorted(path.name for path in tmp_path.iterdir()) == [LESSONS_FILE, STRATEGIES_FILE]
    assert "run-4" in (tmp_path / LESSONS_FILE).read_text()


async def test_a_file_that_others_could_read_is_its_owners_alone_after_the_next_lesson(tmp_path: Path) -> None:
    folder = tmp_path / "mem"
    memory = MirroredMemory(InMemoryStore(), MemoryFiles(folder))
    await memory.remember([trade(1)])
    for path in folder.iterdir():
        path.chmod(0o644)
    await memory.remember([trade(2)])
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


async def test_a_lesson_in_the_file_says_all_that_was_learnt(tmp_path: Path) -> None:
    await MirroredMemory(InMemoryStore(), MemoryFiles(tmp_path)).remember([backtest(returns=(0.01, -0.005) * 50)])
    text = (tmp_path / LESSONS_FILE).read_text()
    for word in ("rating GOOD", "risk MEDIUM", "trades 100", "Sharpe 1.5", "win rate 0.5", "drawdown 0.12", "profit factor 1.6"):
        assert word in text
    assert "expected return per trade 0.0019" in text  # of 0.0025, for 100 trades against 30
    assert text.count("  > ") == 3


async def test_a_store_that_gives_back_no_evidence_is_mirrored_alike(tmp_path: Path) -> None:
    history: list[Evidence] = [*(trade(day) for day in range(5)), *(backtest({"fast": fast}) for fast in range(4))]
    for name, store in (("own", InMemoryStore()), ("outside", OutsideMemory("x", InMemoryStore()))):
        memory = MirroredMemory(store, MemoryFiles(tmp_path / name))
        for each in history:
            await memory.remember([each])
    for file in (LESSONS_FILE, PARAMETERS_FILE, STRATEGIES_FILE):
        assert (tmp_path / "own" / file).read_text() == (tmp_path / "outside" / file).read_text()
