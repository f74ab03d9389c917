"""What may go wrong with access."""

from __future__ import annotations


class AccessError(Exception):
    """Access cannot be granted or taken as asked; the text is one line with the remedy, and never a key."""
