"""The use case of a replay: a recorded run's inputs through a desk of its own, and every effect compared, byte for byte.

It needs the journal's row of the run and its segment files, and nothing else: no venue, no source, no network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from time import perf_counter

import orjson

from bot.core.desk import DeskConfig, TradingDesk
from bot.core.state import DeskState
from bot.journal.codec import encode_effects, encode_input
from bot.journal.queries import Queries
from bot.journal.reading import Recorded, SegmentReader, segment_paths
from bot.journal.records import Run
from bot.settings import Loaded
from bot.settings.run import ReplayOptions

Progress = Callable[[int, int], None]

_PROGRESS = 0x3FF
_AROUND = 60
_SHOWN = 300
_NONE = b"[]"


class ReplayError(Exception):
    """A run cannot be replayed; the text is one line that says which and why."""


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first input whose effects are not the recorded ones. `recorded` and `replayed` are cut to where they part."""

    n: int
    at: int
    input: str
    effect: int
    recorded: str
    replayed: str


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """How a replay went. `effects` counts the inputs that had any; `torn` the unfinished lines that a killed run left."""

    run: str
    started: int
    closed_cleanly: bool
    code_version: str
    segments: int
    inputs: int
    effects: int
    bytes_compared: int
    torn: int
    seconds: float
    divergence: Divergence | None
    notices: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every effect was the recorded one."""
        return self.divergence is None

    def as_json(self) -> dict[str, object]:
        """Everything, as plain JSON values."""
        found = self.divergence
        return {
            "run": self.run,
            "identical": self.passed,
            "inputs": self.inputs,
            "inputs_with_effects": self.effects,
            "bytes_compared": self.bytes_compared,
            "segments": self.segments,
            "torn_lines": self.torn,
            "closed_cleanly": self.closed_cleanly,
            "code_version": self.code_version,
            "seconds": round(self.seconds, 3),
            "inputs_per_second": round(self.inputs / self.seconds) if self.seconds > 0 else 0,
            "notices": list(self.notices),
            "first_difference": None
            if found is None
            else {
                "n": found.n,
                "at": found.at,
                "input": found.input,
                "effect": found.effect,
                "recorded": found.recorded,
                "replayed": found.replayed,
            },
        }


def replay(options: ReplayOptions, loaded: Loaded, progress: Progress) -> ReplayReport:
    """Replay a run; `progress` is told the inputs done and the inputs there are, as far as that is known.

    `ReplayError` if there is no such run or too little of it; `JournalUnavailable` and `JournalCorrupt` from the journal.
    """
    settings = loaded.settings
    with Queries(settings.database_url) as queries:
        run = _run(queries, options.run)
        initial = queries.initial_snapshot(run.id)
        expected = max((segment.last_input for segment in queries.segments(run.id)), default=0)
    desk = _desk(run, initial)
    paths = segment_paths(settings.bot.data_dir, run.id)
    if not paths:
        message = f"run {run.id} has no segment files below {settings.bot.data_dir}: restore them, or replay another run"
        raise ReplayError(message)
    return _compare(run, desk, paths, expected, progress)


def _run(queries: Queries, wanted: str) -> Run:
    run = queries.run(wanted)
    if run is not None:
        return run
    known = ", ".join(each.id for each in queries.runs(limit=5))
    message = f"there is no run {wanted} in {queries.path}; " + (f"the newest are: {known}" if known else "none was recorded yet")
    raise ReplayError(message)


def _desk(run: Run, initial: object) -> TradingDesk:
    """The desk as it was when the run began."""
    match initial:
        case {"config": DeskConfig() as config, "desk": DeskState() as state}:
            return TradingDesk.restore(config, state)
    message = f"run {run.id} has no initial snapshot that this version ({version('arbiter-desk')}) can read: replay another run"
    raise ReplayError(message)


def _compare(run: Run, desk: TradingDesk, paths: list[Path], expected: int, progress: Progress) -> ReplayReport:
    reader = SegmentReader(paths)
    inputs = effects = compared = 0
    divergence: Divergence | None = None
    began = perf_counter()
    for recorded, is_last in _with_last(reader):
        replayed = encode_effects(desk.handle(recorded.event))
        answer = recorded.effects or _NONE
        inputs += 1
        if replayed != answer:
            if is_last and recorded.effects is None and not run.closed_cleanly:
                break  # the process ended between the two lines of its last input
            divergence = _divergence(recorded, answer, replayed)
            break
        effects += recorded.effects is not None
        compared += len(answer)
        if not inputs & _PROGRESS:
            progress(inputs, max(inputs, expected))
    progress(inputs, inputs)
    return ReplayReport(
        run.id,
        run.started,
        run.closed_cleanly,
        run.code_version,
        len(paths),
        inputs,
        effects,
        compared,
        reader.torn,
        perf_counter() - began,
        divergence,
        tuple(_notices(run, reader.torn)),
    )


def _with_last(reader: SegmentReader) -> Iterator[tuple[Recorded, bool]]:
    """Every recorded input, and whether it is the last."""
    held: Recorded | None = None
    for recorded in reader:
        if held is not None:
            yield held, False
        held = recorded
    if held is not None:
        yield held, True


def _notices(run: Run, torn: int) -> Iterator[str]:
    current = version("arbiter-desk")
    if run.code_version != current:
        yield f"the run was made by version {run.code_version}, this is {current}"
    if not run.closed_cleanly:
        cut = f"; {torn} unfinished line at its end was left out" if torn else ""
        yield f"the run was not closed: it goes on, or it was killed{cut}"


def _divergence(recorded: Recorded, answer: bytes, replayed: bytes) -> Divergence:
    """Where two lists of effects part: the number of the effect, from 1, and what each has there."""
    before, after = ([orjson.dumps(effect).decode() for effect in orjson.loads(each)] for each in (answer, replayed))
    number = next(
        (place for place, (one, other) in enumerate(zip(before, after, strict=False)) if one != other),
        min(len(before), len(after)),
    )
    return Divergence(
        recorded.n,
        recorded.event.at,
        encode_input(recorded.event)[:_SHOWN].decode(),
        number + 1,
        *_parted(_effect(before, number), _effect(after, number)),
    )


def _effect(effects: list[str], number: int) -> str:
    return effects[number] if number < len(effects) else "(no effect)"


def _parted(one: str, other: str) -> tuple[str, str]:
    """Both texts around the place where they part."""
    place = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    begin = max(0, place - _AROUND)
    return _excerpt(one, begin), _excerpt(other, begin)


def _excerpt(text: str, begin: int) -> str:
    end = begin + 3 * _AROUND
    return f"{'…' if begin else ''}{text[begin:end]}{'…' if end < len(text) else ''}"
