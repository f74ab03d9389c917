"""Facts that could not reach the database before the bot had to stop, kept beside it and put in at the next start."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

import orjson
import structlog

from bot.journal.engine import Engine, Mark, Write
from bot.journal.errors import RowFault

log = structlog.get_logger(__name__)


def save(path: Path, writes: Iterable[Write], number: int) -> int:
    """Append the rows of batch `number` to a JSON Lines file on the disk; how many. Raises `OSError` if that is impossible."""
    count = 0
    with path.open("ab") as file:
        for write in writes:
            for row in write.rows:
                file.write(orjson.dumps({"table": write.table, "row": row, "batch": number}) + b"\n")
                count += 1
        file.flush()
        os.fsync(file.fileno())
    return count


def restore(folder: Path, name: str, engine: Engine) -> int:
    """Put the rows of every rescue file of journal `name` into the database, then delete the file; how many rows.

    A row that the database refuses is kept in a file that ends in `.refused`. Raises `StoreFault` if the database does.
    """
    restored = 0
    for path in sorted(folder.glob(f"{name}.rescue-*.jsonl")):
        for mark, group in groupby(path.read_bytes().splitlines(keepends=True), _mark):
            lines = list(group)
            try:
                engine.commit((_write(line) for line in lines), durable=True, mark=mark)
                restored += len(lines)
            except RowFault:
                restored += _restore_singly(path, lines, engine)
        path.unlink()
        log.warning("rescued_rows_restored", path=str(path), rows=restored)
    return restored


def _restore_singly(path: Path, lines: Sequence[bytes], engine: Engine) -> int:
    restored = 0
    for line in lines:
        try:
            engine.commit((_write(line) for _ in range(1)), durable=True)
            restored += 1
        except RowFault as fault:
            with path.with_suffix(".refused").open("ab") as file:
                file.write(line)
            log.error("rescued_row_refused", path=str(path), error=str(fault))
    return restored


def _mark(line: bytes) -> Mark | None:
    """The batch of a line, None if it tells none."""
    try:
        entry = orjson.loads(line)
        return Mark(entry["row"]["run"], entry["batch"])
    except (ValueError, TypeError, KeyError):
        return None


def _write(line: bytes) -> Write:
    """One line, read while the engine commits, so that a torn line is refused like any bad row."""
    entry = orjson.loads(line)
    return Write(entry["table"], [entry["row"]])
