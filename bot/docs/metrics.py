"""The metrics, from the catalogue that is served."""

from __future__ import annotations

from bot.docs import markdown as md
from bot.outlets.metric_catalogue import CATALOGUE, PROCESS, Group, sample_names

_INTRO = """
The bot serves `/metrics` for Prometheus, `/healthz` and `/readyz` on `metrics.host` and `metrics.port` (default
`127.0.0.1:9464`); see [follow the feed](../how-to/follow-the-feed.md#metrics-and-health). Alert rules and Grafana boards are in
`deploy/`; see [watch it in Grafana](../how-to/grafana.md). Labels are few and bounded: sources, symbols, models and states, never
ids; where a label's values come from outside, the first 500 are told apart and the rest are `other`.

Counters begin at zero with each run, unless it is said otherwise. A metric of which nothing is known yet has no samples. A
histogram is served as `_bucket`, `_sum` and `_count`; a sample up to 5 % below a bucket's bound may count for the next.
"""


def page() -> str:
    """The reference of metrics."""
    parts = []
    for group in Group:
        rows = [
            [md.code(sample_names(name)[0]), metric.kind.value, ", ".join(map(md.code, metric.labels)), metric.about]
            for name, metric in CATALOGUE.items()
            if metric.group is group
        ]
        parts += [f"## {group.value}", md.table(["metric", "kind", "labels", "meaning"], rows)]
    served = f"The client library serves these beside, on Linux: {', '.join(map(md.code, PROCESS))}."
    return md.page("Metrics", _INTRO, *parts, served)
