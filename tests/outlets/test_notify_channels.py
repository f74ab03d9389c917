"""Channels before a real service on loopback: what arrives, what is tried again, what is given up, what nobody gets to see."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from bot.core.effects import Severity
from bot.outlets.notify import Notifications
from bot.outlets.notifying.channel import Channel, ChannelRules, Outcome
from bot.outlets.notifying.service import AddressError, AppriseService, NotDelivered
from bot.outlets.topics import Topic
from tests.outlets.notify_hook import CANARY, Hook, Kept, notice, open_channel, standing_hook


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    async with standing_hook() as hook:
        yield hook


async def test_a_notice_arrives_with_its_title_its_text_and_how_loud_it_is(hook: Hook) -> None:
    kept = Kept()
    async with open_channel(hook, kept, mark="[arbiter PAPER] ") as channel:
        channel.offer(Topic.FEEDS, notice("<b>stalled</b>"))
        (row,) = await kept.ended(1)
    (post,) = hook.posts
    assert (post["title"], post["message"], post["type"]) == ("[arbiter PAPER] Market data", "<b>stalled</b>", "warning")
    assert (row.outcome, row.attempts, row.at, row.channel) == (Outcome.DELIVERED, 1, 1_000, "phone")


@pytest.mark.parametrize(
    ("url", "path", "part", "longest"),
    [
        ("discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js", "", "content", 2_000),
        ("pover://u23456789012345678901234567890@t23456789012345678901234567890", "/1", "message", 1_024),
    ],
    ids=["discord", "pushover"],
)
async def test_a_long_message_arrives_whole_in_parts_that_the_service_takes(
    hook: Hook, monkeypatch: pytest.MonkeyPatch, url: str, path: str, part: str, longest: int
) -> None:
    from apprise.plugins import N_MGR

    to = AppriseService(url)
    monkeypatch.setattr(N_MGR[url.partition("://")[0]], "notify_url", f"http://127.0.0.1:{hook.port}{path}")
    words = " ".join(f"word{number:04}" for number in range(333))
    kept = Kept()
    async with open_channel(hook, kept, service=to, timeout=10.0, mark="[arbiter] ") as channel:
        channel.offer(Topic.FEEDS, notice(words))
        (row,) = await kept.ended(1)
    assert (row.outcome, row.attempts) == (Outcome.DELIVERED, 1)
    assert len(hook.posts) > 1
    assert max(len(post[part]) for post in hook.posts) <= longest
    assert re.findall(r"word\d+", " ".join(post[part] for post in hook.posts)) == words.split()


def test_what_an_address_says_of_long_messages_stays(hook: Hook) -> None:
    modes = [
        AppriseService(f"{hook.url}{more}")._apprise[0].overflow_mode for more in ("", "&overflow=truncate", "&overflow=upstream")
    ]
    assert modes == ["split", "truncate", "upstream"]


async def test_what_is_refused_is_tried_again_until_it_arrives(hook: Hook) -> None:
    hook.answers, kept = [500, 503], Kept()
    async with open_channel(hook, kept) as channel:
        channel.offer(Topic.FEEDS, notice())
        (row,) = await kept.ended(1)
    assert len(hook.posts) == 3
    assert (row.outcome, row.attempts, row.detail) == (Outcome.DELIVERED, 3, "")


async def test_tries_are_bounded_and_the_pause_between_them_grows(hook: Hook) -> None:
    hook.answers, kept = [500] * 10, Kept()
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with open_channel(hook, kept, attempts=4, pause=0.05) as channel:
        channel.offer(Topic.FEEDS, notice())
        (row,) = await kept.ended(1)
    assert (row.outcome, row.attempts) == (Outcome.FAILED, 4)
    assert "500" in row.detail
    assert len(hook.posts) == 4
    assert loop.time() - began >= 0.05 + 0.10 + 0.20


async def test_a_service_that_does_not_answer_is_given_up_in_time(hook: Hook) -> None:
    hook.silent.clear()
    kept = Kept()
    async with open_channel(hook, kept, attempts=1, timeout=0.1) as channel:
        channel.offer(Topic.FEEDS, notice())
        (row,) = await kept.ended(1)
    assert row.outcome is Outcome.FAILED
    assert "may have arrived" in row.detail


async def test_a_critical_notice_overtakes_what_waits_to_be_tried_again(hook: Hook) -> None:
    hook.answers, kept = [500], Kept()
    async with open_channel(hook, kept, pause=30.0) as channel:
        channel.offer(Topic.FEEDS, notice("slow"))
        await hook.heard(1)
        channel.offer(Topic.TRADING, notice("halted", Severity.CRITICAL))
        (row,) = await kept.ended(1)
        assert (row.text, row.outcome) == ("halted", Outcome.DELIVERED)
        assert channel.waiting == 1


async def test_a_channel_hears_only_what_is_loud_enough_and_of_its_topics(hook: Hook) -> None:
    kept = Kept()
    async with open_channel(hook, kept, least=Severity.WARNING, topics=frozenset({Topic.STOPS})) as channel:
        channel.offer(Topic.STOPS, notice("too quiet", Severity.INFO))
        channel.offer(Topic.FILLS, notice("another topic", Severity.CRITICAL))
        channel.offer(Topic.STOPS, notice("this"))
        await kept.ended(1)
    assert [post["message"] for post in hook.posts] == ["this"]


async def test_a_digest_tells_all_in_one_message_and_the_critical_at_once(hook: Hook) -> None:
    kept = Kept()
    async with open_channel(hook, kept, digest=0.3, mark="[arbiter] ") as channel:
        channel.offer(Topic.FILLS, notice("one", Severity.INFO))
        channel.offer(Topic.STOPS, notice("two", title="A stop"))
        channel.offer(Topic.TRADING, notice("halted", Severity.CRITICAL))
        await kept.ended(2)
    assert [post["title"] for post in hook.posts] == ["[arbiter] Market data", "[arbiter] 2 notices"]
    assert hook.posts[1]["message"] == "00:00:01 Market data: one\n00:00:01 A stop: two"
    assert kept.rows[1].severity is Severity.WARNING


async def test_what_a_minute_has_no_room_for_is_told_together_and_not_lost(hook: Hook) -> None:
    kept = Kept()
    async with open_channel(hook, kept, per_minute=2) as channel:
        for number in range(5):
            channel.offer(Topic.FILLS, notice(str(number)))
        channel.offer(Topic.TRADING, notice("halted", Severity.CRITICAL))
        await kept.ended(3)
        await channel.settle(5.0)
    assert [post["message"] for post in hook.posts[:-1]] == ["halted", "0", "1"]
    assert hook.posts[-1]["title"] == "3 notices"


async def test_a_full_queue_drops_the_oldest_that_is_not_critical_and_says_so(hook: Hook) -> None:
    hook.silent.clear()
    kept = Kept()
    async with open_channel(hook, kept, queue=2) as channel:
        channel.offer(Topic.FEEDS, notice("under way"))
        await hook.heard(1)
        for text, severity in (("halted", Severity.CRITICAL), ("a", Severity.INFO), ("b", Severity.INFO)):
            channel.offer(Topic.FEEDS, notice(text, severity))
        assert channel.waiting == 2
        assert [(row.text, row.outcome) for row in kept.rows] == [("a", Outcome.DROPPED)]
        hook.silent.set()
        await kept.ended(4)
    assert [post["message"] for post in hook.posts] == ["under way", "halted", "b"]
    assert channel.counts[Outcome.DROPPED] == 1


async def test_a_digest_is_bounded_and_counts_what_it_leaves_out(hook: Hook) -> None:
    kept = Kept()
    async with open_channel(hook, kept, digest=60.0, queue=3) as channel:
        for number in range(10):
            channel.offer(Topic.FILLS, notice(str(number)))
        assert channel.waiting == 3
        await channel.settle(5.0)
    assert hook.posts[0]["title"] == "10 notices"
    assert channel.counts == {Outcome.DELIVERED: 1, Outcome.FAILED: 0, Outcome.DROPPED: 7}


async def test_at_the_end_what_waits_is_told_once_and_what_cannot_be_is_recorded(hook: Hook) -> None:
    kept = Kept()
    channel = Channel("phone", AppriseService(hook.url), ChannelRules(digest=60.0), lambda: 1, record=kept)
    notifications = Notifications(channels=(channel,))
    await notifications.start()
    notifications.put(notice("last words"))
    await notifications.close(5.0)
    notifications.put(notice("too late"))
    assert [post["message"] for post in hook.posts] == ["last words"]
    hook.silent.clear()
    stuck = Channel("phone", AppriseService(hook.url), ChannelRules(), lambda: 1, record=kept)
    notifications = Notifications(channels=(stuck,))
    await notifications.start()
    notifications.put(notice("stuck"))
    await hook.heard(2)
    notifications.put(notice("behind it"))
    await notifications.close(0.05)
    assert [(row.text, row.outcome) for row in kept.rows[1:]] == [
        ("stuck", Outcome.FAILED),
        ("behind it", Outcome.DROPPED),
    ]


async def test_the_same_notice_is_told_a_channel_once_in_a_while(hook: Hook) -> None:
    kept = Kept()
    channel = Channel("phone", AppriseService(hook.url), ChannelRules(), lambda: 1, record=kept)
    notifications = Notifications(channels=(channel,))
    await notifications.start()
    for _ in range(50):
        notifications.put(notice("again"))
        notifications.alert(Topic.FEEDS, notice("and again"))
    await notifications.close(5.0)
    assert sorted(post["message"] for post in hook.posts) == ["again", "and again"]
    assert notifications.outcomes["phone:delivered"] == 2
    assert notifications.outcomes["repeated"] == 98


async def test_a_channel_that_heard_that_all_is_well_hears_of_the_next_outage(hook: Hook) -> None:
    channel = Channel("phone", AppriseService(hook.url), ChannelRules(least=Severity.INFO), lambda: 1, record=Kept())
    notifications = Notifications(channels=(channel,))
    await notifications.start()
    for text, severity in 2 * (("stalls", Severity.WARNING), ("flows", Severity.INFO)):
        notifications.alert(Topic.FEEDS, notice(text, severity))
    await notifications.close(5.0)
    assert [post["message"] for post in hook.posts] == ["stalls", "flows", "stalls", "flows"]


async def test_a_topic_that_is_switched_off_reaches_no_channel(hook: Hook) -> None:
    channel = Channel("phone", AppriseService(hook.url), ChannelRules(), lambda: 1)
    notifications = Notifications(channels=(channel,), admits=lambda topic: topic is not Topic.BUDGET)
    await notifications.start()
    notifications.put(notice("80 of 100", title="80 % of an LLM budget is spent"))
    notifications.put(notice("this"))
    await notifications.close(5.0)
    assert [post["message"] for post in hook.posts] == ["this"]


async def test_a_service_that_hangs_holds_up_neither_another_channel_nor_who_tells(hook: Hook) -> None:
    hook.silent.clear()
    async with standing_hook() as other:
        stuck = Channel("stuck", AppriseService(hook.url), ChannelRules(timeout=30.0), lambda: 1)
        well = Channel("well", AppriseService(other.url), ChannelRules(), lambda: 1)
        notifications = Notifications(channels=(stuck, well))
        await notifications.start()
        for number in range(10):
            notifications.put(notice(str(number)))
        assert [post["message"] for post in await other.heard(10)] == [str(number) for number in range(10)]
        assert stuck.waiting == 9
        hook.silent.set()
        await notifications.close(5.0)


class Moody:
    """A service that fails as it was told to, and keeps what it took."""

    masked = "moody://"

    def __init__(self, failures: list[bool]) -> None:
        self.failures = failures
        self.kept: list[str] = []

    async def send(self, severity: Severity, title: str, text: str, seconds: float) -> None:
        await asyncio.sleep(0)
        if self.failures and self.failures.pop():
            raise NotDelivered("mood")
        self.kept.append(text)


@given(
    offers=st.lists(st.tuples(st.sampled_from(list(Severity)), st.booleans()), max_size=40),
    failures=st.lists(st.booleans(), max_size=60),
    digest=st.sampled_from([None, 0.0, 60.0]),
    queue=st.integers(1, 5),
    attempts=st.integers(1, 3),
)
@settings(max_examples=100, deadline=None)
def test_whatever_happens_each_notice_is_told_once_or_its_loss_is_recorded(
    offers: list[tuple[Severity, bool]], failures: list[bool], digest: float | None, queue: int, attempts: int
) -> None:
    moody, kept = Moody(failures), Kept()
    rules = ChannelRules(Severity.INFO, digest=digest, queue=queue, per_minute=4, attempts=attempts, pause=0.0)

    async def live() -> Channel:
        channel = Channel("moody", moody, rules, lambda: 0, record=kept)
        task = asyncio.create_task(channel.run())
        for number, (severity, wait) in enumerate(offers):
            channel.offer(Topic.OTHER, notice(f"<{number}>", severity))
            assert len(channel._queue) <= queue
            for _ in range(5 * wait):
                await asyncio.sleep(0)
        await channel.settle(5.0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        channel.give_up()
        return channel

    channel = asyncio.run(live())
    assert channel.waiting == 0
    ended = "".join(row.text for row in kept.rows)
    assert sorted(re.findall(r"<\d+>", ended)) == sorted(f"<{number}>" for number in range(len(offers)))
    assert [row.text for row in kept.rows if row.outcome is Outcome.DELIVERED] == moody.kept
    assert sum(channel.counts.values()) == len(kept.rows)


async def test_secrets_are_taken_out_of_what_is_sent(hook: Hook) -> None:
    kept = Kept()

    def clean(text: str) -> str:
        return text.replace(CANARY, "***")

    channel = Channel("phone", AppriseService(hook.url), ChannelRules(), lambda: 1, record=kept, clean=clean)
    task = asyncio.create_task(channel.run())
    channel.offer(Topic.OTHER, notice(f"key {CANARY}", title=f"for {CANARY}"))
    await kept.ended(1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert CANARY not in repr((hook.posts, kept.rows))


@contextmanager
def all_logs() -> Iterator[list[str]]:
    """Every line that anything logs at any level, the libraries too."""
    lines: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    root, listener = logging.getLogger(), Listener(level=0)
    level = root.level
    root.addHandler(listener)
    root.setLevel(1)
    try:
        with capture_logs() as told:
            yield lines
            lines.extend(repr(each) for each in told)
    finally:
        root.setLevel(level)
        root.removeHandler(listener)


Failing = Callable[[Hook], Awaitable[None]]


async def _refuses(hook: Hook) -> None:
    hook.answers = [500] * 5


async def _is_silent(hook: Hook) -> None:
    hook.silent.clear()


async def _is_gone(hook: Hook) -> None:
    hook.port = 1


@pytest.mark.parametrize("fault", [_refuses, _is_silent, _is_gone])
async def test_the_address_is_in_no_log_no_row_and_no_error_whatever_fails(hook: Hook, fault: Failing) -> None:
    await fault(hook)
    kept = Kept()
    logging.getLogger("urllib3").setLevel(logging.WARNING)  # as bot.logs has it
    with all_logs() as lines:
        service = AppriseService(hook.url)
        async with open_channel(hook, kept, service=service, attempts=2, timeout=0.2) as channel:
            channel.offer(Topic.FEEDS, notice())
            await kept.ended(1)
        with pytest.raises(NotDelivered) as caught:
            await service.send(Severity.INFO, "t", "x", 0.2)
    shown = repr((lines, kept.rows, service.masked, caught.value.args, caught.value.__cause__))
    assert kept.rows[0].outcome is Outcome.FAILED
    assert lines, "the failure was told"
    assert CANARY not in shown


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        (f"json://user:{CANARY}@host.example:8080/a/{CANARY}?+X-Key={CANARY}", [CANARY]),
        (f"ntfy://{CANARY}", [CANARY]),
        ("tgram://123456789:AAEabcdefabcdefabcdefabcdefabcdefabc/-1001234567", ["123456789", "AAEabcdef", "1001234567"]),
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general", ["T1JJ3T3L2", "A1BRTD4JD", "TIiajkd"]),
        ("discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js", ["4174216298", "JHMHI8q"]),
        (f"mailto://me:{CANARY}@gmail.com", [CANARY]),
    ],
)
def test_an_address_is_shown_without_what_must_stay_secret(url: str, secrets: list[str]) -> None:
    shown = AppriseService(url).masked
    assert not [secret for secret in secrets if secret in shown]
    assert shown.partition("://")[0].rstrip("s") == url.partition("://")[0].rstrip("s")


@pytest.mark.parametrize("url", [f"nonsense://{CANARY}", f"tgram://{CANARY}", f"slack://{CANARY}", CANARY, ""])
def test_an_address_that_is_none_is_refused_without_quoting_it(url: str) -> None:
    with all_logs() as lines, pytest.raises(AddressError) as caught:
        AppriseService(url)
    assert CANARY not in repr((lines, caught.value.args))


class Talkative:
    """Stands for a service's library that quotes the address in what it raises."""

    def __init__(self, text: str) -> None:
        self.text = text

    async def async_notify(self, **_: object) -> None:
        raise ValueError(self.text)


async def test_an_error_that_quotes_the_address_or_a_part_of_it_is_told_without(hook: Hook) -> None:
    service = AppriseService(hook.url)
    quoted = (hook.url, f"http://127.0.0.1/{CANARY}path", f"Authorization {CANARY}pw", f"X-Token: {CANARY}header")
    for text in quoted:
        service._apprise = Talkative(f"cannot reach {text}")  # type: ignore[assignment]
        with pytest.raises(NotDelivered, match="ValueError: cannot reach") as caught:
            await service.send(Severity.INFO, "t", "x", 1.0)
        assert CANARY not in repr((caught.value.args, caught.value.__cause__))
