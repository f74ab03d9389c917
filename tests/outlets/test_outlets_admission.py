from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.outlets.admission import LONGEST_MS, Admission, AdmissionLimits, NotAdmitted, Refusal, request_of, wall_ms
from bot.outlets.command import Command, CommandResult
from bot.outlets.envelope import Channel, Encoder, Identity
from bot.outlets.local_client import LocalClient, new_nonce
from bot.outlets.local_feed import LINE_LIMIT, LocalFeed
from bot.outlets.rendezvous import Rendezvous
from tests.outlets.feed_facts import PATIENCE, order, quote

WHO = Identity("main", "run-1", "paper", simulated=True)
NOW = 1_800_000_000_000


class Bot:
    """Counts what it is asked and answers with the count."""

    def __init__(self) -> None:
        self.asked: list[Command] = []
        self.go = asyncio.Event()
        self.go.set()

    async def __call__(self, command: Command) -> CommandResult:
        self.asked.append(command)
        count = len(self.asked)
        await self.go.wait()
        return CommandResult(ok=True, result={"count": count, "blob": "x" * int(str(command.args.get("blob", 0)))})


class Clock:
    def __init__(self) -> None:
        self.ms = NOW

    def __call__(self) -> int:
        return self.ms


def said(nonce: str = "nonce-0000000000001", expires: int = NOW + 1_000, **more: object) -> dict[str, object]:
    return {"command": "kill", "args": {}, "nonce": nonce, "expires": expires, "bot": "main", "run": "run-1", **more}


@pytest.fixture
def bot() -> Bot:
    return Bot()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def admission(bot: Bot, clock: Clock, **limits: Any) -> Admission:
    return Admission(WHO, bot, AdmissionLimits(**limits), clock)


@pytest.mark.parametrize(
    ("change", "kind", "line"),
    [
        ({"expires": NOW}, Refusal.EXPIRED, "kill expired 0.000 s ago; nothing was done"),
        ({"expires": NOW - 1_500}, Refusal.EXPIRED, "kill expired 1.500 s ago; nothing was done"),
        ({"expires": NOW + LONGEST_MS + 1}, Refusal.TOO_FAR, "kill expires in 300 s; at most 300 s are allowed"),
        ({"bot": "other"}, Refusal.OTHER_BOT, "kill is meant for the bot 'other'; this one is 'main'"),
        ({"run": "run-0"}, Refusal.OTHER_RUN, "kill is meant for the run 'run-0'; the bot was started again as 'run-1'"),
    ],
)
async def test_a_command_that_is_late_early_or_for_another_is_not_carried_out(
    bot: Bot, clock: Clock, change: dict[str, object], kind: Refusal, line: str
) -> None:
    gate = admission(bot, clock)
    answer = await gate.carry_out(request_of(said(**change), "cli"))  # type: ignore[arg-type]
    assert answer == CommandResult(ok=False, error=line, refused=True)
    assert gate.refused[kind] == 1
    assert bot.asked == []


@pytest.mark.parametrize(
    "change",
    [
        {"command": None},
        {"command": ""},
        {"command": "x" * 65},
        {"args": []},
        {"nonce": None},
        {"nonce": "short"},
        {"nonce": "x" * 129},
        {"nonce": "with a space in it"},
        {"expires": "soon"},
        {"expires": True},
        {"expires": 1.5},
        {"bot": None},
        {"run": 7},
        {"actor": ""},
        {"actor": "x" * 65},
        {"actor": "two\nlines"},
        {"actor": 7},
    ],
)
def test_a_command_without_its_fields_is_malformed(change: dict[str, object]) -> None:
    with pytest.raises(NotAdmitted) as caught:
        request_of({**said(), **change}, "cli")
    assert caught.value.kind is Refusal.MALFORMED
    assert "\n" not in str(caught.value)


