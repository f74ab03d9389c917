"""A memory of someone else's: loaded when it is wanted, held to the protocol, and named in whatever goes wrong."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from research.memory.errors import MemoryUnavailable
from research.memory.files import LESSONS_FILE, MemoryFiles, MirroredMemory
from research.memory.lessons import lesson_of_backtest
from research.memory.outside import OutsideMemory, open_outside
from research.memory.policy import DEFAULT_POLICY, MemoryPolicy
from research.memory.store import InMemoryStore, RecallsEvidence
from tests.research.memory_evidence import DAY, SUBJECT, YEAR, backtest, trade

PAGE = Path(__file__).parents[2] / "docs/how-to/plug-in-a-memory.md"


def plug_in(
    site: Path, monkeypatch: pytest.MonkeyPatch, code: str, name: str = "letta", value: str = "plugged_memory:open_it"
) -> None:
    """An installed distribution with a memory."""
    described = site / "plugged-1.0.dist-info"
    described.mkdir(parents=True)
    (site / "plugged_memory.py").write_text(code, encoding="utf-8")
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: plugged\nVersion: 1.0\n", encoding="utf-8")
    (described / "entry_points.txt").write_text(f"[arbiter.memory]\n{name} = {value}\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delitem(sys.modules, "plugged_memory", raising=False)


OPENS = "from research.memory.store import InMemoryStore\n"


@pytest.mark.parametrize(
    "code",
    [
        OPENS + "def open_it(policy, folder):\n    return InMemoryStore(policy)\n",
        OPENS + "async def open_it(policy, folder):\n    return InMemoryStore(policy)\n",
    ],
)
async def test_an_entry_point_is_a_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    plug_in(tmp_path, monkeypatch, code)
    store = await open_outside("letta", DEFAULT_POLICY, tmp_path)
    assert await store.remember([trade(1), trade(2), backtest({"fast": 1})]) == 3
    plain = InMemoryStore()
    await plain.remember([trade(1), trade(2), backtest({"fast": 1})])
    for at in (0, DAY * 2, 9 * YEAR):
        assert await store.subjects(at) == await plain.subjects(at)
        assert await store.lessons(SUBJECT, at) == await plain.lessons(SUBJECT, at)
        assert await store.confidence(SUBJECT, at) == await plain.confidence(SUBJECT, at)
        assert await store.parameters(SUBJECT, at) == await plain.parameters(SUBJECT, at)
    await store.close()


async def test_it_is_given_the_policy_and_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        OPENS + "given = []\ndef open_it(policy, folder):\n    given.extend([policy, folder])\n    return InMemoryStore(policy)\n"
    )
    plug_in(tmp_path, monkeypatch, code)
    policy = MemoryPolicy(min_trades=7)
    await (await open_outside("letta", policy, tmp_path / "data")).close()
    assert sys.modules["plugged_memory"].given == [policy, tmp_path / "data" / "mem" / "letta"]


async def test_it_is_not_loaded_before_it_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(tmp_path, monkeypatch, "raise RuntimeError('loaded')")
    with pytest.raises(MemoryUnavailable, match=r"'none-of-these'.*use one of sql, letta"):
        await open_outside("none-of-these", DEFAULT_POLICY, tmp_path)
    assert "plugged_memory" not in sys.modules


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("raise RuntimeError('no luck')", "cannot be imported: RuntimeError: no luck"),
        ("open_it = 3", "cannot be called: name a callable"),
        ("def open_it(policy, folder):\n    raise OSError('no server')", "cannot be opened: OSError: no server"),
        ("def open_it(policy, folder):\n    return 5", "gave a int without remember, subjects"),
        (
            "import asyncio\nasync def open_it(policy, folder):\n    await asyncio.Event().wait()",
            "cannot be opened: TimeoutError",
        ),
    ],
)
async def test_one_that_cannot_be_opened_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, told: str) -> None:
    plug_in(tmp_path, monkeypatch, code)
    with pytest.raises(MemoryUnavailable, match=re.escape(told)) as raised:
        await open_outside("letta", DEFAULT_POLICY, tmp_path, seconds=0.2)
    assert "'letta'" in str(raised.value)


class Wrong(InMemoryStore):
    """A store whose every answer is `answer`, or whose every call raises it, or never ends."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.answer = answer

    async def _given(self, *_: Any) -> Any:
        if self.answer is Ellipsis:
            await asyncio.Event().wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    remember = subjects = lessons = confidence = parameters = close = _given  # type: ignore[assignment]


CALLS = {
    "remember": ([trade(1)],),
    "subjects": (YEAR,),
    "lessons": (SUBJECT, YEAR),
    "confidence": (SUBJECT, YEAR),
    "parameters": (SUBJECT, YEAR),
}


@pytest.mark.parametrize("call", [*CALLS, "close"])
@pytest.mark.parametrize("answer", [ValueError("odd"), MemoryUnavailable("away"), ...])
async def test_a_failing_or_silent_memory_is_unavailable_and_named(call: str, answer: Any) -> None:
    store = OutsideMemory("letta", Wrong(answer), seconds=0.05)
    with pytest.raises(MemoryUnavailable, match="the memory 'letta'"):
        await getattr(store, call)(*CALLS.get(call, ()))


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("answer", ["text", [1], {"value": 0.5}, -1, True])
async def test_an_answer_that_is_none_is_refused(call: str, answer: Any) -> None:
    store = OutsideMemory("letta", Wrong(answer))
    with pytest.raises(MemoryUnavailable, match=f"the memory 'letta' answered {call} wrongly"):
        await getattr(store, call)(*CALLS[call])


async def test_a_confidence_out_of_range_never_reaches_a_decision() -> None:
    from research.memory.confidence import Confidence

    for bad in (Confidence(1.5, 0.5, 0.5, 9.0, proven=True), Confidence(0.5, float("nan"), 0.5, 9.0, proven=True)):
        with pytest.raises(MemoryUnavailable, match="confidence wrongly"):
            await OutsideMemory("letta", Wrong(bad)).confidence(SUBJECT, YEAR)


async def test_a_lesson_of_the_future_is_refused() -> None:
    late = lesson_of_backtest(backtest(known_at=3 * YEAR))
    store = OutsideMemory("letta", Wrong([late]))
    with pytest.raises(MemoryUnavailable, match="known only at"):
        await store.lessons(SUBJECT, 3 * YEAR - 1)
    assert await store.lessons(SUBJECT, 3 * YEAR) == [late]


async def test_it_is_mirrored_like_any_other_and_asked_for_no_evidence(tmp_path: Path) -> None:
    store = OutsideMemory("letta", InMemoryStore())
    assert not isinstance(store, RecallsEvidence)
    await MirroredMemory(store, MemoryFiles(tmp_path)).remember([trade(1)])
    assert (tmp_path / LESSONS_FILE).exists()


async def test_the_documentation_shows_a_memory_that_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [code] = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    plug_in(tmp_path, monkeypatch, code, value="plugged_memory:open_memory")
    store = await open_outside("letta", DEFAULT_POLICY, tmp_path / "data")
    assert await store.remember([trade(day) for day in range(4)]) == 4
    assert await store.remember([trade(1)]) == 0
    await store.close()
    again = await open_outside("letta", DEFAULT_POLICY, tmp_path / "data")
    found = await again.confidence(SUBJECT, YEAR)
    assert found is not None
    assert found.trades == 4
    assert await again.confidence(SUBJECT, 0) is None
    await again.close()
