"""The file of the control room: what opens, for how long, and what is written down."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bot.store.errors import StoreUnavailable
from bot.web.security.errors import AccessError
from bot.web.security.principal import Principal, Scope
from bot.web.security.store import ACCESS_FILE, IDLE_MS, LINK_MS, SESSION_MS, AccessStore
from tests.web.security.web_world import Clock, full

DAY = 86_400_000


async def test_a_link_opens_one_session_and_no_second(access: AccessStore) -> None:
    key = await access.issue_link()
    session = await access.use_link(key)
    assert session is not None
    assert await access.use_link(key) is None
    assert await access.session(session.key) == session.principal
    assert session.principal.scope is Scope.ADMIN


async def test_a_link_is_void_after_its_time(access: AccessStore, clock: Clock) -> None:
    key = await access.issue_link()
    clock.at += LINK_MS
    assert await access.use_link(key) is None


async def test_a_session_ends_after_twelve_idle_hours_but_not_while_it_is_used(access: AccessStore, clock: Clock) -> None:
    session = await access.new_session()
    for _ in range(5):
        clock.at += IDLE_MS - 1
        assert await access.session(session.key) is not None
    clock.at += IDLE_MS
    assert await access.session(session.key) is None


async def test_a_session_ends_after_seven_days_however_much_it_is_used(access: AccessStore, clock: Clock) -> None:
    session = await access.new_session()
    end = clock.at + SESSION_MS
    while clock.at + IDLE_MS // 2 < end:
        clock.at += IDLE_MS // 2
        assert await access.session(session.key) is not None
    clock.at = end
    assert await access.session(session.key) is None


async def test_ending_one_session_leaves_the_others(access: AccessStore) -> None:
    one, other = await access.new_session(), await access.new_session()
    assert await access.end_session(one.key)
    assert not await access.end_session(one.key)
    assert await access.session(one.key) is None
    assert await access.session(other.key) is not None


async def test_ending_all_sessions_voids_the_links_too(access: AccessStore) -> None:
    sessions, link = [await access.new_session() for _ in range(3)], await access.issue_link()
    assert await access.end_all_sessions() == 3
    assert [await access.session(each.key) for each in sessions] == [None] * 3
    assert await access.use_link(link) is None


async def test_all_sessions_but_ones_own_can_be_ended(access: AccessStore) -> None:
    mine, others = await access.new_session(), [await access.new_session() for _ in range(2)]
    assert await access.end_all_sessions(but=mine.principal.id) == 2
    assert await access.session(mine.key) == mine.principal
    assert [await access.session(each.key) for each in others] == [None] * 2


async def test_links_and_sessions_are_bounded_and_the_oldest_give_way(access: AccessStore, clock: Clock) -> None:
    links, sessions = [], []
    for _ in range(120):
        clock.at += 1
        links.append(await access.issue_link())
        sessions.append(await access.new_session())
    assert await access.use_link(links[99]) is None
    assert await access.session(sessions[0].key) is None
    assert await access.use_link(links[119]) is not None
    assert await access.session(sessions[119].key) is not None


async def test_a_token_is_good_until_it_expires(access: AccessStore, clock: Clock) -> None:
    made = await access.new_token("grafana", Scope.READ, clock.at + DAY)
    clock.at += DAY - 1
    assert await access.token(made.value) == Principal("grafana", Scope.READ, "token", made.token.id)
    clock.at += 1
    assert await access.token(made.value) is None
    assert [token.state(clock.at) for token in await access.tokens()] == ["expired"]


async def test_a_revoked_token_is_refused_at_once_by_another_process_too(
    access: AccessStore, clock: Clock, tmp_path: Path
) -> None:
    made = await access.new_token("script", Scope.TRADE, clock.at + DAY)
    beside = await AccessStore.open(tmp_path / "data", clock)
    try:
        assert await beside.revoke("script")
        assert not await beside.revoke("script")
    finally:
        await beside.close()
    assert await access.token(made.value) is None


async def test_a_name_is_free_again_after_revocation_and_the_old_token_stays_dead(access: AccessStore, clock: Clock) -> None:
    old = await access.new_token("script", Scope.TRADE, clock.at + DAY)
    with pytest.raises(AccessError, match="called script already"):
        await access.new_token("script", Scope.READ, clock.at + DAY)
    await access.revoke("script")
    new = await access.new_token("script", Scope.READ, clock.at + DAY)
    assert await access.token(old.value) is None
    assert await access.token(new.value) is not None


@pytest.mark.parametrize("name", ["", "a b", "x" * 49, "-x", "é", "a\n", "a/../b", "<script>"])
async def test_a_token_with_an_unusable_name_is_refused(access: AccessStore, clock: Clock, name: str) -> None:
    with pytest.raises(AccessError, match="name"):
        await access.new_token(name, Scope.READ, clock.at + DAY)


@pytest.mark.parametrize("days", [-1, 0, 401])
async def test_a_token_without_an_end_in_sight_is_refused(access: AccessStore, clock: Clock, days: int) -> None:
    with pytest.raises(AccessError, match="400 days"):
        await access.new_token("x", Scope.READ, clock.at + days * DAY)


async def test_there_are_at_most_a_hundred_live_tokens(access: AccessStore, clock: Clock) -> None:
    for number in range(100):
        await access.new_token(f"t{number}", Scope.READ, clock.at + DAY)
    with pytest.raises(AccessError, match="100 tokens"):
        await access.new_token("one-more", Scope.READ, clock.at + DAY)


@pytest.mark.parametrize("forged", ["", "arb_", "arb_x", "x" * 43, "arb_" + "x" * 43, "é" * 10, "x" * 100_000, "' OR 1=1 --"])
async def test_what_was_never_issued_opens_nothing(access: AccessStore, clock: Clock, forged: str) -> None:
    await access.new_token("real", Scope.ADMIN, clock.at + DAY)
    await access.issue_link()
    await access.new_session()
    assert await access.token(forged) is None
    assert await access.session(forged) is None
    assert await access.use_link(forged) is None


async def test_one_kind_of_key_does_not_pass_for_another(access: AccessStore, clock: Clock) -> None:
    session, link = await access.new_session(), await access.issue_link()
    token = await access.new_token("x", Scope.READ, clock.at + DAY)
    assert await access.token(session.key) is None
    assert await access.session(token.value) is None
    assert await access.session(link) is None
    assert await access.use_link(session.key) is None


async def test_no_key_is_in_the_file_nor_in_a_repr(access: AccessStore, clock: Clock, tmp_path: Path) -> None:
    link, session = await access.issue_link(), await access.new_session()
    token = await access.new_token("x", Scope.READ, clock.at + DAY)
    content = b"".join(file.read_bytes() for file in (tmp_path / "data").iterdir())
    for key in (link, session.key, token.value, token.value.removeprefix("arb_")):
        assert key.encode() not in content
        assert key not in repr(session) + repr(token) + repr(await access.tokens())


async def test_the_file_is_for_its_owner_alone(access: AccessStore, tmp_path: Path) -> None:
    await access.issue_link()
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "data" / ACCESS_FILE).stat().st_mode) == 0o600


async def test_a_file_that_others_could_read_is_closed_to_them(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / ACCESS_FILE
    path.touch(0o644)
    await (await AccessStore.open(tmp_path, clock)).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_file_of_a_newer_bot_is_refused(access: AccessStore, clock: Clock, tmp_path: Path) -> None:
    await access.close()
    with sqlite3.connect(tmp_path / "data" / ACCESS_FILE) as file:
        file.execute("INSERT INTO web_schema VALUES (99)")
    file.close()
    with pytest.raises(StoreUnavailable, match="newer bot"):
        await AccessStore.open(tmp_path / "data", clock)


async def test_use_is_noted_but_not_with_every_request(access: AccessStore, clock: Clock) -> None:
    made = await access.new_token("x", Scope.READ, clock.at + DAY)
    first = clock.at
    await access.token(made.value)
    clock.at += 59_999
    await access.token(made.value)
    assert (await access.tokens())[0].used == first
    clock.at += 1
    await access.token(made.value)
    assert (await access.tokens())[0].used == clock.at


def test_an_actor_is_printable_and_short() -> None:
    actor = Principal("a\r\nSet-Cookie: x\x00" + "y" * 100, Scope.READ, "token", "1").actor
    assert actor.startswith("web:a??Set-Cookie: x?y")
    assert actor.isprintable()
    assert len(actor) == 64


async def test_a_full_disk_closes_no_door(access: AccessStore, clock: Clock, tmp_path: Path) -> None:
    session, token = await access.new_session(), await access.new_token("x", Scope.READ, clock.at + DAY)
    clock.at += 120_000
    with full(tmp_path / "data" / ACCESS_FILE, "web_sessions", "web_tokens"), capture_logs() as logs:
        for _ in range(3):
            assert await access.session(session.key) is not None
            assert await access.token(token.value) is not None
    assert [entry["event"] for entry in logs] == ["use_not_noted"]
    clock.at += 60_000
    await access.token(token.value)
    assert (await access.tokens())[0].used == clock.at