async def test_the_same_command_again_gets_the_same_answer_and_is_not_carried_out_again(bot: Bot, clock: Clock) -> None:
    gate = admission(bot, clock)
    first = await gate.carry_out(request_of(said(args={"a": 1, "b": 2}), "cli"))
    again = await gate.carry_out(request_of(said(args={"b": 2, "a": 1}, expires=NOW + 9_000), "cli"))
    assert (first.ok, first.result, first.repeated) == (True, {"count": 1, "blob": ""}, False)
    assert again == CommandResult(ok=True, result={"count": 1, "blob": ""}, repeated=True)
    assert len(bot.asked) == 1


@pytest.mark.parametrize("change", [{"command": "reduce"}, {"args": {"flatten": True}}])
async def test_a_nonce_used_for_another_command_is_refused(bot: Bot, clock: Clock, change: dict[str, object]) -> None:
    gate = admission(bot, clock)
    await gate.carry_out(request_of(said(), "cli"))
    answer = await gate.carry_out(request_of({**said(), **change}, "cli"))
    assert not answer.ok
    assert "was used before, for another command" in str(answer.error)
    assert gate.refused[Refusal.REUSED] == 1
    assert len(bot.asked) == 1


async def test_whoever_asks_again_meanwhile_waits_for_the_one_answer(bot: Bot, clock: Clock) -> None:
    gate = admission(bot, clock)
    bot.go.clear()
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        tasks = [group.create_task(gate.carry_out(request_of(said(), "cli"))) for _ in range(3)]
        while not bot.asked:
            await asyncio.sleep(0)
        bot.go.set()
    answers = [task.result() for task in tasks]
    assert [answer.result for answer in answers] == [{"count": 1, "blob": ""}] * 3
    assert [answer.repeated for answer in answers] == [False, True, True]


async def test_what_was_refused_did_nothing_and_may_be_tried_again_under_its_nonce(clock: Clock) -> None:
    answers = [CommandResult(ok=False, error="not now", refused=True), CommandResult(ok=True)]
    go = asyncio.Event()

    async def handler(command: Command) -> CommandResult:
        del command
        await go.wait()
        return answers.pop(0)

    gate = Admission(WHO, handler, AdmissionLimits(), clock)
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        first, waiting = (group.create_task(gate.carry_out(request_of(said(), "cli"))) for _ in range(2))
        await asyncio.sleep(0)
        go.set()
    assert (first.result().error, waiting.result().error) == ("not now", "not now")
    assert waiting.result().repeated
    done = await gate.carry_out(request_of(said(), "cli"))
    again = await gate.carry_out(request_of(said(), "cli"))
    assert (done.ok, done.repeated) == (True, False)
    assert (again.ok, again.repeated) == (True, True)


async def test_what_others_have_a_copy_of_stays_refused(clock: Clock) -> None:
    answers = [CommandResult(ok=False, error="not now", refused=True), CommandResult(ok=True)]

    async def handler(command: Command) -> CommandResult:
        del command
        return answers.pop(0)

    gate = Admission(WHO, handler, AdmissionLimits(), clock)
    told = [await gate.carry_out(replace(request_of(said(), "cli"), overheard=True)) for _ in range(2)]
    assert [(each.error, each.repeated) for each in told] == [("not now", False), ("not now", True)]
    assert len(answers) == 1


async def test_a_nonce_is_remembered_for_as_long_as_any_copy_of_its_command_may_be_in_time(bot: Bot, clock: Clock) -> None:
    gate = admission(bot, clock)
    latest = NOW + LONGEST_MS
    await gate.carry_out(request_of(said(expires=latest), "cli"))
    clock.ms = latest - 1
    assert (await gate.carry_out(request_of(said(expires=latest), "cli"))).repeated
    clock.ms = latest
    assert "expired" in str((await gate.carry_out(request_of(said(expires=latest), "cli"))).error)
    assert len(bot.asked) == 1


