"""The one-time link, the password, and the way out."""

from __future__ import annotations

import time
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx2
import pytest
import structlog.testing
from hypothesis import given
from hypothesis import strategies as st

from bot.secrets import Secrets
from bot.web.security.pages import local
from bot.web.security.store import LINK_MS, AccessStore, NewSession
from tests.web.security.web_world import COOKIE, HOST, ORIGIN, PASSWORD, Clock, World, make_world

FROM_HERE = {"Origin": ORIGIN}


async def test_a_link_leads_in_with_a_cookie_that_no_script_and_no_other_site_can_use(world: World) -> None:
    key = await world.access.issue_link()
    async with world.client() as client:
        answer = await client.get(f"/enter?key={key}")
        assert answer.status_code == 303
        assert answer.headers["location"] == "/"
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith(f"{COOKIE}=")
        for rule in ("HttpOnly", "SameSite=strict", "Path=/", "Max-Age=604800"):
            assert rule in cookie
        assert "Secure" not in cookie
        assert (await client.get("/")).text == "hello owner"


async def test_over_https_the_cookie_never_travels_in_the_clear(world: World) -> None:
    key = await world.access.issue_link()
    transport = httpx2.ASGITransport(app=world.app)
    async with httpx2.AsyncClient(transport=transport, base_url=f"https://{HOST}") as client:
        assert "Secure" in (await client.get(f"/enter?key={key}")).headers["set-cookie"]


async def test_a_used_or_expired_or_forged_link_says_how_to_get_another(world: World) -> None:
    used, expired = await world.access.issue_link(), await world.access.issue_link()
    async with world.client() as client:
        await client.get(f"/enter?key={used}")
    world.now.at += LINK_MS
    async with world.client() as client:
        for key in (used, expired, "forged", "", "<script>", "x" * 5_000):
            answer = await client.get("/enter", params={"key": key})
            assert answer.status_code == 410
            assert "python -m bot web-link" in answer.text
            assert "set-cookie" not in answer.headers
            assert "<script" not in answer.text


async def test_looking_at_a_link_without_following_it_leaves_it_good(world: World) -> None:
    key = await world.access.issue_link()
    async with world.client() as client:
        assert (await client.head(f"/enter?key={key}")).status_code == 405
        assert (await client.get(f"/enter?key={key}")).status_code == 303


async def test_a_session_is_not_taken_away_by_an_old_link(world: World) -> None:
    async with world.session() as (client, _):
        answer = await client.get("/enter?key=old")
        assert answer.status_code == 303
        assert "set-cookie" not in answer.headers


async def test_guessing_links_is_put_off_but_a_right_one_still_opens(world: World) -> None:
    key = await world.access.issue_link()
    async with world.client() as client:
        seen = [(await client.get(f"/enter?key={number}")).status_code for number in range(40)]
        assert seen[:20] == [410] * 20
        assert seen[-1] == 429
        assert (await client.get(f"/enter?key={key}")).status_code == 303


async def test_without_a_password_the_login_page_tells_of_the_link_and_takes_nothing(world: World) -> None:
    async with world.client() as client:
        page = await client.get("/login")
        assert "web-link" in page.text
        assert "<form" not in page.text
        assert (await client.post("/login", data={"password": ""}, headers=FROM_HERE)).status_code == 404


async def test_the_password_leads_in_and_on_to_where_one_wanted_to_go(guarded: World) -> None:
    async with guarded.client() as client:
        assert 'type="password"' in (await client.get("/login?next=/risk")).text
        answer = await client.post("/login", data={"password": PASSWORD, "next": "/risk?x=1"}, headers=FROM_HERE)
        assert answer.status_code == 303
        assert answer.headers["location"] == "/risk?x=1"
        assert (await client.get("/")).status_code == 200


@pytest.mark.parametrize("wrong", ["", "x", PASSWORD.upper(), f"{PASSWORD} ", f"{PASSWORD}\0", "é" * 1_000, "' OR 1=1 --"])
async def test_a_wrong_password_does_not(guarded: World, wrong: str) -> None:
    async with guarded.client() as client:
        answer = await client.post("/login", data={"password": wrong}, headers=FROM_HERE)
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers
        assert PASSWORD not in answer.text


@pytest.mark.parametrize(
    "headers", [{}, {"Origin": "http://evil.example"}, {"Origin": "null"}, {**FROM_HERE, "Sec-Fetch-Site": "cross-site"}]
)
async def test_nobody_is_logged_in_by_another_site(guarded: World, headers: dict[str, str]) -> None:
    async with guarded.client() as client:
        answer = await client.post("/login", data={"password": PASSWORD}, headers=headers)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


