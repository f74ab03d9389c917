"""The one error of configuration: a single line that names file, key, value, fault and remedy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one value. `where` is a file (with its line), an environment variable or the command line."""

    where: str
    key: str
    value: str
    fault: str
    remedy: str

    def __str__(self) -> str:
        """One line."""
        subject = f"{self.key} = {self.value}" if self.value else self.key
        text = ": ".join(part for part in (self.where, subject, self.fault) if part)
        return " ".join(f"{text}; {self.remedy}".split())


class ConfigError(Exception):
    """The configuration cannot be used. Its text is one line, about the first problem; `problems` holds them all."""

    def __init__(self, *problems: Problem) -> None:
        self.problems = problems
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__(f"{problems[0]}{more}")
