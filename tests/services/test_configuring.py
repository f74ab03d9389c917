"""Changing settings, sources and secrets: whole or not at all, told in a history, and never a value of a secret."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import logging
import sqlite3
import traceback
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
import structlog

from bot import logs
from bot.secrets import Secrets
from bot.services.configuring.changing import digest
from bot.services.configuring.history import history_of
from bot.services.ground import own_ground
from bot.services.use_case import Ground, UseCaseError, use_case
from bot.settings import load, public
from bot.settings.overlay import overlay_path, read_overlay

NOW = 1_795_000_000_000
KEY = {"ARBITER_MASTER_KEY": base64.b64encode(bytes(range(32))).decode()}
CANARY = "canary-value-0123456789-WXYZ"


@asynccontextmanager
async def _ground(
    home: Path, environ: Mapping[str, str] = KEY, overrides: Mapping[str, object] | None = None
) -> AsyncIterator[Ground]:
    (home / "bot.yaml").write_text(f"bot: {{data_dir: {home / 'data'}}}\n")
    (home / "risk.yaml").write_text("max_drawdown: 0.3\n")
    (home / "sources").mkdir(exist_ok=True)
    (home / "sources" / "sma.yaml").write_text("source: rules:sma-cross\nkind: sma-cross\ntimeframe: 1m\nexpiry: 5m\n")
    loaded = load(home, environ={}, overrides=overrides)
    async with own_ground(loaded, Secrets(home / "data", environ), lambda: NOW) as ground:
        yield ground


async def _do(ground: Ground, name: str, **args: object) -> Mapping[str, Any]:
    case = use_case(name)
    return await case.run(ground, case.read(args), lambda progress: None)


async def test_a_setting_is_kept_and_the_next_start_finds_it(tmp_path: Path) -> None:
    async with _ground(tmp_path) as ground:
        told = await _do(ground, "config.set", changes={"risk.max_drawdown": 0.1}, author="ann", note="calmer")
        row = told["changes"][0]
        assert (row["before"], row["after"], row["hidden_by"]) == (0.3, 0.1, None)
        assert (told["at_once"], told["after_restart"]) == ([], ["risk.max_drawdown"])
        shown = await _do(ground, "config.show", section="risk")
        assert {one["key"]: one["text"] for one in shown["settings"]}["risk.max_drawdown"] == "0.3"  # until it starts again
        assert [(one["key"], one["next"]) for one in shown["pending"]] == [("risk.max_drawdown", 0.1)]
    assert load(tmp_path, environ={}).settings.risk.max_drawdown == 0.1


async def test_a_process_beside_the_bot_shows_what_the_bot_began_with(tmp_path: Path) -> None:
    async with _ground(tmp_path, overrides={"risk.max_position": 0.15}) as bot:
        await _do(bot, "config.set", changes={"risk.max_drawdown": 0.1})
        began = json.dumps(public(bot.loaded.settings))
    with closing(sqlite3.connect(tmp_path / "data" / "arbiter.db")) as database:
        database.execute("INSERT INTO books VALUES (1, 'arbiter', 'demo', 'x', 'x')")
        values = ("run-1", 1, NOW, 1, "", began, "", 0)
        columns = "id, book, started, simulated, config_hash, config, code_version, closed_cleanly"
        database.execute(f"INSERT INTO runs ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
        database.commit()
    async with _ground(tmp_path) as beside:
        beside.run = "run-1"
        told = await _do(beside, "config.show", section="risk")
        rows = {row["key"]: row for row in told["settings"]}
        assert (rows["risk.max_position"]["value"], rows["risk.max_position"]["kind"]) == (0.15, "running")
        assert (rows["risk.max_drawdown"]["value"], rows["risk.max_drawdown"]["kind"]) == (0.3, "running")
        assert ("risk.max_drawdown", 0.3, 0.1) in {(one["key"], one["now"], one["next"]) for one in told["pending"]}


async def test_reading_makes_no_journal(tmp_path: Path) -> None:
    async with _ground(tmp_path) as ground:
        ground.run = "run-1"
        assert (await _do(ground, "config.history"))["changes"] == []
        assert (await _do(ground, "config.show"))["problem"] is None
        assert not (tmp_path / "data").exists()


async def test_of_two_who_build_on_the_same_only_the_first_changes_it(tmp_path: Path) -> None:
    async with _ground(tmp_path) as ground:
        base = digest(read_overlay(tmp_path / "data"))
        keys = ("risk.max_drawdown", "risk.max_position", "risk.max_daily_loss", "risk.max_exposure")
        asked = (_do(ground, "config.set", changes={key: 0.2}, base=base) for key in keys)
        told = await asyncio.gather(*asked, return_exceptions=True)
        refused = [each for each in told if isinstance(each, UseCaseError)]
        assert (len(refused), str(refused[0])[:21]) == (3, "somebody else changed")
        assert len(read_overlay(tmp_path / "data").settings) == 1
        for name, args in (
            ("config.unset", {"keys": list(keys)}),
            ("config.source", {"source": "rules:sma-cross", "enabled": False}),
        ):
            with pytest.raises(UseCaseError, match="somebody else changed"):
                await _do(ground, name, base=base, **args)
        assert digest(read_overlay(tmp_path / "data")) != base


async def test_the_user_s_own_files_are_never_written(tmp_path: Path) -> None:
    async with _ground(tmp_path) as ground:
        before = {path: path.read_bytes() for path in tmp_path.rglob("*.yaml")}
        await _do(ground, "config.set", changes={"risk.max_drawdown": 0.1})
        await _do(ground, "config.source", source="rules:sma-cross", enabled=False)
        assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"risk.max_drawdown": 7}, "risk.max_drawdown = 7: must be 1 or less; write"),
        ({"risk.max_drawdwn": 0.1}, "did you mean 'max_drawdown'"),
        ({"risk.allowed_symbols": ["DOGE/USDT"]}, "is not traded"),
        ({"risk.max_drawdown": 0.1, "live.confirm": "I-understand"}, "live.confirm is not changed here"),
        ({"risk.max_drawdown": {}}, "risk.max_drawdown"),
        ({"nowhere.at_all": 1}, "unknown key"),
        ({"risk": {"max_drawdown": 0.1}}, "config.set: changes"),
        ({"exchange.symbols": ["X" * 70_000]}, "longer than"),
        ({"risk.max_drawdown": 2**80}, "exceeds 64-bit"),
        ({"risk.max_drawdown": "\ud800"}, "changes"),
        ({"risk.max_drawdown": "\x00\x1b[2J"}, "risk.max_drawdown"),
    ],
)
async def test_what_cannot_be_is_refused_whole(tmp_path: Path, changes: dict[str, Any], fault: str) -> None:
    async with _ground(tmp_path) as ground:
        with pytest.raises(UseCaseError) as raised:
            await _do(ground, "config.set", changes=changes)
        assert fault in str(raised.value)
        assert "\n" not in str(raised.value)
        assert not overlay_path(tmp_path / "data").exists()
        assert (await _do(ground, "config.history"))["changes"] == []


async def test_values_nested_without_end_are_refused(tmp_path: Path) -> None:
    deep: Any = 1
    for _ in range(400):
        deep = [deep]
    async with _ground(tmp_path) as ground:
        with pytest.raises(UseCaseError, match=r"config\.set: changes"):
            await _do(ground, "config.set", changes={"exchange.symbols": deep})


async def test_a_setting_that_the_command_line_hides_is_told_so(tmp_path: Path) -> None:
    async with _ground(tmp_path, overrides={"risk.max_drawdown": 0.2}) as ground:
        told = await _do(ground, "config.set", changes={"risk.max_drawdown": 0.1})
        assert told["changes"][0]["hidden_by"] == "command line"
        assert told["after_restart"] == []


async def test_unset_leaves_it_to_the_files_and_mends_an_overlay_that_stops_the_start(tmp_path: Path) -> None:
    async with _ground(tmp_path) as ground:
        await _do(ground, "config.set", changes={"risk.max_drawdown": 0.1, "risk.max_position": 0.2})
        path = overlay_path(tmp_path / "data")
        path.write_text(path.read_text().replace("0.1", "9"))
        shown = await _do(ground, "config.show")
        assert "risk.max_drawdown = 9" in shown["problem"]
        told = await _do(ground, "config.unset", keys=["risk.max_drawdown"])
        assert (told["changes"][0]["before"], told["changes"][0]["after"]) == (9, 0.3)
        assert read_overlay(tmp_path / "data").settings == {"risk.max_position": 0.2}
        with pytest.raises(UseCaseError, match=r"risk\.max_drawdown is not set in the overlay, which has risk\.max_position"):
            await _do(ground, "config.unset", keys=["risk.max_drawdown"])


async def test_changes_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    keys = ["risk.max_position", "risk.max_exposure", "risk.max_drawdown", "risk.max_daily_loss", "risk.cash_buffer"]
    async with _ground(tmp_path) as ground:
        await history_of(ground)
        await asyncio.gather(*(_do(ground, "config.set", changes={key: 0.11}) for key in keys))
        assert set(read_overlay(tmp_path / "data").settings) == set(keys)
        assert len((await _do(ground, "config.history"))["changes"]) == len(keys)


async def test_the_history_tells_who_what_before_and_after_page_by_page(tmp_path: Path) -> None:
    async with _ground(tmp_path) as ground:
        for number in range(1, 4):
            await _do(ground, "config.set", changes={"risk.max_drawdown": number / 10}, author=f"a{number}", note="why")
        first = await _do(ground, "config.history", limit=2)
        second = await _do(ground, "config.history", limit=2, before=first["next"])
        rows = [*first["changes"], *second["changes"]]
        assert {row["author"] for row in rows} == {"a1", "a2", "a3"}
        assert {(row["action"], row["subject"], row["note"], row["at"]) for row in rows} == {
            ("set", "risk.max_drawdown", "why", NOW)
        }
        assert second["next"] is None


async def test_when_the_history_cannot_be_kept_nothing_is_changed(tmp_path: Path) -> None:
    async with _ground(tmp_path) as ground:
        await history_of(ground)
        with closing(sqlite3.connect(tmp_path / "data" / "arbiter.db")) as database:
            database.execute("DROP TABLE config_changes")
            database.commit()
        with pytest.raises(UseCaseError, match="cannot be used"):
            await _do(ground, "config.set", changes={"risk.max_drawdown": 0.1})
        assert not overlay_path(tmp_path / "data").exists()


async def test_a_source_is_off_from_the_next_start(tmp_path: Path) -> None:
    async with _ground(tmp_path) as ground:
        told = await _do(ground, "config.source", source="rules:sma-cross", enabled=False)
        assert (told["before"], told["enabled"]) == (True, False)
        listed = (await _do(ground, "config.show"))["sources"]
        assert [(one["name"], one["enabled"], one["overlay"]) for one in listed] == [("rules:sma-cross", False, True)]
        await _do(ground, "config.source", source="rules:sma-cross", enabled=True)
        assert read_overlay(tmp_path / "data").sources == {}
        with pytest.raises(UseCaseError, match="there are rules:sma-cross"):
            await _do(ground, "config.source", source="rules:none", enabled=False)


async def test_a_secret_comes_in_and_only_its_mask_goes_out(tmp_path: Path) -> None:
    stream = io.StringIO()
    before = structlog.get_config()
    logs.configure(level="debug", stream=stream, as_json=True)
    try:
        async with _ground(tmp_path) as ground:
            told = await _run(ground, "config.secret-set", {"name": "openai_api_key", "value": CANARY})
            listed = await _do(ground, "config.secrets")
            logging.getLogger("somewhere").warning("a library says %s", CANARY)
        rows = {row["name"]: row for row in listed["secrets"]}
        assert rows["OPENAI_API_KEY"]["masked"].endswith("WXYZ")
        assert rows["OPENAI_API_KEY"]["updated"] > 0
        assert (rows["XAI_API_KEY"]["set"], rows["XAI_API_KEY"]["masked"]) == (False, None)
        assert CANARY not in json.dumps([told, listed])
        assert CANARY not in stream.getvalue()
        assert "***" in stream.getvalue()
        assert not [path for path in tmp_path.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()]
        found = Secrets(tmp_path / "data", KEY).get("OPENAI_API_KEY")
        assert found is not None
        assert found.value == CANARY
    finally:
        structlog.configure(**before)
        root = logging.getLogger()
        for handler in [one for one in root.handlers if isinstance(one.formatter, structlog.stdlib.ProcessorFormatter)]:
            root.removeHandler(handler)


@pytest.mark.parametrize(
    "given",
    [
        {"name": "OPENAI_API_KEY", "value": CANARY + "\n"},
        {"name": "OPENAI_API_KEY", "value": CANARY + "\x00"},
        {"name": "OPENAI_API_KEY", "value": CANARY * 200},
        {"name": "OPENAI_API_KEY", "value": [CANARY]},
        {"name": "OPENAI_API_KEY", "value": "   "},
        {"name": "OPENAI_API_KEY", "vlaue": CANARY},
        {"name": "no name", "value": CANARY},
        {"name": CANARY, "value": CANARY, "more": CANARY},
    ],
)
def test_a_secret_that_is_refused_is_not_repeated(given: dict[str, Any]) -> None:
    with pytest.raises(UseCaseError) as raised:
        use_case("config.secret-set").read(given)
    assert CANARY not in "".join(traceback.format_exception(raised.value))


def test_the_arguments_of_a_secret_do_not_show_it() -> None:
    args = use_case("config.secret-set").read({"name": "OPENAI_API_KEY", "value": CANARY})
    assert CANARY not in f"{args!r} {args} {args.model_dump_json()}"


async def test_a_secret_of_the_environment_is_not_overridden(tmp_path: Path) -> None:
    async with _ground(tmp_path, {**KEY, "OPENAI_API_KEY": CANARY}) as ground:
        for name, args in (("config.secret-set", {"value": "something else"}), ("config.secret-delete", {})):
            with pytest.raises(UseCaseError, match="environment variable OPENAI_API_KEY") as raised:
                await _run(ground, name, args)
            assert CANARY not in str(raised.value)


async def _run(ground: Ground, name: str, args: Mapping[str, object]) -> Mapping[str, Any]:
    case = use_case(name)
    return await case.run(ground, case.read({"name": "OPENAI_API_KEY", **args}), lambda progress: None)


async def test_what_another_process_sealed_meanwhile_is_kept(tmp_path: Path) -> None:
    async with _ground(tmp_path) as ground:
        await _run(ground, "config.secret-set", {"value": "the first of them"})
        Secrets(tmp_path / "data", KEY).vault().set("XAI_API_KEY", "sealed elsewhere")
        await _run(ground, "config.secret-set", {"value": "the second of them"})
        assert {*Secrets(tmp_path / "data", KEY).vault()} == {"OPENAI_API_KEY", "XAI_API_KEY"}


async def test_a_deleted_secret_is_gone_and_the_history_knows(tmp_path: Path) -> None:
    async with _ground(tmp_path) as ground:
        await _run(ground, "config.secret-set", {"value": CANARY})
        told = await _run(ground, "config.secret-delete", {})
        assert not next(row for row in told["secrets"] if row["name"] == "OPENAI_API_KEY")["set"]
        with pytest.raises(UseCaseError, match="is not in"):
            await _run(ground, "config.secret-delete", {})
        rows = (await _do(ground, "config.history"))["changes"]
        assert {(row["action"], row["before"], row["after"]) for row in rows} == {
            ("secret-set", False, True),
            ("secret-delete", True, False),
        }
