"""Talking: streamed, bounded, paid for, from the thread's own history, and never more than words."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from decimal import Decimal
from pathlib import Path

import pytest
import structlog.testing

from bot.core.market import MarketView, Quote
from bot.runtime.jobs import Progress
from bot.services.chat.desk import desk_of
from bot.services.chat.readings import READERS
from bot.services.chat.store import chats_of
from bot.services.chat.talking import MOST_ROUNDS, Answer, Assistant, Looking
from bot.services.chat.tools import LARGEST_RESULT
from bot.services.chat.use_cases import TOLD_AT_ONCE
from bot.services.llm.access import minds_of
from bot.services.market_look import StillPort, fresh_books
from bot.services.running import HELD as RUNNING
from bot.services.running import Running
from bot.services.use_case import Ground, UseCaseError, use_case
from simulators.llm.server import LlmSimulator
from sources.llm.costs import By
from tests.services.asking_ground import MODELS, Clock, Told, asking, do
from tests.services.chat_world import KEY, breaks, calls, hangs, recorded, results, says, scripted
from tests.sources.llm.llm_service import says as whole
from tests.sources.source_factories import candles, wave


@pytest.fixture
async def simulator() -> AsyncIterator[LlmSimulator]:
    async with LlmSimulator() as running:
        yield running


async def assistant_of(ground: Ground) -> Assistant:
    return Assistant(ground, await minds_of(ground), await chats_of(ground), desk_of(ground))


@pytest.mark.parametrize("provider", list(MODELS))
async def test_every_provider_streams_an_answer_that_was_looked_up(
    simulator: LlmSimulator, tmp_path: Path, provider: str
) -> None:
    await recorded(tmp_path)
    async with asking(simulator.root, simulator.key, tmp_path, provider) as ground:
        assistant = await assistant_of(ground)
        session = await assistant.store.begin(ground.now(), "")
        pieces: list[str] = []
        looked: list[str] = []
        answer: Answer | None = None
        async with aclosing(assistant.ask(session, "What are my positions?")) as items:
            async for item in items:
                if isinstance(item, str):
                    pieces.append(item)
                elif isinstance(item, Looking):
                    looked += item.tools
                else:
                    answer = item
        assert answer is not None
        assert len(pieces) > 2
        assert "".join(pieces).strip() == answer.line.text
        assert looked == ["positions"]
        assert answer.line.model == f"{provider}/{MODELS[provider]}"
        assert answer.line.cost == answer.spent > 0
        by_role = await assistant.minds.costs.by(By.ROLE, 0, 2**62)
        assert [(line.key, line.usd) for line in by_role] == [("chat", answer.spent)]


async def test_an_answer_is_told_as_progress_with_every_word(tmp_path: Path) -> None:
    long = ["word " * 30] * 40
    async with scripted(tmp_path, [says(*long)]) as (ground, _, _):
        told = Told()
        found = await do(ground, "chat.ask", told, question="Tell me a lot")
        text = "".join(long)
        assert found["message"]["text"] == text.strip()
        assert told.all[-1].done == len(text)
        shown = ""
        for progress in told.all:
            assert len(progress.note) <= TOLD_AT_ONCE
            shown += new_part(progress, len(shown))
        assert shown == text


def new_part(progress: Progress, shown: int) -> str:
    missing = int(progress.done) - shown
    return progress.note[-missing:] if missing else ""


async def test_it_looks_things_up_at_most_six_rounds(tmp_path: Path) -> None:
    await recorded(tmp_path)
    async with scripted(tmp_path, [calls(("positions", {"symbol": "all"}), words="Let me see.")]) as (ground, service, _):
        found = await do(ground, "chat.ask", question="Look for ever")
        assert len(service.heard) == MOST_ROUNDS + 1
        assert "6 rounds" in found["message"]["fault"]
        assert len(found["message"]["tools"]) == MOST_ROUNDS
        assert Decimal(found["message"]["cost"]) == Decimal(found["spent"]) > 0


async def test_every_tool_gives_one_bounded_json_object(tmp_path: Path) -> None:
    await recorded(tmp_path, reasoning="x" * 50_000)
    names = [name for name in READERS if name != "analysis"]
    every = {"symbol": "all", "source": "all", "limit": 30, "days": 30, "by": "day"}
    asked = [calls(*[(name, every) for name in names[:4]]), calls(*[(name, every) for name in names[4:]]), says("That is it.")]
    async with scripted(tmp_path, asked) as (ground, service, _):
        found = await do(ground, "chat.ask", question="Everything")
        assert [each["ok"] for each in found["message"]["tools"]] == [True] * 8
        answers = dict(zip(names, map(json.loads, results(service)), strict=True))
        assert all(len(text) <= LARGEST_RESULT for text in results(service))
        assert answers["positions"]["rows"][0]["amount"] == "2"
        assert answers["positions"]["book"]["equity"] == 10_020.0
        assert len(answers["decisions"]["rows"][0]["untrusted_reasoning"]) <= 300
        assert answers["orders"]["rows"][0]["state"] == "filled"
        assert answers["performance"]["rows"][0]["pnl"] == "8.8"
        assert answers["risk"]["state"] == "active"
        assert answers["risk"]["limits"]["max_drawdown"] == 0.2
        assert {row["source"]: row["state"] for row in answers["sources"]["rows"]}["rules:old"] == "paused"
        assert answers["costs"]["limits"]


def with_market(ground: Ground) -> None:
    """A bot beside the ground, which has seen a wave of minutes."""
    view = MarketView(depth=200)
    for row in candles(wave(200)):
        view.remember(row)
        view.prices[row.symbol] = row.close
        view.quotes[row.symbol] = Quote.of(row.symbol, row.at, row.close - 1, row.close + 1)
        view.now = row.at
    ground.now = lambda: view.now
    port = StillPort(view, fresh_books(ground.loaded.settings, view.now), ground.now)
    ground.held[RUNNING] = Running(port)


async def test_the_running_bot_s_market_is_seen_and_analysed(tmp_path: Path) -> None:
    await recorded(tmp_path)
    asked = calls(("market", {"symbol": "BTC/USDT"}), ("analysis", {"symbol": "BTC/USDT"}))
    async with scripted(tmp_path, [asked, says("It waves.")]) as (ground, service, _):
        with_market(ground)
        found = await do(ground, "chat.ask", question="How is bitcoin?")
        assert [each["ok"] for each in found["message"]["tools"]] == [True, True]
        market, analysis = map(json.loads, results(service))
        (row,) = market["rows"]
        assert row["bid"] < row["price"] < row["ask"]
        assert len(row["candles_ts_open_high_low_close_volume"]["1m"]) == 12
        assert analysis["candles_of"] == "the running bot"
        assert analysis["rows"][0]["symbol"] == "BTC/USDT"
        assert analysis["rows"][0]["words"]


@pytest.mark.parametrize(
    ("name", "given", "fault"),
    [
        ("shell", {"command": "ls"}, "no such tool"),
        ("confirm", {"proposal": "x"}, "no such tool"),
        ("__class__", {}, "no such tool"),
        ("positions", "{not json", "no JSON object"),
        ("positions", {"symbol": "../../etc/passwd"}, "no such symbol"),
        ("decisions", {"symbol": "all", "source": "'; DROP TABLE runs; --", "limit": 1}, "no such source"),
    ],
)
async def test_what_is_no_tool_or_no_name_is_an_answer_with_an_error(
    tmp_path: Path, name: str, given: object, fault: str
) -> None:
    await recorded(tmp_path)
    async with scripted(tmp_path, [calls((name, given)), says("Well.")]) as (ground, service, desk):
        found = await do(ground, "chat.ask", question="Go on")
        assert fault in json.loads(results(service)[0])["error"]
        assert found["message"]["tools"][0]["ok"] is False
        assert found["message"]["text"] == "Well."
        assert desk.commands == []


async def test_too_many_look_ups_at_once_are_not_made(tmp_path: Path) -> None:
    await recorded(tmp_path)
    async with scripted(tmp_path, [calls(*[("positions", {"symbol": "all"})] * 30), says("Done.")]) as (ground, service, _):
        found = await do(ground, "chat.ask", question="All at once")
        assert len(results(service)) == 30
        assert len(found["message"]["tools"]) == 8
        assert "enough" in results(service)[-1]


async def test_without_a_run_the_model_is_told_so(tmp_path: Path) -> None:
    async with scripted(tmp_path, [calls(("decisions", {"limit": 5})), says("Nothing yet.")]) as (ground, service, _):
        await do(ground, "chat.ask", question="What was decided?")
        assert "nothing was recorded yet" in results(service)[0]


async def test_a_thread_is_told_of_itself_only(tmp_path: Path) -> None:
    async with scripted(tmp_path, [says("First answer."), says("Second."), says("Third.")]) as (ground, service, _):
        first = await do(ground, "chat.ask", question="One?")
        name = first["session"]["id"]
        await do(ground, "chat.ask", question="Two?", session=name)
        said = [turn["content"].split("\n")[0] for turn in service.heard[1].body["messages"][1:]]
        assert said == ["One?", "First answer.", "Two?"]
        began = await do(ground, "chat.new", session=name)
        assert began["session"]["thread"] == 2
        await do(ground, "chat.ask", question="Three?", session=name)
        assert [turn["role"] for turn in service.heard[2].body["messages"]] == ["system", "user"]
        kept = await do(ground, "chat.history", session=name)
        assert [line["text"] for line in kept["messages"]] == ["One?", "First answer.", "Two?", "Second.", "Three?", "Third."]
        assert [line["thread"] for line in kept["messages"]] == [1, 1, 1, 1, 2, 2]
        only = await do(ground, "chat.history", session=name, thread=2)
        assert len(only["messages"]) == 2


async def test_what_was_said_can_be_searched_in_pages(tmp_path: Path) -> None:
    async with scripted(tmp_path, [says("Fees are 100% of_it, ÄRGER!")]) as (ground, _, _):
        for number in range(5):
            await do(ground, "chat.ask", question=f"Question {number} about fees")
        found = await do(ground, "chat.search", words="FEES", limit=3)
        assert len(found["messages"]) == 3
        rest = await do(ground, "chat.search", words="fees", limit=200, skip=3)
        assert len(rest["messages"]) == 7
        assert len((await do(ground, "chat.search", words="100% of_it, ärger!"))["messages"]) == 5
        assert (await do(ground, "chat.search", words="100x of"))["messages"] == []
        assert len((await do(ground, "chat.sessions", limit=2))["sessions"]) == 2
        with pytest.raises(UseCaseError, match="limit"):
            use_case("chat.search").read({"words": "x", "limit": 10_000})


async def test_what_a_model_says_is_plain_text(tmp_path: Path) -> None:
    evil = ["\x1b[31mred\x1b", "]0;title\x07 \x1b[2J", "and \u202eturned\u2066 \x00\x07over", "\x9b31m\r\nline"]
    async with scripted(tmp_path, [says(*evil)]) as (ground, _, _):
        told = Told()
        found = await do(ground, "chat.ask", told, question="Colour?")
        assert found["message"]["text"] == "red and turned over\nline"
        assert all("\x1b" not in progress.note for progress in told.all)


async def test_secrets_are_told_to_nobody(tmp_path: Path) -> None:
    await recorded(tmp_path, reasoning=f"my key is {KEY} and sk-abcdefghijklmnopqrstuvwx")
    async with scripted(tmp_path, [calls(("decisions", {"limit": 5})), says("No keys.")]) as (ground, service, _):
        found = await do(ground, "chat.ask", question=f"Is {KEY} good?")
        sent = json.dumps([heard.body for heard in service.heard])
        assert KEY not in sent
        assert "sk-abcdefghijklmnopqrstuvwx" not in sent
        kept = await do(ground, "chat.history", session=found["session"]["id"])
        assert KEY not in json.dumps(kept)


async def refused(ground: Ground, session: str) -> str:
    """Ask until nothing is paid any more, and why."""
    for _ in range(50):
        try:
            await do(ground, "chat.ask", question="Q?", session=session)
        except UseCaseError as error:
            return str(error)
    pytest.fail("nothing stopped it")


async def test_a_session_in_a_simulated_world_has_its_limit_too(tmp_path: Path) -> None:
    async with scripted(tmp_path, [says("Yes.")], llm__budget__per_session="0.012") as (ground, _, _):
        ground.simulated = True
        first = await do(ground, "chat.ask", question="Q?")
        assert Decimal(first["spent"]) > 0
        refusal = await refused(ground, first["session"]["id"])
        assert "source-day" in refusal or "per_session" in refusal


async def test_a_session_spends_no_more_than_its_limit_and_says_so(tmp_path: Path) -> None:
    clock = Clock()
    async with scripted(tmp_path, [says("Yes.")], llm__budget__per_session="0.012") as (ground, service, _):
        ground.now = clock
        first = await do(ground, "chat.ask", question="Q?")
        name = first["session"]["id"]
        refusal = await refused(ground, name)
        assert "source-day" in refusal or "per_session" in refusal
        asked = len(service.heard)
        spent = await (await chats_of(ground)).spent(f"chat:{name}")
        assert 0 < spent <= Decimal("0.012")
        clock.at += 86_400_000  # another day is no other session
        for _ in range(2):
            with pytest.raises(UseCaseError):
                await do(ground, "chat.ask", question="Q?" * 400, session=name)
        assert len(service.heard) == asked
        await do(ground, "chat.ask", question="Q?")
        assert len(service.heard) == asked + 1


async def test_an_answer_that_breaks_off_is_kept_with_its_fault_and_its_cost(tmp_path: Path) -> None:
    async with scripted(tmp_path, [breaks("Half an ", "answer")]) as (ground, _, _):
        found = await do(ground, "chat.ask", question="Why?")
        assert found["message"]["text"] == "Half an answer"
        assert found["message"]["fault"]
        assert Decimal(found["spent"]) > 0  # what nobody knows the end of stays spent


@pytest.mark.parametrize("status", [401, 402, 400, 529])
async def test_where_nobody_answers_the_person_gets_one_line(tmp_path: Path, status: int) -> None:
    refusal = whole({"error": {"message": f"no {KEY}", "type": "x"}}, status=status)
    async with scripted(tmp_path, [refusal]) as (ground, _, _):
        with structlog.testing.capture_logs() as logs, pytest.raises(UseCaseError, match="there is no answer") as caught:
            await do(ground, "chat.ask", question="Anybody?")
        assert "\n" not in str(caught.value)
        assert KEY not in str(caught.value) + str(logs)
        (session,) = (await do(ground, "chat.sessions"))["sessions"]
        kept = await do(ground, "chat.history", session=session["id"])
        assert [line["role"] for line in kept["messages"]] == ["person", "assistant"]
        assert kept["messages"][1]["fault"]


async def test_an_answer_that_is_given_up_is_accounted_for(tmp_path: Path) -> None:
    async with scripted(tmp_path, [hangs("It is")]) as (ground, _, _):
        began = asyncio.Event()

        def hear(progress: Progress) -> None:
            if progress.done:
                began.set()

        async def asked() -> None:
            case = use_case("chat.ask")
            await case.run(ground, case.read({"question": "Tell me about the weather"}), hear)

        task = asyncio.create_task(asked())
        async with asyncio.timeout(15):
            await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        total = await (await minds_of(ground)).costs.total(0, 2**62)
        assert (total.calls, total.lost) == (1, 1)
        assert total.usd > 0
