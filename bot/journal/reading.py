"""Reading a run's segments back, in order and without a hole."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from bot.core.inputs import Input
from bot.journal.codec import input_of
from bot.journal.errors import JournalCorrupt
from bot.journal.segments import segment_folder


@dataclass(frozen=True, slots=True)
class Recorded:
    """Input `n` and the bytes of the effects that followed it, as `encode_effects` gave them (None: no effects)."""

    n: int
    event: Input
    effects: bytes | None


def segment_paths(data_dir: Path, run: str) -> list[Path]:
    """The segment files of a run, oldest first; found on the disk, so that those of a killed bot are there too."""
    found = {path.name.removesuffix(".gz"): path for path in segment_folder(data_dir, run).glob("*.jsonl.gz")}
    # A plain file beside its compressed form means that compressing was interrupted after the rename: both are whole.
    found |= {path.name: path for path in segment_folder(data_dir, run).glob("*.jsonl")}
    return [found[name] for name in sorted(found)]


def digest_of(path: Path) -> str:
    """SHA-256 of a segment's lines, compressed or not."""
    digest = hashlib.sha256()
    with _open(path) as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _open(path: Path) -> gzip.GzipFile:
    """The lines of a segment; a plain file is read through the same interface."""
    if path.suffix == ".gz":
        return gzip.open(path, "rb")
    return path.open("rb")  # type: ignore[return-value]


class SegmentReader:
    """Iterates over what was recorded; `torn` counts the unfinished line that a killed process leaves at the end (dropped)."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = list(paths)
        self.torn = 0

    def __iter__(self) -> Iterator[Recorded]:
        """Raises `JournalCorrupt`, naming file and line, for a damaged line or a missing input."""
        held: Recorded | None = None
        for where, line in self._lines():
            try:
                entry = orjson.loads(line)
                n = int(entry["n"])
                if "in" not in entry:
                    if held is None or held.n != n:
                        message = f"effects of input {n} do not follow it"
                        raise ValueError(message)
                    held = Recorded(n, held.event, _effects_of(line, n))
                    continue
                event = input_of(entry)
            except (ValueError, TypeError, KeyError, ArithmeticError) as error:
                message = f"{where}: {error}; restore the file from a backup, or replay another run"
                raise JournalCorrupt(message) from error
            if n != (held.n if held else n - 1) + 1:
                message = f"{where}: input {n} follows {held.n if held else 0}: inputs are missing, so the run cannot be replayed"
                raise JournalCorrupt(message)
            if held is not None:
                yield held
            held = Recorded(n, event, None)
        if held is not None:
            yield held

    def _lines(self) -> Iterator[tuple[str, bytes]]:
        last = self.paths[-1] if self.paths else None
        for path in self.paths:
            try:
                with _open(path) as file:
                    for number, line in enumerate(file, 1):
                        if line.endswith(b"\n"):
                            yield f"{path}:{number}", line
                        elif path == last:
                            self.torn += 1
                        else:
                            message = f"{path}:{number}: the line is cut off, but segments follow"
                            raise JournalCorrupt(message)
            except (OSError, EOFError, zlib.error) as error:
                message = f"{path} cannot be read: {error}"
                raise JournalCorrupt(message) from error


def _effects_of(line: bytes, n: int) -> bytes:
    return line[len(b'{"n":%d,"out":' % n) : -len(b"}\n")]
