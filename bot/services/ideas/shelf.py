"""The shelf: ideas as files of sources beside the others, switched off, each with its backtest beside it.

Nothing is written that would not load again as exactly what was meant, and no strategy is kept twice.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import yaml

from bot.services.ideas.specification import IdeaRefused, Specification, canonical_of, id_of
from bot.services.ideas.trial import Trial
from bot.services.use_case import UseCaseError
from sources.config import SourceConfigError
from sources.llm.wording import plain
from sources.loading import RULES, LoadedSource, load_source

_PREFIX = "idea:"
_LARGEST = 8 << 20
_MOST_FILES = 1_000


@dataclass(frozen=True, slots=True)
class Kept:
    """An idea on the shelf; `backtest` is None where none lies beside it."""

    file: Path
    source: str
    id: str
    enabled: bool
    comment: str
    backtest: Path | None

    def as_json(self) -> dict[str, object]:
        """As plain JSON."""
        return {
            "file": str(self.file),
            "source": self.source,
            "id": self.id,
            "enabled": self.enabled,
            "about": self.comment,
            "backtest": None if self.backtest is None else str(self.backtest),
        }


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an idea came from, for the file's comment; words of a person and of a model."""

    sentence: str = ""
    model: str = ""
    at: int = 0


def keep(directory: Path, specification: Specification, trial: Trial | None, origin: Origin) -> tuple[Path, Path | None]:
    """Write the source's file, and its backtest if there is one; their paths.

    `UseCaseError` if the strategy is there already, or nothing can be written: then nothing is.
    """
    if not directory.is_dir():
        message = f"{directory} is no directory: write a configuration with `python -m bot config init DIR`, or name another"
        raise UseCaseError(message)
    refuse_twin(directory, specification)
    file = directory / f"idea-{specification.slug}.yaml"
    beside = None if trial is None else file.with_suffix(".backtest.json")
    text = _comment(specification, trial, origin) + yaml.safe_dump(specification.yaml(), sort_keys=False)
    contents = {file: text.encode()}
    if trial is not None and beside is not None:
        contents[beside] = orjson.dumps(trial.result, default=str, option=orjson.OPT_INDENT_2)
    written: list[Path] = []
    try:
        for path, content in contents.items():
            _write(path, content)
            written.append(path)
        _check(file, specification)
    except (OSError, UseCaseError) as error:
        for path in written:
            path.unlink(missing_ok=True)
        if isinstance(error, UseCaseError):
            raise
        why = "it is there already" if isinstance(error, FileExistsError) else error.strerror or str(error)
        message = f"{file} cannot be written ({why}): move what is in the way, or name a directory that is yours"
        raise UseCaseError(message) from error
    return file, beside


def _check(file: Path, specification: Specification) -> None:
    """`UseCaseError` unless the file loads as what was meant, and switched off."""
    try:
        loaded = load_source(file)
    except SourceConfigError as error:
        message = f"the strategy cannot be a source: {error}"
        raise UseCaseError(message) from error
    if _canonical(loaded) != specification.canonical or loaded.config.enabled:
        message = f"{file.name} would not be read as what was meant; nothing was kept"
        raise UseCaseError(message)


def refuse_twin(directory: Path, specification: Specification) -> None:
    """`UseCaseError` if a source of the directory does exactly the same."""
    twin = twin_of(directory, specification)
    if twin is not None:
        message = f"{twin.name} has this strategy already, under whatever name: nothing is written"
        raise UseCaseError(message)


def twin_of(directory: Path, specification: Specification) -> Path | None:
    """The file of a source that does exactly the same, if one is there."""
    wanted = specification.canonical
    return next((loaded.file for loaded in _rules(directory) if _canonical(loaded) == wanted), None)


def shelf(directory: Path) -> list[Kept]:
    """The ideas in a directory, in the order of their files; nothing where there is none."""
    found = []
    for loaded in _rules(directory):
        if loaded.config.source.startswith(_PREFIX):
            beside = loaded.file.with_suffix(".backtest.json")
            canonical = _canonical(loaded)
            found.append(
                Kept(
                    loaded.file,
                    loaded.config.source,
                    "" if canonical is None else id_of(canonical),
                    loaded.config.enabled,
                    _said(loaded.file),
                    beside if beside.is_file() else None,
                )
            )
    return found


def result_of(kept: Kept) -> dict[str, Any] | None:
    """The backtest beside an idea; None if there is none that can be read."""
    if kept.backtest is None:
        return None
    try:
        with kept.backtest.open("rb") as file:
            found = orjson.loads(file.read(_LARGEST))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _rules(directory: Path) -> list[LoadedSource]:
    """The sources of a directory that are built-in rules; files that do not load are somebody else's to mend."""
    found: list[LoadedSource] = []
    for file in sorted(directory.glob("*.yaml"))[:_MOST_FILES] if directory.is_dir() else ():
        with contextlib.suppress(SourceConfigError):
            loaded = load_source(file)
            if loaded.config.kind in RULES:
                found.append(loaded)
    return found


def _canonical(loaded: LoadedSource) -> bytes | None:
    config = loaded.config
    params = loaded.params.model_dump(mode="json", exclude_none=True)
    guard = config.protection.model_dump(mode="json")
    try:
        return canonical_of(str(config.kind), params, config.symbols, config.timeframe, guard)
    except (IdeaRefused, ValueError):
        return None


def _comment(specification: Specification, trial: Trial | None, origin: Origin) -> str:
    """Lines of words made plain: none of them can end its line and become YAML."""
    day = datetime.fromtimestamp(origin.at / 1000, UTC).date().isoformat()
    by = plain(origin.model, 80) or "a person"
    asked = f", asked for: {plain(origin.sentence, 200)}" if origin.sentence else ""
    lines = [
        plain(specification.thesis, 300) or specification.slug,
        f"A candidate by {by} on {day}{asked}.",
        f"Backtest: {trial.line}." if trial is not None else "Not backtested.",
        "Look through it before it is switched on: one good backtest proves little.",
    ]
    return "".join(f"# {line}\n" for line in lines)


def _said(file: Path) -> str:
    """The first line of a file's comment."""
    with contextlib.suppress(OSError, UnicodeDecodeError), file.open(encoding="utf-8") as opened:
        first = opened.readline(400)
        return plain(first.removeprefix("#"), 300) if first.startswith("#") else ""
    return ""


def _write(path: Path, content: bytes) -> None:
    """The whole file, or none; never over another one."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        with partial.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(partial, path)
    finally:
        partial.unlink(missing_ok=True)
