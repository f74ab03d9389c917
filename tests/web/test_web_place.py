"""Where the control room says that it listens, also when there are two of them."""

from __future__ import annotations

import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.web.place import PLACE_FILE, Place, told


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    """Another process, for as long as the test goes on."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def test_a_control_room_is_told_of_while_it_is_there(tmp_path: Path, other: subprocess.Popen[bytes]) -> None:
    place = Place("127.0.0.1", 8080, other.pid)
    with told(tmp_path, place):
        assert Place.read(tmp_path) == place
        assert stat.S_IMODE((tmp_path / PLACE_FILE).stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == []


def test_a_second_control_room_takes_nothing_from_the_first(tmp_path: Path, other: subprocess.Popen[bytes]) -> None:
    first, second = Place("127.0.0.1", 8080, other.pid), Place("127.0.0.1", 8081, other.pid)
    with told(tmp_path, first):
        with told(tmp_path, second):
            assert Place.read(tmp_path) == second
        assert Place.read(tmp_path) == first
    assert Place.read(tmp_path) is None


def test_the_end_of_the_first_leaves_the_second_told_of(tmp_path: Path, other: subprocess.Popen[bytes]) -> None:
    first, second = Place("127.0.0.1", 8080, other.pid), Place("127.0.0.1", 8081, other.pid)
    one, two = told(tmp_path, first), told(tmp_path, second)
    one.__enter__()
    two.__enter__()
    one.__exit__(None, None, None)
    assert Place.read(tmp_path) == second
    two.__exit__(None, None, None)


def test_one_that_is_gone_is_not_told_of_again(tmp_path: Path, other: subprocess.Popen[bytes]) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as ending:
        Place("127.0.0.1", 8080, ending.pid).write(tmp_path)
        with told(tmp_path, Place("127.0.0.1", 8081, other.pid)):
            ending.kill()
            ending.wait()
    assert not (tmp_path / PLACE_FILE).exists()
