"""What can go wrong while an algorithm is written or checked."""

from __future__ import annotations


class LeanError(ValueError):
    """No algorithm can be written from this. The message is one line: file (or where it came from), key, value and remedy."""

    def __init__(self, file: str, key: str, value: object, remedy: str) -> None:
        shown = "" if value is None else f" = {str(value)[:60]!r}"
        where = f"{file}: {key}{shown}" if key else file
        super().__init__(" ".join(f"{where}: {remedy}".split()))
        self.file, self.key, self.value, self.remedy = file, key, value, remedy
