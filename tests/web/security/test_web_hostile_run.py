"""What was decided before one run is not carried out in another, which may trade with other money."""

from __future__ import annotations

from tests.web.security.web_world import World

KILL = "/api/v1/kill"


async def test_a_confirmation_is_worthless_once_the_bot_was_started_again(world: World) -> None:
    headers = await world.bearer()
    async with world.client() as client:
        token = (await client.post(KILL, headers=headers)).json()["confirmation"]
        world.running = "20260101-000100-0002"
        assert (await client.post(KILL, headers={**headers, "Confirmation": token})).status_code == 428
    assert world.done == []


async def test_a_page_of_another_run_changes_nothing(world: World) -> None:
    async with world.session() as (client, headers):
        old = {**headers, "X-Run": "20251231-000000-0001"}
        refused = await client.post("/api/v1/orders", headers=old, json={"size": 1})
        assert refused.status_code == 409
        assert refused.json()["run"] == world.running
        assert world.done == []
        done = await client.post("/api/v1/orders", headers={**headers, "X-Run": world.running}, json={"size": 1})
    assert done.status_code == 200


async def test_a_page_made_while_no_bot_is_known_to_run_is_not_locked_out(world: World) -> None:
    world.running = ""
    async with world.session() as (client, headers):
        done = await client.post("/api/v1/orders", headers={**headers, "X-Run": "20251231-000000-0001"}, json={"size": 1})
        assert (await client.get("/", headers={"X-Run": "another"})).status_code == 200
    assert done.status_code == 200