async def test_when_no_more_can_be_remembered_only_what_makes_the_bot_safer_is_carried_out(bot: Bot, clock: Clock) -> None:
    gate = admission(bot, clock, nonces=2, reserved=1)

    async def ask(command: str, number: int) -> CommandResult:
        at = clock.ms + 1_000
        return await gate.carry_out(request_of(said(f"nonce-{number:020}", at, command=command), "cli"))

    assert [(await ask(command, number)).ok for number, command in enumerate(["resume", "resume", "resume", "kill", "kill"])] == [
        True,
        True,
        False,
        True,
        False,
    ]
    assert gate.refused[Refusal.FULL] == 2
    clock.ms += LONGEST_MS
    assert (await ask("resume", 9)).ok


async def test_answers_are_kept_within_their_bytes_and_the_nonces_of_the_others_stay_known(bot: Bot, clock: Clock) -> None:
    gate = admission(bot, clock, answers=4_000)
    for number in range(6):
        await gate.carry_out(request_of(said(f"nonce-{number:020}", args={"blob": 900}), "cli"))
    await gate.carry_out(request_of(said("nonce-huge-0000000000", args={"blob": 2_000}), "cli"))
    again = [await gate.carry_out(request_of(said(f"nonce-{number:020}", args={"blob": 900}), "cli")) for number in range(6)]
    assert [answer.ok for answer in again] == [False, False, True, True, True, True]
    assert all(answer.repeated for answer in again)
    huge = await gate.carry_out(request_of(said("nonce-huge-0000000000", args={"blob": 2_000}), "cli"))
    assert (huge.ok, huge.error) == (False, "kill was carried out before, and its answer is not kept any more")
    assert len(bot.asked) == 7


async def test_whoever_only_looks_is_answered_afresh_and_costs_no_room(bot: Bot, clock: Clock) -> None:
    gate = admission(bot, clock, nonces=1)
    for name in ("status", "job", "jobs", "status"):
        assert (await gate.carry_out(request_of(said(command=name), "cli"))).ok
    assert len(bot.asked) == 4
    assert (await gate.carry_out(request_of(said(command="resume"), "cli"))).result == {"count": 5, "blob": ""}
    late = await gate.carry_out(request_of(said(command="status", expires=NOW), "cli"))
    assert not late.ok


@given(asked=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 1), st.integers(0, 200_000)), max_size=40))
def test_no_nonce_is_ever_carried_out_twice_within_its_time(asked: list[tuple[int, int, int]]) -> None:
    async def live() -> None:
        bot, clock = Bot(), Clock()
        gate = admission(bot, clock, nonces=4, reserved=1)
        last: dict[str, int] = {}
        for number, what, pause in asked:
            clock.ms += pause
            nonce = f"nonce-{number:020}"
            before = len(bot.asked)
            await gate.carry_out(request_of(said(nonce, clock.ms + LONGEST_MS, command=("kill", "resume")[what]), "cli"))
            if len(bot.asked) > before:
                assert clock.ms - last.get(nonce, -LONGEST_MS) >= LONGEST_MS
                last[nonce] = clock.ms

    asyncio.run(live())


@asynccontextmanager
async def local_feed(data_dir: Path, bot: Bot, identity: Identity = WHO) -> AsyncIterator[LocalFeed]:
    feed = LocalFeed(data_dir, identity, bot)
    await feed.start()
    try:
        yield feed
    finally:
        await feed.close()


async def exchange(data_dir: Path, *lines: dict[str, object]) -> list[dict[str, Any]]:
    """What a raw client is answered to these lines."""
    place = Rendezvous.read(data_dir)
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection(place.host, place.port, limit=LINE_LIMIT)
        writer.writelines([orjson.dumps(line) + b"\n" for line in ({"token": place.token}, *lines)])
        await reader.readuntil()
        answers = [orjson.loads(await reader.readuntil()) for _ in lines]
        writer.close()
        await writer.wait_closed()
    return answers


async def test_a_client_that_does_not_say_for_whom_and_until_when_is_refused(tmp_path: Path, bot: Bot) -> None:
    async with local_feed(tmp_path, bot):
        old = await exchange(tmp_path, {"id": 1, "command": "kill", "args": {}})
        runless = await exchange(tmp_path, {"id": 2, **said(expires=wall_ms() + 5_000), "run": None})
    assert (old[0]["id"], old[0]["ok"]) == (1, False)
    assert "needs a nonce" in old[0]["error"]
    assert "for which start of the bot" in runless[0]["error"]
    assert bot.asked == []