async def test_a_thousand_logins_stay_cheap_and_guess_next_to_nothing(guarded: World) -> None:
    began = time.perf_counter()
    async with guarded.client() as client:
        seen = []
        for number in range(1_000):
            guarded.now.at += 10
            seen.append((await client.post("/login", data={"password": str(number)}, headers=FROM_HERE)).status_code)
    assert set(seen) == {403, 429}
    assert seen.count(403) <= 10
    assert time.perf_counter() - began < 20


async def test_a_thousand_addresses_together_guess_no_faster_than_the_limit_of_all(guarded: World) -> None:
    tried = 0
    for number in range(300):
        guarded.now.at += 10
        async with guarded.client(f"10.0.{number // 250}.{number % 250}") as client:
            tried += (await client.post("/login", data={"password": "x"}, headers=FROM_HERE)).status_code == 403
    assert tried <= 20 + 5 * 3 + 1


async def test_locked_out_even_the_right_password_waits_and_a_session_works_on(guarded: World) -> None:
    async with guarded.session() as (inside, _), guarded.client() as client:
        for _ in range(10):
            locked = await client.post("/login", data={"password": "x"}, headers=FROM_HERE)
        assert locked.status_code == 429
        assert "again in" in locked.text
        assert (await client.post("/login", data={"password": PASSWORD}, headers=FROM_HERE)).status_code == 429
        assert (await inside.get("/")).status_code == 200
        guarded.now.at += 1_000 * int(locked.headers["retry-after"])
        assert (await client.post("/login", data={"password": PASSWORD}, headers=FROM_HERE)).status_code == 303


async def test_a_password_of_any_characters_can_be_compared(tmp_path: Path, access: AccessStore, clock: Clock) -> None:
    world = make_world(tmp_path, access, clock, environ={"WEB_PASSWORD": "pässwörd \udcff"})
    async with world.client() as client:
        assert (await client.post("/login", data={"password": "x"}, headers=FROM_HERE)).status_code == 403


async def test_secrets_that_cannot_be_opened_are_said_so_and_let_nobody_in(
    tmp_path: Path, access: AccessStore, clock: Clock
) -> None:
    world = make_world(tmp_path, access, clock)
    (tmp_path / "data" / "secrets.json").write_text("{")
    async with world.client() as client:
        assert (await client.post("/login", data={"password": "x"}, headers=FROM_HERE)).status_code == 503


async def test_a_password_that_was_changed_or_removed_opens_no_door(tmp_path: Path, access: AccessStore, clock: Clock) -> None:
    environ = {"ARBITER_KEY_FILE": str(tmp_path / "key")}
    world = make_world(tmp_path, access, clock, environ=environ)
    outside = Secrets(tmp_path / "data", environ)
    async with world.client() as client:

        async def tried(password: str) -> int:
            return (await client.post("/login", data={"password": password}, headers=FROM_HERE)).status_code

        outside.vault().set("WEB_PASSWORD", "the password of before")
        assert await tried("the password of before") == 303
        outside.vault().set("WEB_PASSWORD", "the password of now")
        assert [await tried(f"the password of {when}") for when in ("before", "now")] == [403, 303]
        outside.vault().remove("WEB_PASSWORD")
        assert await tried("the password of now") == 404


