"""The overview without a bot: what the journal says that was made, transfers and restarts left out."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx2
from sqlalchemy import create_engine, insert

from bot.journal import tables as t
from bot.journal.upgrade import upgrade
from bot.secrets import Secrets
from bot.settings import load
from bot.web.app import create_app
from bot.web.security.principal import Scope
from bot.web.server import open_room
from tests.app.bot_process import ROOT

MIDNIGHT = 20_000 * 86_400_000
HOUR = 3_600_000


def journaled(url: str) -> None:
    """A loss of 40 in the morning, a deposit of 1,000 and a restart at noon, and a gain of 5 after it."""
    samples = [("r1", -1, "0", 10_000.0), ("r1", 8, "-40", 9_960.0), ("r1", 9, "-40", 10_960.0), ("r2", 13, "-35", 10_965.0)]
    sample = {"book": 1, "cash": "1", "unrealised": 0.0, "fees": "0", "peak": 11_000.0, "drawdown": 0.0, "exposure": 0.0}
    run = {"book": 1, "simulated": False, "config_hash": "", "config": "{}", "code_version": "", "closed_cleanly": True}
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(insert(t.books), [{"id": 1, "bot": "arbiter", "mode": "paper", "venue": "binance", "world": "real"}])
        runs = [("r1", MIDNIGHT - 2 * HOUR), ("r2", MIDNIGHT + 12 * HOUR)]
        connection.execute(insert(t.runs), [{**run, "id": name, "started": started} for name, started in runs])
        connection.execute(
            insert(t.equity),
            [
                {**sample, "run": name, "at": MIDNIGHT + hour * HOUR, "realised": made, "equity": equity}
                for name, hour, made, equity in samples
            ],
        )
    engine.dispose()


async def test_today_keeps_the_loss_of_before_a_restart_and_takes_no_deposit_for_a_gain(tmp_path: Path) -> None:
    loaded = load(ROOT / "config", environ={"ARBITER_BOT__DATA_DIR": str(tmp_path)})
    upgrade(loaded.settings.database_url)
    journaled(loaded.settings.database_url)
    async with asyncio.timeout(30), open_room(loaded, Secrets(tmp_path)) as room:
        key = (await room.access.new_token("test", Scope.READ, room.now() + 60_000)).value
        door, bearer = httpx2.ASGITransport(create_app(room)), {"Authorization": f"Bearer {key}"}
        async with httpx2.AsyncClient(transport=door, base_url="http://127.0.0.1", headers=bearer) as client:
            clock, moment = room.now, room.now() - MIDNIGHT - 14 * HOUR
            room.now = lambda: clock() - moment
            told = [" ".join(part.split("<dd")[1].split(">")[1].split("<")[0].split()) for part in await tiles(client)]
    assert told == ["10,965.00 USDT", "+5.00", "−35.00"]


async def tiles(client: httpx2.AsyncClient) -> list[str]:
    """The tiles of the page, the first three of them."""
    answer = await client.get("/ui/overview/tiles")
    assert answer.status_code == 200, answer.text
    return answer.text.split('<dl class="tile">')[1:4]