async def test_a_bot_that_was_started_again_refuses_what_was_meant_for_its_predecessor(tmp_path: Path, bot: Bot) -> None:
    meant = {"id": 1, **said(expires=wall_ms() + 60_000)}
    async with local_feed(tmp_path, bot, Identity("main", "run-2", "paper", simulated=True)):
        answers = await exchange(tmp_path, meant)
    assert answers[0]["error"] == "kill is meant for the run 'run-1'; the bot was started again as 'run-2'"
    assert bot.asked == []


async def test_a_retry_with_the_same_nonce_on_another_connection_is_answered_as_before(tmp_path: Path, bot: Bot) -> None:
    nonce = new_nonce()
    async with local_feed(tmp_path, bot):
        async with await LocalClient.connect(tmp_path) as one:
            first = await one.command("kill", {"reason": "x"}, nonce=nonce)
        async with await LocalClient.connect(tmp_path) as two:
            again = await two.command("kill", {"reason": "x"}, nonce=nonce)
            other = await two.command("kill", {"reason": "y"}, nonce=nonce)
            fresh = await two.command("kill", {"reason": "x"})
    assert (first.result, first.repeated) == (again.result, False)
    assert again.repeated
    assert (other.ok, fresh.ok, fresh.repeated) == (False, True, False)
    assert len(bot.asked) == 2
    assert bot.asked[0].nonce == nonce


async def test_an_actor_may_be_more_exact_than_its_connection(tmp_path: Path, bot: Bot) -> None:
    async with local_feed(tmp_path, bot), await LocalClient.connect(tmp_path, actor="control-room") as client:
        await client.command("status", actor="web:anna")
        await client.command("status")
        refused = await client.command("status", actor="two\nlines")
    assert [command.actor for command in bot.asked] == ["web:anna", "control-room"]
    assert not refused.ok


async def test_a_long_patience_does_not_make_a_command_expire_too_late_to_be_taken(tmp_path: Path, bot: Bot) -> None:
    async with local_feed(tmp_path, bot), await LocalClient.connect(tmp_path) as client:
        assert (await client.command("status", timeout=600.0)).ok


async def test_a_message_holds_its_line_as_it_came_and_names_its_run(tmp_path: Path, bot: Bot) -> None:
    async with local_feed(tmp_path, bot) as feed, await LocalClient.connect(tmp_path) as client:
        messages = client.follow([Channel.ORDERS])
        first = asyncio.ensure_future(anext(messages))
        async with asyncio.timeout(PATIENCE):
            while not feed.wants(Channel.ORDERS):
                await asyncio.sleep(0)
            sent = Encoder(WHO).encode(order())
            feed.publish(sent)
            message = await first
    assert message.payload == sent.payload
    assert message.run == "run-1"


async def test_following_can_be_widened_and_narrowed_while_it_goes_on(tmp_path: Path, bot: Bot) -> None:
    encoder = Encoder(WHO)
    async with local_feed(tmp_path, bot) as feed, await LocalClient.connect(tmp_path) as client:
        messages = client.follow([Channel.ORDERS])
        async with asyncio.timeout(PATIENCE):
            first = asyncio.ensure_future(anext(messages))
            while not feed.wants(Channel.ORDERS):
                await asyncio.sleep(0)
            await client.refollow([Channel.ORDERS, Channel.QUOTES])
            feed.publish(encoder.encode(quote()))
            assert (await first).type == "quotes.quote"
            await client.refollow([Channel.ORDERS])
            assert not feed.wants(Channel.QUOTES)
            feed.publish(encoder.encode(quote()))
            feed.publish(encoder.encode(order()))
            assert (await anext(messages)).type == "orders.changed"
            await client.refollow([])
            assert not feed.wants(Channel.ORDERS)
