"""`python -m bot drill`: what it prints, how it ends, and that nothing of it stays behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import orjson
import pytest

from bot.drill.catalogue import chosen
from bot.drill.drill import Drill, Result
from bot.drill.rig import Broken, Ground
from bot.drill.running import Running
from tests.app.bot_process import ROOT, clean_environment, eventually

QUICK = [drill.name for drill in chosen() if drill.quick]


def environment(place: Path) -> dict[str, str]:
    """Scratch folders of drills go below `place`."""
    return {**clean_environment(place), "TMPDIR": str(place)}


def command(place: Path, *arguments: str, timeout: float = 150.0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bot", "drill", *arguments],
        cwd=ROOT, env=environment(place), capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip


@pytest.mark.timeout(200)
def test_the_quick_drills_keep_their_promises_and_leave_nothing_behind(tmp_path: Path) -> None:
    assert len(QUICK) >= 5
    answer = command(tmp_path, "--json", "--seeds", "3", "random-faults", *QUICK)
    told = orjson.loads(answer.stdout)
    assert [each for each in told["drills"] if not each["kept"]] == []
    assert answer.returncode == 0, answer.stderr
    assert (told["kept"], told["broken"]) == (len(QUICK) + 1, 0)
    assert [each["drill"] for each in told["drills"]] == ["random-faults", *QUICK]
    assert all(set(each) == {"promise", "drill", "kept", "detail"} and each["detail"] for each in told["drills"])
    assert list(tmp_path.glob("arbiter-drill-*")) == []


def test_every_drill_is_listed_with_its_promise_and_none_is_played(tmp_path: Path) -> None:
    answer = command(tmp_path, "--list", "--json")
    assert answer.returncode == 0
    told = orjson.loads(answer.stdout)["drills"]
    assert [each["drill"] for each in told] == [drill.name for drill in chosen()]
    assert all(len(each["promise"]) > 20 for each in told)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("no-such-drill",), "there is no drill 'no-such-drill'"),
        (("--database", "mysql://root@localhost/x"), "--database: drills take postgresql://"),
    ],
)
def test_what_cannot_be_played_is_said_in_a_line(tmp_path: Path, arguments: tuple[str, ...], line: str) -> None:
    answer = command(tmp_path, *arguments)
    assert answer.returncode == 2
    assert answer.stderr.startswith(f"error: {line}")
    assert len(answer.stderr.splitlines()) == 1


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_ctrl_c_in_the_middle_leaves_no_process_and_no_folder(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "bot", "drill", "duplicate-fills"], cwd=ROOT, env=environment(tmp_path), stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        eventually(lambda: bool(children_in(tmp_path)), "a bot of the drill")
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
    finally:
        process.kill()
        process.communicate()
    assert children_in(tmp_path) == []
    assert list(tmp_path.glob("arbiter-drill-*")) == []


def children_in(place: Path) -> list[str]:
    """Processes that work in a folder below."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if str(each.readlink()).startswith(f"{place}{os.sep}"):
                found.append(each.parent.name)
        except OSError:
            continue
    return found


async def kept(ground: Ground) -> str:
    (ground.root / "something").touch()
    return "seen to be so"


async def broken(ground: Ground) -> str:
    (ground.root / "evidence").touch()
    message = "an order was lost"
    raise Broken(message)


async def defect(ground: Ground) -> str:
    raise KeyError(str(ground.root.name))


async def endless(ground: Ground) -> str:
    del ground
    await asyncio.Event().wait()
    return ""


async def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **plays: object) -> Mapping[str, Result]:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    drills = [Drill(name, f"promise of {name}", play, seconds=5.0) for name, play in plays.items()]  # type: ignore[arg-type]
    return {result.drill: result for result in await Running(drills).run()}


async def test_a_kept_promise_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = await played(tmp_path, monkeypatch, kept=kept)
    assert results["kept"].as_json() == {"promise": "promise of kept", "drill": "kept", "kept": True, "detail": "seen to be so"}
    assert list(tmp_path.iterdir()) == []


async def test_a_broken_promise_keeps_its_folder_and_says_where_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = await played(tmp_path, monkeypatch, broken=broken, defect=defect, kept=kept)
    (evidence,) = tmp_path.glob("*/broken/evidence")
    assert not results["broken"].kept
    assert results["broken"].detail == f"an order was lost (see {evidence.parent})"
    assert not results["defect"].kept
    assert results["defect"].detail.startswith("KeyError: 'defect'")
    assert results["kept"].kept
    assert list(tmp_path.glob("*/kept")) == []


async def test_a_drill_that_does_not_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (result,) = await Running([Drill("endless", "it ends", endless, seconds=0.05)]).run()
    assert not result.kept
    assert result.detail.startswith("it was not over after 0.05 s")


async def test_a_run_that_is_cancelled_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    began = asyncio.Event()
    running = Running([Drill("endless", "it ends", endless)], began=lambda _: began.set())
    task = asyncio.create_task(running.run())
    await asyncio.wait_for(began.wait(), 20)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    assert list(tmp_path.iterdir()) == []