async def test_a_password_that_changes_while_somebody_logs_in_by_it_opens_no_door(
    tmp_path: Path, access: AccessStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = {"ARBITER_KEY_FILE": str(tmp_path / "key")}
    world = make_world(tmp_path, access, clock, environ=environ)
    outside, begin = Secrets(tmp_path / "data", environ), access.new_session
    outside.vault().set("WEB_PASSWORD", "the password of before")

    async def meanwhile() -> NewSession:
        outside.vault().set("WEB_PASSWORD", "the password of now")
        await access.end_all_sessions()
        return await begin()

    async with world.client() as client:
        monkeypatch.setattr(access, "new_session", meanwhile)
        late = await client.post("/login", data={"password": "the password of before"}, headers=FROM_HERE)
    assert (late.status_code, "set-cookie" in late.headers) == (403, False)
    assert await access.end_all_sessions() == 0


async def test_a_password_that_others_could_guess_opens_no_door_that_they_can_reach(
    tmp_path: Path, access: AccessStore, clock: Clock
) -> None:
    for host, status in (("127.0.0.1", 303), ("0.0.0.0", 404)):
        world = make_world(tmp_path, access, clock, host=host, environ={"WEB_PASSWORD": "short"})
        async with world.client() as client:
            assert (await client.post("/login", data={"password": "short"}, headers=FROM_HERE)).status_code == status


async def test_two_control_rooms_of_one_machine_keep_one_browser_logged_in(world: World) -> None:
    one, other = (f"http://127.0.0.1:{port}" for port in (8080, 8081))
    async with world.client() as browser:
        for url in (one, other):
            await browser.get(f"{url}/enter?key={await world.access.issue_link()}")
        assert sorted(browser.cookies) == ["arbiter_session_8080", "arbiter_session_8081"]
        assert [(await browser.get(url)).text for url in (one, other)] == ["hello owner"] * 2
        csrf = (await browser.get(f"{other}/csrf")).text
        await browser.post(f"{other}/logout", data={"csrf": csrf}, headers={"Origin": other})
        assert (await browser.get(one)).text == "hello owner"
        assert (await browser.get(other)).status_code == 401


async def test_who_logs_out_is_out(world: World) -> None:
    made = await world.access.new_session()
    async with world.client(cookies={COOKIE: made.key}) as client:
        assert (await client.post("/logout", headers=FROM_HERE)).status_code == 403
        csrf = (await client.get("/csrf")).text
        answer = await client.post("/logout", data={"csrf": csrf}, headers=FROM_HERE)
        assert answer.status_code == 303
        assert "Max-Age=0" in answer.headers["set-cookie"]
    assert await world.access.session(made.key) is None


async def test_one_may_log_out_everywhere(world: World) -> None:
    elsewhere = await world.access.new_session()
    async with world.session() as (client, headers):
        await client.post("/logout", data={"csrf": headers["X-CSRF-Token"], "everywhere": "1"}, headers=FROM_HERE)
    assert await world.access.session(elsewhere.key) is None


@pytest.mark.parametrize("target", ["/", "/risk", "/decisions?symbol=BTC/USDT&x=%2F", "/a:b", "/risk#kill"])
def test_one_goes_on_to_our_own_pages(target: str) -> None:
    assert local(target) == target


@pytest.mark.parametrize(
    "target",
    [
        "http://evil.example/",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "javascript:alert(1)",
        "evil.example",
        "",
        "/\r\nSet-Cookie: a=b",
        "/\t/evil.example",
        "/" + "x" * 5_000,
        "http:///evil.example",
        "/x\u2028y",
    ],
)
def test_one_does_not_go_on_to_anybody_elses(target: str) -> None:
    assert local(target) == "/"


@given(target=st.text(st.sampled_from("/\\\\:@.?#%ae \t\r\nhtp") | st.characters(), max_size=40))
def test_whatever_is_asked_for_one_stays_here(target: str) -> None:
    onward = local(f"/{target}")
    assert onward.startswith("/")
    assert urlsplit(urljoin(f"{ORIGIN}/login", onward)).netloc == HOST
    assert onward.isprintable()


async def test_a_link_on_another_site_leads_over_a_page_of_ours_that_never_leads_back(world: World) -> None:
    key = await world.access.issue_link()
    async with world.client() as client:
        asked = await client.get("/login?next=/risk", headers={"Sec-Fetch-Site": "cross-site"})
        assert 'content="0; url=/login?next=%2Frisk"' in asked.text
        assert "refresh" not in (await client.get("/login?next=/risk", headers={"Sec-Fetch-Site": "same-origin"})).text
        entered = await client.get(f"/enter?key={key}", headers={"Sec-Fetch-Site": "cross-site"})
        assert entered.status_code == 200
        assert 'content="0; url=/"' in entered.text
        assert (await client.get("/")).text == "hello owner"


async def test_no_header_is_smuggled_in_by_where_one_wants_to_go(guarded: World) -> None:
    async with guarded.client() as client:
        answer = await client.post("/login", data={"password": PASSWORD, "next": "/x\r\nSet-Cookie: evil=1"}, headers=FROM_HERE)
    assert answer.headers["location"] == "/"
    assert len(answer.headers.get_list("set-cookie")) == 1


async def test_what_is_asked_for_is_shown_escaped(guarded: World) -> None:
    async with guarded.client() as client:
        page = await client.get("/login", params={"next": '/"><script>alert(1)</script>'})
    assert "<script" not in page.text
    assert "&lt;script&gt;" in page.text


async def test_neither_password_nor_keys_are_logged(guarded: World) -> None:
    link = await guarded.access.issue_link()
    with structlog.testing.capture_logs() as logs:
        async with guarded.client() as client:
            await client.post("/login", data={"password": f"{PASSWORD}x"}, headers=FROM_HERE)
            await client.post("/login", data={"password": PASSWORD}, headers=FROM_HERE)
            cookie = client.cookies[COOKIE]
            await client.get(f"/enter?key={link}")
    assert {entry["event"] for entry in logs} == {"login_refused", "session_began"}
    for secret in (PASSWORD, cookie, link):
        assert secret not in repr(logs)
