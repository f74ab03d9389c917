"""Two steps for what can hurt."""

from __future__ import annotations

from decimal import Decimal

import pytest

from bot.web.security.pending import CONFIRM_MS, Pending
from bot.web.security.principal import Scope
from tests.web.security.web_world import ORIGIN, Clock, World, raw

KILL = "/api/v1/kill"


async def test_the_first_request_does_nothing_and_says_what_would_be_done(world: World) -> None:
    async with world.session() as (client, headers):
        asked = await client.post(KILL, headers=headers)
    assert asked.status_code == 428
    assert asked.json()["text"] == "Everything will stop."
    assert asked.json()["expires"] == world.now() + CONFIRM_MS
    assert world.done == []


async def test_a_confirmation_is_good_once(world: World) -> None:
    async with world.session() as (client, headers):
        token = (await client.post(KILL, headers=headers)).json()["confirmation"]
        assert (await client.post(KILL, headers={**headers, "Confirmation": token})).status_code == 200
        assert (await client.post(KILL, headers={**headers, "Confirmation": token})).status_code == 428
    assert world.done == ["stop"]


async def test_a_form_confirms_by_its_field(world: World) -> None:
    async with world.session() as (client, headers):
        fields = {"csrf": headers["X-CSRF-Token"]}
        token = (await client.post(KILL, data=fields, headers={"Origin": ORIGIN})).json()["confirmation"]
        done = await client.post(KILL, data={**fields, "confirmation": token}, headers={"Origin": ORIGIN})
    assert done.status_code == 200


async def test_a_confirmation_is_worthless_for_other_parameters(world: World) -> None:
    async with world.session() as (client, headers):
        token = (await client.post(KILL, headers=headers)).json()["confirmation"]
        refused = await client.post(f"{KILL}?how=flatten", headers={**headers, "Confirmation": token})
        assert refused.status_code == 428
        assert refused.json()["text"] == "Everything will flatten."
        assert world.done == []
        assert (await client.post(KILL, headers={**headers, "Confirmation": token})).status_code == 200


async def test_a_confirmation_is_worthless_for_another_principal(world: World) -> None:
    other = await world.bearer(Scope.TRADE)
    async with world.session() as (client, headers), world.session() as (second, its_headers), world.client() as script:
        token = (await client.post(KILL, headers=headers)).json()["confirmation"]
        assert (await second.post(KILL, headers={**its_headers, "Confirmation": token})).status_code == 428
        assert (await script.post(KILL, headers={**other, "Confirmation": token})).status_code == 428
    assert world.done == []


async def test_a_confirmation_ends_after_a_minute(world: World) -> None:
    async with world.session() as (client, headers):
        token = (await client.post(KILL, headers=headers)).json()["confirmation"]
        world.now.at += CONFIRM_MS
        assert (await client.post(KILL, headers={**headers, "Confirmation": token})).status_code == 428
    assert world.done == []


@pytest.mark.parametrize("forged", ["x", ".", "a.b", "é", "x" * 10_000])
async def test_a_forged_confirmation_confirms_nothing(world: World, forged: str) -> None:
    async with world.session() as (client, headers):
        given = raw({**headers, "Confirmation": forged})
        assert (await client.post(KILL, headers=given)).status_code == 428
    assert world.done == []


def test_another_seal_on_a_known_nonce_confirms_nothing(clock: Clock) -> None:
    pending = Pending(clock)
    token, _ = pending.issue("session:1", "kill", {"a": 1})
    nonce = token.partition(".")[0]
    assert not pending.redeem(f"{nonce}.{'0' * 64}", "session:1", "kill", {"a": 1})
    assert not pending.redeem(nonce, "session:1", "kill", {"a": 1})
    assert pending.redeem(token, "session:1", "kill", {"a": 1})


def test_the_order_of_parameters_does_not_matter_but_their_borders_do(clock: Clock) -> None:
    pending = Pending(clock)
    token, _ = pending.issue("p", "act", {"a": 1, "b": {"x": [1, 2], "y": "z"}})
    assert not pending.redeem(token, "p", "ac", {"t": 1})
    assert not pending.redeem(token, "p", "act", {"a": "1", "b": {"x": [1, 2], "y": "z"}})
    assert pending.redeem(token, "p", "act", {"b": {"y": "z", "x": [1, 2]}, "a": 1})


def test_any_parameters_can_be_confirmed(clock: Clock) -> None:
    pending = Pending(clock)
    params = {"n": 10**40, "d": Decimal("1.50"), "s": "\ud800", "f": float("inf"), "none": None}
    token, _ = pending.issue("p", "act", params)
    assert not pending.redeem(token, "p", "act", {**params, "n": 10**40 + 1})
    assert pending.redeem(token, "p", "act", params)


def test_a_restart_voids_what_was_pending(clock: Clock) -> None:
    token, _ = Pending(clock).issue("p", "kill", {})
    assert not Pending(clock).redeem(token, "p", "kill", {})


def test_pending_confirmations_are_bounded(clock: Clock) -> None:
    pending = Pending(clock)
    tokens = [pending.issue("p", "kill", {})[0] for _ in range(5_000)]
    assert len(pending) <= 1_024
    assert pending.redeem(tokens[-1], "p", "kill", {})
    assert not pending.redeem(tokens[0], "p", "kill", {})
