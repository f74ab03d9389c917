"""Who came in, how and from where, stands in the audit: a stolen link or password shows there."""

from __future__ import annotations

from tests.web.security.web_world import ORIGIN, PASSWORD, World


async def test_coming_in_by_a_link_and_going_is_in_the_audit(world: World) -> None:
    key = await world.access.issue_link()
    async with world.client(address="127.0.0.9") as client:
        assert (await client.get("/enter", params={"key": key})).status_code == 303
        csrf = (await client.get("/csrf")).text
        assert (await client.post("/logout", headers={"Origin": ORIGIN, "X-CSRF-Token": csrf})).status_code == 303
    began, ended = world.noted
    assert began[:2] == ("web:owner", "access.session-begin")
    assert began[3] == {"by": "link", "address": "127.0.0.9"}
    assert ended == ("web:owner", "access.session-end", began[2], {"everywhere": False, "address": "127.0.0.9"})
    assert key not in str(world.noted)


async def test_coming_in_by_the_password_is_in_the_audit_and_a_wrong_one_is_not(guarded: World) -> None:
    async with guarded.client() as client:
        wrong = await client.post("/login", data={"password": "guess"}, headers={"Origin": ORIGIN})
        assert wrong.status_code == 403
        assert guarded.noted == []
        right = await client.post("/login", data={"password": PASSWORD}, headers={"Origin": ORIGIN})
        assert right.status_code == 303
    assert [entry[1] for entry in guarded.noted] == ["access.session-begin"]
    assert PASSWORD not in str(guarded.noted)


async def test_a_link_that_opens_nothing_leaves_no_line(world: World) -> None:
    async with world.client() as client:
        assert (await client.get("/enter?key=nothing")).status_code == 410
    assert world.noted == []
