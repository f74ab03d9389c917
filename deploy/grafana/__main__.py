"""Write the boards: `python -m deploy.grafana`."""

from __future__ import annotations

from deploy.grafana.boards import write

write()
