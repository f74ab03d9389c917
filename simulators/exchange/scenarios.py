"""Scenarios: faults by a script. A YAML list, each entry a fault as on the admin route, and when it happens.

    - {at: 2.5, fault: dropped, when: after, path: /api/v3/order, method: POST}
    - {after_requests: 3, on_path: "/api/v3/order", on_method: POST, fault: status, code: 503}

`at` are seconds after the start. With `after_requests` or `on_path` it happens as the next matching request arrives once that
many matching ones have passed (counted from `at` on), so that it strikes that very request. With none of them it happens at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from pathlib import Path

import structlog
import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from simulators.exchange.mischief import Fault, fault_reader

log = structlog.get_logger(__name__)

_WHEN = ("at", "after_requests", "on_path", "on_method")


class BadScenario(ValueError):  # noqa: N818 - it names what is wrong
    """The script cannot be read; the message names the entry."""


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, slots=True)
class Cue:
    """When something happens; `after_requests` None: by the clock alone."""

    at: float = 0.0
    after_requests: int | None = None
    on_path: str = "*"
    on_method: str = "*"


@dataclass(frozen=True, slots=True)
class Step:
    """A fault and its cue."""

    cue: Cue
    fault: Fault


def load(path: Path) -> list[Step]:
    """Read a script; `BadScenario` when it is not one, `OSError` when there is no such file."""
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as problem:
        message = f"{path} is not YAML: {problem}"
        raise BadScenario(message) from problem
    return read(entries if entries is not None else [], str(path))


def read(entries: object, name: str = "scenario") -> list[Step]:
    """The steps of a script that was parsed already; `name` is for messages."""
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        message = f"{name} is not a list of faults; write entries such as {{at: 2, fault: stall}}"
        raise BadScenario(message)
    return [_step(entry, f"{name}, entry {number}") for number, entry in enumerate(entries, start=1)]


def _step(entry: dict[str, object], place: str) -> Step:
    when = {key: entry[key] for key in _WHEN if key in entry}
    if "on_path" in when or "on_method" in when:
        when.setdefault("after_requests", 0)
    try:
        cue = TypeAdapter(Cue).validate_python(when)
        fault = fault_reader().validate_python({key: value for key, value in entry.items() if key not in _WHEN})
    except ValidationError as problem:
        first = problem.errors(include_url=False, include_context=False)[0]
        message = f"{place}: {'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
        raise BadScenario(message) from problem
    unknown = sorted(entry.keys() - set(_WHEN) - {one.name for one in fields(fault)})
    if unknown:
        message = f"{place}: {', '.join(unknown)}: the fault {fault.fault!r} has no such field"
        raise BadScenario(message)
    return Step(cue, fault)


@dataclass(slots=True)
class _Waiting:
    step: Step
    left: int


class Player:
    """Plays a script on a simulator: `run` keeps the time, `observe` hears every request before it is handled."""

    def __init__(self, steps: Sequence[Step], inject: Callable[[Fault], None]) -> None:
        self._steps = sorted(steps, key=lambda step: step.cue.at)
        self._inject = inject
        self._waiting: list[_Waiting] = []
        self.played = 0

    async def run(self) -> None:
        """Play what the clock calls for; returns when only requests are waited for."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        for step in self._steps:
            if (wait := start + step.cue.at - loop.time()) > 0:
                await asyncio.sleep(wait)
            if step.cue.after_requests is None:
                self._play(step)
            else:
                self._waiting.append(_Waiting(step, step.cue.after_requests))

    def observe(self, method: str, path: str) -> None:
        """A request arrives."""
        for waiting in list(self._waiting):
            cue = waiting.step.cue
            if fnmatchcase(path, cue.on_path) and fnmatchcase(method, cue.on_method):
                if waiting.left <= 0:
                    self._waiting.remove(waiting)
                    self._play(waiting.step)
                waiting.left -= 1

    def _play(self, step: Step) -> None:
        try:
            self._inject(step.fault)
            self.played += 1
        except (ValueError, LookupError) as problem:
            log.warning("scenario_step_failed", fault=step.fault.fault, problem=str(problem))
