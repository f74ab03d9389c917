"""Use cases that say that they only read: any process may perform them, so none may write, and none may need a running bot."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from bot.journal.upgrade import upgrade
from bot.secrets import Secrets
from bot.services.ground import own_ground
from bot.services.use_case import UseCaseError, use_case
from bot.settings import load

READS: dict[str, dict[str, Any]] = {
    "audit.list": {},
    "chat.history": {"session": "none"},
    "chat.search": {"words": "kill"},
    "chat.sessions": {},
    "idea.list": {},
    "learning.calibration": {},
    "learning.insights": {},
    "learning.outcomes": {},
    "learning.thresholds": {},
    "llm.costs": {},
    "llm.decisions": {},
    "llm.prices": {},
    "llm.prompt": {"name": "decide"},
    "llm.prompt-diff": {"name": "decide", "old": 0, "new": 0},
    "llm.prompt-results": {"name": "decide"},
    "llm.prompts": {},
    "memory.confidence": {},
    "memory.history": {},
    "memory.lessons": {},
    "memory.parameters": {},
    "memory.recommendations": {},
    "memory.subjects": {},
}


def everything(file: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(file)) as database:
        return list(database.iterdump())


@pytest.mark.parametrize("name", sorted(READS))
async def test_whatever_only_reads_writes_nothing_and_needs_no_bot(tmp_path: Path, name: str) -> None:
    loaded = load(None, environ={"ARBITER_BOT__DATA_DIR": str(tmp_path)})
    upgrade(loaded.settings.database_url)
    case = use_case(name)
    assert case.reads
    assert case.quick

    async def perform() -> None:
        async with own_ground(loaded, Secrets(tmp_path, {}), lambda: 1_800_000_000_000) as ground:
            with contextlib.suppress(UseCaseError):  # there is nothing yet, which some say as an error
                await case.run(ground, case.read(READS[name]), lambda _: None)

    await perform()  # prepares its tables
    before = everything(tmp_path / "arbiter.db")
    await perform()
    assert everything(tmp_path / "arbiter.db") == before
    assert sorted(each.name for each in tmp_path.iterdir() if not each.name.startswith("arbiter.db")) == []
