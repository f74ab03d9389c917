"""How the control room starts: at once, so without what only single answers need."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {"numpy", "pandas", "polars", "openai", "anthropic", "ccxt", "plotly", "aiohttp", "apprise", "apscheduler"}


def test_the_control_room_starts_without_what_only_single_answers_need() -> None:
    script = "import sys; import bot.web.server; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert HEAVY & {name.partition(".")[0] for name in done.stdout.split()} == set()
