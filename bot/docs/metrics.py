"""The metrics, from the registry that serves them."""

from __future__ import annotations

from bot.docs import markdown as md
from bot.outlets.envelope import Identity
from bot.outlets.metrics import READINGS, Metrics

_INTRO = """
The bot serves `/metrics` for Prometheus, `/healthz` and `/readyz` on `metrics.host` and `metrics.port` (default
`127.0.0.1:9464`); see [follow the feed](../how-to/follow-the-feed.md#metrics-and-health). Labels are few and bounded:
sources, symbols and states, never ids.

*Counted* metrics come from the facts that the desk records. *Read* metrics are asked of the room that keeps the number when
somebody scrapes; one that nobody answers for in this version is absent from the scrape.
"""
_SUFFIX = {"counter": "_total", "info": "_info"}


def page() -> str:
    """The reference of metrics."""
    families = Metrics(Identity("", "", "", simulated=False)).registry.collect()
    counted = [
        [md.code(family.name + _SUFFIX.get(family.type, "")), family.type, _labels(family.name), family.documentation]
        for family in families
        if family.name not in READINGS
    ]
    read = [
        [
            md.code(f"{name}_total" if about.counter else name),
            "counter" if about.counter else "gauge",
            _code(about.label),
            about.about,
        ]
        for name, about in READINGS.items()
    ]
    head = ["metric", "kind", "labels", "meaning"]
    return md.page("Metrics", _INTRO, "## Counted", md.table(head, sorted(counted)), "## Read", md.table(head, sorted(read)))


def _code(label: str | None) -> str:
    return md.code(label) if label else ""


def _labels(family: str) -> str:
    """The labels that a counted metric was registered with; the registry's own sample has none before the first event."""
    metrics = Metrics(Identity("", "", "", simulated=False))
    names: dict[str, tuple[str, ...]] = {}
    for attribute in vars(metrics).values():
        if hasattr(attribute, "describe") and hasattr(attribute, "_labelnames"):
            for described in attribute.describe():
                names[described.name] = attribute._labelnames  # noqa: SLF001 - prometheus-client has no public way to ask
    return ", ".join(md.code(label) for label in names.get(family, ()))
