"""What can be known of an algorithm's text before it is sent."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from bot.services.quantconnect.cloud_errors import TextRefused
from sources.quantconnect.lean.checking import Severity, check_project

log = structlog.get_logger(__name__)

_MOST_SHOWN = 3


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
