"""What may go wrong with the memory."""

from __future__ import annotations


class ResearchError(Exception):
    """Anything the memory cannot do; the message names what, and the remedy."""


class EvidenceError(ResearchError, ValueError):
    """Evidence that cannot be true, or not be kept; the message names the field."""


class MemoryUnavailable(ResearchError):  # noqa: N818 - a state of the store, as the journal names its own
    """The memory cannot be reached or used now. Nothing was remembered by the call."""
