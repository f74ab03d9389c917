"""All boards, and the files they are kept in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from deploy.grafana import machine, minds, trading
from deploy.grafana.panels import as_json

BOARDS = (trading.BOARD, minds.BOARD, machine.BOARD)
DASHBOARDS = Path(__file__).parent / "dashboards"


def files() -> Mapping[Path, str]:
    """Each board's file, as it should be."""
    written = {board.uid: json.dumps(as_json(board), indent=2, ensure_ascii=False) for board in BOARDS}
    return {DASHBOARDS / f"{uid}.json": text + "\n" for uid, text in written.items()}


def write() -> None:
    """Write all of them."""
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
