"""Lines of an algorithm's log."""

from __future__ import annotations

from sources.quantconnect.calls import Page
from sources.quantconnect.shapes import Many, Shape, Text, Whole


class Lines(Shape):
    """Lines of a log; `length` is how many there are in all, of live algorithms over all deployments of the project."""

    logs: Many[Text]
    length: Whole = None
    deployment_offset: Whole = None

    @property
    def page(self) -> Page[str]:
        """The lines as rows of a longer list."""
        return Page(self.logs, self.length)
