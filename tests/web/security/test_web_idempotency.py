"""A change that is sent twice is made once."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import structlog.testing

from bot.web.problems import Problem
from bot.web.security.once import KEPT_MS, RESUMED_MS, Begun, Done
from bot.web.security.principal import Scope
from bot.web.security.store import ACCESS_FILE, AccessStore
from tests.web.security.web_world import Clock, World, full, raw

ORDERS = "/api/v1/orders"


async def test_the_same_request_under_the_same_key_is_done_once_and_answered_twice(world: World) -> None:
    headers = {**await world.bearer(), "Idempotency-Key": "order 1"}
    async with world.client() as client:
        first = await client.post(ORDERS, json={"size": 1}, headers=headers)
        second = await client.post(ORDERS, json={"size": 1}, headers=headers)
    assert first.status_code == second.status_code == 200
    assert first.content == second.content
    assert second.headers["content-type"] == first.headers["content-type"]
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert len(world.done) == 1


@pytest.mark.parametrize("change", ["body", "path", "query", "method"])
async def test_another_request_under_the_same_key_is_refused(world: World, change: str) -> None:
    headers = {**await world.bearer(), "Idempotency-Key": "k"}
    method, path, size = "POST", ORDERS, 1
    async with world.client() as client:
        await client.post(ORDERS, json={"size": 1}, headers=headers)
        if change == "body":
            size = 2
        elif change == "method":
            method, path = "PUT", "/api/v1/limits"
        else:
            path = "/api/v1/form" if change == "path" else f"{ORDERS}?x=1"
        answer = await client.request(method, path, json={"size": size}, headers=headers)
    assert answer.status_code == 422
    assert len(world.done) == 1


async def test_keys_of_different_principals_do_not_meet(world: World) -> None:
    one, other = await world.bearer(name="one"), await world.bearer(name="other")
    async with world.client() as client:
        for headers in (one, other):
            answer = await client.post(ORDERS, json={"size": 1}, headers={**headers, "Idempotency-Key": "k"})
            assert "idempotency-replayed" not in answer.headers
    assert world.done == ["web:one", "web:other"]


async def test_a_stranger_sees_nothing_of_what_was_recorded(world: World) -> None:
    headers = {**await world.bearer(), "Idempotency-Key": "k"}
    async with world.client() as client:
        await client.post(ORDERS, json={"size": 1}, headers=headers)
        await world.access.revoke("script")
        assert (await client.post(ORDERS, json={"size": 1}, headers=headers)).status_code == 401


@pytest.mark.parametrize("key", ["", "x" * 129, "a\tb", "é", "a\x7fb"])
async def test_a_key_that_is_none_is_refused(world: World, key: str) -> None:
    headers = raw({**await world.bearer(), "Idempotency-Key": key})
    async with world.client() as client:
        answer = await client.post(ORDERS, json={"size": 1}, headers=headers)
    assert answer.status_code == 400
    assert world.done == []


async def test_without_a_key_every_request_counts(world: World) -> None:
    headers = await world.bearer()
    async with world.client() as client:
        for _ in range(2):
            await client.post(ORDERS, json={"size": 1}, headers=headers)
    assert len(world.done) == 2


@pytest.mark.parametrize("status", [404, 409, 422, 429, 503])
async def test_what_was_refused_leaves_the_key_free(world: World, status: int) -> None:
    headers = {**await world.bearer(), "Idempotency-Key": "k"}
    async with world.client() as client:
        for _ in range(2):
            answer = await client.post(f"/api/v1/breaks?status={status}", headers=headers)
            assert answer.status_code == status
            assert "idempotency-replayed" not in answer.headers
    assert len(world.done) == 2


async def test_what_is_not_permitted_or_not_valid_leaves_the_key_free(world: World) -> None:
    reader, trader = await world.bearer(Scope.READ, "reader"), await world.bearer(Scope.TRADE, "trader")
    async with world.client() as client:
        assert (await client.post(ORDERS, json={"size": 1}, headers={**reader, "Idempotency-Key": "k"})).status_code == 403
        assert (await client.post(ORDERS, json={"size": "x"}, headers={**trader, "Idempotency-Key": "k"})).status_code == 422
        assert (await client.post(ORDERS, content=b"{", headers={**trader, "Idempotency-Key": "k"})).status_code == 422
        assert (await client.post(ORDERS, json={"size": 1}, headers={**trader, "Idempotency-Key": "k"})).status_code == 200


@pytest.mark.parametrize("status", [500, 502, 504])
async def test_what_broke_in_the_middle_is_not_done_again(world: World, status: int) -> None:
    headers = {**await world.bearer(), "Idempotency-Key": "k"}
    with structlog.testing.capture_logs():
        async with world.client() as client:
            first = await client.post(f"/api/v1/breaks?status={status}", headers=headers)
            second = await client.post(f"/api/v1/breaks?status={status}", headers=headers)
    assert first.status_code == second.status_code == status
    assert second.headers["idempotency-replayed"] == "true"
    assert len(world.done) == 1


async def test_a_lost_answer_is_asked_for_again_under_the_same_nonce_while_the_same_run_knows_it(world: World) -> None:
    headers = {**await world.bearer(), "Idempotency-Key": "k"}
    world.answers = [Problem(status, "lost", unknown=True) for status in (503, 409)]
    async with world.client() as client:
        lost = [await client.post("/api/v1/doubts", headers=headers) for _ in range(2)]
        world.now.at += RESUMED_MS - 1
        found, told = [await client.post("/api/v1/doubts", headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in lost] == [503, 409]
    assert all(answer.json()["unknown"] for answer in lost)
    assert (found.json(), told.json()) == ({"number": 3}, {"number": 3})
    assert told.headers["idempotency-replayed"] == "true"
    assert len(world.done) == 3
    assert len(set(world.done)) == 1


@pytest.mark.parametrize("change", ["restart", "time", "no bot"])
async def test_what_nobody_knows_is_not_done_again_under_its_key(world: World, change: str) -> None:
    headers = {**await world.bearer(), "Idempotency-Key": "k"}
    world.answers = [Problem(503, "lost", unknown=True)]
    if change == "no bot":
        world.running = ""
    async with world.client() as client:
        await client.post("/api/v1/doubts", headers=headers)
        if change == "time":
            world.now.at += RESUMED_MS
        elif change == "restart":
            world.running = "another-run"
        answers = [await client.post("/api/v1/doubts", headers=headers) for _ in range(2)]
        fresh = await client.post("/api/v1/doubts", headers={**headers, "Idempotency-Key": "another"})
    assert [(answer.status_code, answer.json()["title"]) for answer in answers] == [(409, "Nobody knows")] * 2
    assert fresh.status_code == 200
    assert len(world.done) == 2


async def test_a_refusal_of_the_second_try_tells_nothing_of_the_first_and_frees_no_key(world: World) -> None:
    headers = {**await world.bearer(), "Idempotency-Key": "k"}
    world.answers = [Problem(503, "lost", unknown=True), Problem(503, "no bot is running")]
    async with world.client() as client:
        for _ in range(2):
            await client.post("/api/v1/doubts", headers=headers)
        world.running = "another-run"
        assert (await client.post("/api/v1/doubts", headers=headers)).status_code == 409
    assert len(world.done) == 2


async def test_a_key_in_doubt_is_taken_up_once_and_for_its_own_run_alone(world: World) -> None:
    assert await world.access.once.begin("p", "k", "r", "run-1") is Begun.NEW
    await world.access.once.doubt("p", "k", "run-1")
    assert await world.access.once.begin("p", "k", "r", "run-2") is Begun.UNKNOWN
    assert await world.access.once.begin("p", "k", "r", "") is Begun.UNKNOWN
    assert await world.access.once.begin("p", "k", "r", "run-1") is Begun.AGAIN
    assert await world.access.once.begin("p", "k", "r", "run-1") is Begun.RUNNING


async def test_a_full_disk_stops_no_halt_and_lets_nothing_else_be_done_twice(world: World, tmp_path: Path) -> None:
    headers = {**await world.bearer(), "Idempotency-Key": "k"}
    async with world.client() as client:
        with full(tmp_path / "data" / ACCESS_FILE, "web_once"), structlog.testing.capture_logs() as logs:
            halted = [await client.post("/api/v1/halt", headers=headers) for _ in range(2)]
            refused = await client.post(ORDERS, json={"size": 1}, headers=headers)
        done = await client.post(ORDERS, json={"size": 1}, headers=headers)
    assert [answer.status_code for answer in halted] == [200, 200]
    assert halted[0].json() == halted[1].json()
    assert (refused.status_code, refused.json()["title"]) == (503, "Nothing was done")
    assert done.status_code == 200
    assert len(world.done) == 3
    assert [entry["event"] for entry in logs] == ["done_unrecorded"] * 2


async def test_a_locked_file_delays_a_halt_by_no_more_than_moments(world: World, tmp_path: Path) -> None:
    headers = {**await world.bearer(), "Idempotency-Key": "k"}
    with closing(sqlite3.connect(tmp_path / "data" / ACCESS_FILE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with structlog.testing.capture_logs() as logs:
            async with asyncio.timeout(4), world.client() as client:
                halted = await client.post("/api/v1/halt", headers=headers)
        other.execute("ROLLBACK")
    assert halted.status_code == 200
    assert len(world.done) == 1
    # Given up after a moment: the file's own patience would have ended with a reason of its own.
    assert {entry["reason"] for entry in logs if entry["event"] == "done_unrecorded"} == {"the file is locked"}


@pytest.mark.parametrize("path", [ORDERS, "/api/v1/breaks?status=404"])
async def test_an_answer_that_cannot_be_kept_is_given_and_nothing_is_done_twice(world: World, tmp_path: Path, path: str) -> None:
    headers = {**await world.bearer(), "Idempotency-Key": "k"}
    file = tmp_path / "data" / ACCESS_FILE
    with full(file, "web_once", changes=("UPDATE", "DELETE")), structlog.testing.capture_logs() as logs:
        async with world.client() as client:
            first, again = [await client.post(path, json={"size": 1}, headers=headers) for _ in range(2)]
    assert first.status_code == (404 if "404" in path else 200)
    assert (again.status_code, again.json()["title"]) == (409, "Nobody knows")
    assert len(world.done) == 1
    assert [entry["event"] for entry in logs] == ["outcome_not_kept"]


async def test_a_confirmation_may_follow_under_the_same_key(world: World) -> None:
    async with world.session() as (client, headers):
        headers["Idempotency-Key"] = "kill it"
        token = (await client.post("/api/v1/kill", headers=headers)).json()["confirmation"]
        confirmed = {**headers, "Confirmation": token}
        assert [(await client.post("/api/v1/kill", headers=confirmed)).status_code for _ in range(2)] == [200, 200]
    assert world.done == ["stop"]


async def test_a_stream_is_done_once_though_it_cannot_be_told_again(world: World) -> None:
    headers = {**await world.bearer(), "Idempotency-Key": "k"}
    async with world.client() as client:
        assert (await client.post("/api/v1/streams", headers=headers)).text == "a part"
        again = await client.post("/api/v1/streams", headers=headers)
    assert again.status_code == 409
    assert again.json()["done"] == 200
    assert len(world.done) == 1


async def test_many_at_once_under_one_key_do_it_once(world: World) -> None:
    headers = {**await world.bearer(), "Idempotency-Key": "k"}
    async with world.client() as client:
        answers = await asyncio.gather(*(client.post(ORDERS, json={"size": 1}, headers=headers) for _ in range(20)))
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert len(world.done) == 1


async def test_the_bot_is_asked_under_the_same_nonce_for_the_same_key(world: World) -> None:
    headers = await world.bearer()
    async with world.client() as client:
        one = await client.post(ORDERS, json={"size": 1}, headers={**headers, "Idempotency-Key": "a"})
        other = await client.post(ORDERS, json={"size": 1}, headers={**headers, "Idempotency-Key": "b"})
        none = await client.post(ORDERS, json={"size": 1}, headers=headers)
    assert one.json()["nonce"] != other.json()["nonce"]
    assert len(one.json()["nonce"]) == 64
    assert none.json()["nonce"] is None


async def test_a_record_is_forgotten_after_a_day(access: AccessStore, clock: Clock) -> None:
    once = access.once
    assert await once.begin("p", "k", "r") is Begun.NEW
    await once.finish("p", "k", Done(200, {}, b"x"))
    clock.at += KEPT_MS - 1
    assert isinstance(await once.begin("p", "k", "r"), Done)
    clock.at += 1
    assert await once.begin("p", "k", "r") is Begun.NEW


async def test_a_crash_in_the_middle_leaves_a_key_that_nobody_repeats_by_mistake(
    access: AccessStore, clock: Clock, tmp_path: Path
) -> None:
    assert await access.once.begin("p", "k", "r") is Begun.NEW
    assert await access.once.begin("p", "k", "r") is Begun.RUNNING
    after = await AccessStore.open(tmp_path / "data", clock)
    try:
        assert await after.once.begin("p", "k", "r") is Begun.UNKNOWN
    finally:
        await after.close()


async def test_a_record_outlives_a_restart(access: AccessStore, clock: Clock, tmp_path: Path) -> None:
    await access.once.begin("p", "k", "r")
    await access.once.finish("p", "k", Done(201, {"location": "/x"}, b"made"))
    after = await AccessStore.open(tmp_path / "data", clock)
    try:
        assert await after.once.begin("p", "k", "r") == Done(201, {"location": "/x"}, b"made")
    finally:
        await after.close()


async def test_the_api_document_tells_of_the_key_once(world: World) -> None:
    operation = world.app.openapi()["paths"][ORDERS]["post"]
    assert [each["name"] for each in operation["parameters"]] == ["Idempotency-Key"]
    assert "parameters" not in world.app.openapi()["paths"]["/api/v1/me"]["get"]
