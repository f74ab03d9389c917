"""An algorithm's text: generated aside from the loop, and checked as far as that can be done before it is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import structlog

from bot.services.quantconnect.cloud_errors import TextRefused
from sources.quantconnect.lean.checking import Severity, check_project
from sources.quantconnect.lean.errors import LeanError

if TYPE_CHECKING:
    from sources.quantconnect.lean.config import BacktestConfig
    from sources.quantconnect.lean.generating import LeanProject

log = structlog.get_logger(__name__)

Generate = Callable[["BacktestConfig"], "LeanProject"]

_MOST_SHOWN = 3
_TRIES = 3


async def generated(generate: Generate, config: BacktestConfig) -> LeanProject:
    """A checked project, made in a thread: it takes a tenth of a second. `TextRefused` where there is none.

    CPython 3.11 counts the depth of all threads' parsing together, and fails one that another disturbed: that one is done again.
    """
    for _ in range(_TRIES):
        try:
            return await asyncio.to_thread(_made, generate, config)
        except SystemError as error:
            log.info("quantconnect_parsing_disturbed", reason=str(error))
    return _made(generate, config)


def _made(generate: Generate, config: BacktestConfig) -> LeanProject:
    try:
        made = generate(config)
    except LeanError as error:
        raise TextRefused(str(error)) from error
    check_files(made.files)
    return made


def check_files(files: Mapping[str, str]) -> None:
    """`TextRefused` names file and line of what the service would not run; what it would run oddly is logged."""
    found = check_project(files)
    errors = [finding for finding in found if finding.severity is Severity.ERROR]
    if errors:
        shown = "; ".join(f"{each.file}:{each.line}: {each.message}" for each in errors[:_MOST_SHOWN])
        more = f" ({len(errors) - _MOST_SHOWN} more)" if len(errors) > _MOST_SHOWN else ""
        message = f"the algorithm cannot run there, nothing was sent: {shown}{more}"
        raise TextRefused(message)
    for finding in found:
        log.warning("quantconnect_text_suspicious", finding=str(finding))
