"""What may go wrong with calibration."""

from __future__ import annotations

from research.memory.errors import ResearchError


class CalibrationUnavailable(ResearchError):  # noqa: N818 - a state of the store, as the journal names its own
    """What was learnt cannot be reached or used now. Nothing was kept by the call."""
