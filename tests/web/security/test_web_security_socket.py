"""The same rules over a real socket: bodies without end, WebSockets, and a browser's own idea of where a form comes from."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import tracemalloc
from collections.abc import AsyncIterator, Iterator

import pytest
import uvicorn
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from bot.web.security.gate import COOKIE
from bot.web.security.middleware import BODY_LIMIT
from tests.web.security.web_world import PASSWORD, World

SECONDS = 20.0


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def serving(world: World) -> AsyncIterator[int]:
    """The port at which the application is served."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = _Server(uvicorn.Config(world.app, lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=1))
    task = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield int(listening.getsockname()[1])
    finally:
        server.should_exit = True
        await asyncio.wait_for(task, SECONDS)
        listening.close()


async def _answer(reader: asyncio.StreamReader) -> bytes:
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), SECONDS)
    return head.split(b"\r\n")[0]


async def test_a_gigabyte_in_chunks_is_cut_off_and_never_held(world: World) -> None:
    token = (await world.bearer())["Authorization"]
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    async with serving(world) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            f"PUT /api/v1/limits HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: {token}\r\n"
            "Transfer-Encoding: chunked\r\n\r\n".encode()
        )
        tracemalloc.start()
        sent = 0
        while sent <= 2 * BODY_LIMIT:
            writer.write(chunk)
            sent += len(chunk)
        assert b" 413 " in await _answer(reader)
        with contextlib.suppress(ConnectionError):
            while sent < 2**30:
                writer.write(chunk)
                sent += len(chunk)
                await asyncio.wait_for(writer.drain(), SECONDS)
        held = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        writer.close()
    assert sent < 2**26
    assert held < 20 * BODY_LIMIT
    assert world.done == []


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: -5\r\n",
        b"Content-Length: x\r\n",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"X: a\rb\r\n",
        b"Host: evil.example\r\n",
    ],
)
async def test_a_request_that_two_readers_would_read_in_two_ways_is_refused(world: World, head: bytes) -> None:
    token = (await world.bearer())["Authorization"].encode()
    async with serving(world) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"PUT /api/v1/limits HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: " + token + b"\r\n" + head + b"\r\n0\r\n\r\n"
        )
        assert b" 400 " in await _answer(reader)
        writer.close()
    assert world.done == []


async def test_a_websocket_opens_for_a_session_of_our_own_page_and_for_a_token(world: World) -> None:
    made, bearer = await world.access.new_session(), await world.bearer(name="feed")
    async with serving(world) as port:
        url = f"ws://127.0.0.1:{port}/api/v1/ws"
        ours = {"Cookie": f"{COOKIE}_{port}={made.key}", "Origin": f"http://127.0.0.1:{port}"}
        for headers, actor in ((ours, "web:owner"), (bearer, "web:feed")):
            async with connect(url, additional_headers=headers) as opened:
                assert await asyncio.wait_for(opened.recv(), SECONDS) == actor


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", None])
async def test_a_websocket_of_another_site_is_refused(world: World, origin: str | None) -> None:
    made = await world.access.new_session()
    async with serving(world) as port:
        headers = {"Cookie": f"{COOKIE}_{port}={made.key}", **({"Origin": origin} if origin else {})}
        with pytest.raises(InvalidStatus, match="403"):
            await connect(f"ws://127.0.0.1:{port}/api/v1/ws", additional_headers=headers)


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer arb_forged"}, {"Cookie": f"{COOKIE}_PORT=forged"}])
async def test_a_websocket_of_a_stranger_is_refused(world: World, headers: dict[str, str]) -> None:
    async with serving(world) as port:
        headers = {name: value.replace("PORT", str(port)) for name, value in headers.items()}
        with pytest.raises(InvalidStatus, match="403"):
            await connect(f"ws://127.0.0.1:{port}/api/v1/ws", additional_headers=headers)


async def test_a_websocket_under_a_name_that_is_not_ours_is_refused(world: World) -> None:
    bearer = await world.bearer()
    async with serving(world) as port:
        sock = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
        with pytest.raises(InvalidStatus, match="403"):
            await connect(f"ws://evil.example:{port}/api/v1/ws", sock=sock, additional_headers=bearer)


@pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no chromium")
async def test_a_browser_logs_in_without_script(guarded: World) -> None:
    from playwright.async_api import async_playwright

    async with serving(guarded) as port, async_playwright() as play:
        browser = await play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        context = await browser.new_context(java_script_enabled=False)
        page = await context.new_page()
        faults: list[str] = []
        page.on("console", lambda message: faults.append(message.text))
        await page.goto(f"http://127.0.0.1:{port}/")
        assert "/login" in page.url
        await page.fill("#password", "wrong")
        await page.click("button")
        await page.wait_for_selector("text=That is not the password.")
        await page.fill("#password", PASSWORD)
        await page.click("button")
        await page.wait_for_selector("text=hello owner")
        cookies = await context.cookies()
        assert [(each["name"], each["httpOnly"], each["sameSite"]) for each in cookies] == [(f"{COOKIE}_{port}", True, "Strict")]
        assert [fault for fault in faults if "Content Security Policy" in fault] == []
        await browser.close()


@pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no chromium")
async def test_a_link_that_is_followed_from_another_site_leads_in_all_the_same(world: World) -> None:
    from playwright.async_api import async_playwright

    async with serving(world) as port, async_playwright() as play:
        browser = await play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = await (await browser.new_context()).new_page()
        key = await world.access.issue_link()
        for target in (f"/enter?key={key}", "/csrf"):
            await page.goto(f"http://localhost:{port}/login")
            await page.evaluate("address => { location.href = address }", f"http://127.0.0.1:{port}{target}")
            await page.wait_for_url(f"http://127.0.0.1:{port}{'/csrf' if target == '/csrf' else '/'}", timeout=5_000)
        assert len(await page.inner_text("body")) == 64
        await browser.close()
