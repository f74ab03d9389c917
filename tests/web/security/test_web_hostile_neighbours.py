"""Another program of this machine has another port and the same site: the browser gives its pages our cookie."""

from __future__ import annotations

import pytest

from bot.web.api import exports
from tests.web.security.web_world import World


@pytest.mark.parametrize("site", ["same-site", "cross-site", "Same-Site"])
async def test_what_a_neighbours_page_asks_is_not_asked_by_the_owner(world: World, site: str) -> None:
    async with world.session() as (client, _):
        assert (await client.get("/api/v1/me", headers={"Sec-Fetch-Site": site})).status_code == 401
        assert (await client.get("/ui/tiles", headers={"Sec-Fetch-Site": site})).status_code == 401
        for ours in ("same-origin", "none"):
            assert (await client.get("/api/v1/me", headers={"Sec-Fetch-Site": ours})).status_code == 200


async def test_a_link_on_a_neighbours_page_still_leads_the_owner_in(world: World) -> None:
    theirs = {"Sec-Fetch-Site": "same-site", "Accept": "text/html"}
    async with world.session() as (client, _):
        sent_on = await client.get("/?span=day", headers=theirs)
        assert sent_on.status_code == 303
        between = await client.get(sent_on.headers["location"], headers=theirs)
        assert between.status_code == 200
        ours = {"Sec-Fetch-Site": "same-origin", "Accept": "text/html"}
        home = await client.get(sent_on.headers["location"], headers=ours)
        assert home.headers["location"] == "/?span=day"


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff20"])
def test_no_exported_text_begins_like_a_formula(sign: str) -> None:
    assert exports._lines([[exports._cell(f"{sign}HYPERLINK(1)")]]).lstrip('"').startswith("'")
