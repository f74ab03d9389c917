"""The owner can stop trading whatever a page of somebody else's, in the owner's own browser, sends here meanwhile."""

from __future__ import annotations

import pytest

from tests.web.security.web_world import COOKIE, ORIGIN, World

KILL = "/api/v1/kill"
FLOOD = 400


@pytest.mark.parametrize(
    "theirs",
    [
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://127.0.0.1:3000", "Sec-Fetch-Site": "same-site"},
    ],
    ids=["cross-site", "an old browser", "another port of this machine"],
)
async def test_a_flood_from_a_strangers_page_leaves_the_owner_the_kill_switch(world: World, theirs: dict[str, str]) -> None:
    async with world.session() as (owner, headers), world.client() as stranger:
        # A browser sends the cookie along to another port of the same machine.
        if theirs.get("Sec-Fetch-Site") == "same-site":
            stranger.cookies.set(COOKIE, owner.cookies[COOKIE])
        answers = [(await stranger.post(KILL, headers=theirs)).status_code for _ in range(FLOOD)]
        assert answers[-1] == 429
        asked = await owner.post(KILL, headers={**headers, "Sec-Fetch-Site": "same-origin"})
        assert asked.status_code == 428
        done = await owner.post(KILL, headers={**headers, "Confirmation": asked.json()["confirmation"]})
    assert done.status_code == 200
    assert world.done == ["stop"]


async def test_a_key_that_floods_is_put_off_by_itself(world: World) -> None:
    fast, other = await world.bearer(name="fast"), await world.bearer(name="other")
    async with world.client() as client:
        answers = [(await client.post(KILL, headers=fast)).status_code for _ in range(FLOOD)]
        assert answers[-1] == 429
        assert (await client.post(KILL, headers={**other, "Origin": ORIGIN})).status_code == 428
