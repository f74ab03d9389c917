"""A disk reserve: bytes that are given up when the disk is full, so that exits can still be journaled."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

# The reserve is taken back only when the disk has this many times its size to spare.
_SPARE = 4


class Ballast:
    """A preallocated file of `size` bytes; 0 means that there is none."""

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.size = size

    @property
    def held(self) -> bool:
        """Whether the reserve is there to be given up."""
        return self.path.exists()

    def take(self) -> bool:
        """Reserve the bytes if the disk has plenty; whether they are reserved now. Never raises: a reserve is not a need."""
        if self.size <= 0 or self.held:
            return self.held
        try:
            if shutil.disk_usage(self.path.parent).free < _SPARE * self.size:
                return False
            self._allocate()
        except OSError:
            with suppress(OSError):
                self.path.unlink(missing_ok=True)
        return self.held

    def _allocate(self) -> None:
        with self.path.open("wb") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, self.size)
                return
            block = bytes(1024 * 1024)
            for start in range(0, self.size, len(block)):
                file.write(block[: self.size - start])

    def release(self) -> bool:
        """Give the bytes back to the disk; whether there were any."""
        try:
            self.path.unlink()
        except OSError:
            return False
        return True
