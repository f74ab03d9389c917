"""The assistant over the API: sessions, answers by job and by stream, proposals in two steps."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx2
import orjson
import pytest

from bot.web.api.ai_talking import Words
from bot.web.security.principal import Scope
from tests.app.bot_process import eventually
from tests.web.house import House, house

PAUSING = "Please propose: pause llm:claude"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(tmp_path_factory.mktemp("chat"), ARBITER_LLM__BUDGET__CALLS_PER_MINUTE="5000") as running:
        running.decided(1)
        yield running


@pytest.fixture
def client(demo: House) -> Iterator[httpx2.Client]:
    with demo.client() as one:
        yield one


def begun(client: httpx2.Client, title: str = "") -> str:
    return str(client.post("/api/v1/ai/chat/sessions", json={"title": title}).json()["session"]["id"])


def ended(client: httpx2.Client, answer: httpx2.Response) -> Any:
    assert answer.status_code == 202, answer.text
    for _ in range(400):
        job = client.get(f"/api/v1/jobs/{answer.json()['job']}").json()
        if job["state"] != "running":
            return job
        time.sleep(0.05)
    raise AssertionError(job)


def events(text: str) -> list[tuple[str, Any]]:
    """The events of a stream that has ended."""
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("event:")]
    return [(lines[0].removeprefix("event: "), orjson.loads(lines[1].removeprefix("data: "))) for lines in blocks]


def test_a_question_is_answered_by_a_job_and_kept(demo: House, client: httpx2.Client) -> None:
    session = begun(client, "<img src=x onerror=alert(1)>")
    job = ended(client, client.post(f"/api/v1/ai/chat/sessions/{session}/messages", json={"question": "What do I hold?"}))
    assert job["state"] == "done", job
    kept = demo.ask(f"/ai/chat/sessions/{session}")
    assert [one["role"] for one in kept["messages"]] == ["person", "assistant"]
    assert kept["messages"][1]["text"]
    assert demo.ask("/ai/chat/search", words="what do i HOLD")["messages"][0]["session"] == session
    assert demo.ask("/ai/chat/sessions")["sessions"][0]["id"] == session
    other = client.post(f"/api/v1/ai/chat/sessions/{session}/threads").json()["session"]
    assert other["thread"] == 2


def test_an_answer_is_streamed_whole_and_every_word_once(client: httpx2.Client) -> None:
    session = begun(client)
    with client.stream("POST", f"/api/v1/ai/chat/sessions/{session}/messages/stream", json={"question": "How is BTC?"}) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        told = events(stream.read().decode())
    assert told[0][0] == "job"
    kind, answer = told[-1]
    assert kind == "answer", told[-1]
    words = ""
    for _, piece in (one for one in told if one[0] == "text"):
        assert piece["at"] == len(words)
        words += piece["text"]
    assert words.strip() == answer["message"]["text"]
    again = client.get(f"/api/v1/ai/chat/sessions/{session}/messages/stream", params={"job": told[0][1]["job"]})
    assert events(again.text)[-1] == (kind, answer)


def test_a_proposal_does_nothing_before_it_is_confirmed_and_nothing_twice(demo: House, client: httpx2.Client) -> None:
    session = begun(client)
    job = ended(client, client.post(f"/api/v1/ai/chat/sessions/{session}/messages", json={"question": PAUSING}))
    (proposal,) = job["result"]["proposals"]
    assert "llm:claude" in proposal["rendered"]
    assert demo.ask("/status")["sources"]["llm:claude"] == "on"
    path, sent = f"/api/v1/ai/chat/proposals/{proposal['id']}/confirm", {"token": proposal["token"], "session": session}
    with demo.client(Scope.READ) as reader:
        assert reader.post(path, json=sent).status_code == 403
    asked = client.post(path, json=sent)
    assert asked.status_code == 428
    assert asked.json()["text"] == f"{proposal['rendered']}."
    assert demo.ask("/status")["sources"]["llm:claude"] == "on"
    wrong = client.post(path, json={**sent, "token": "0" * 12}, headers={"Confirmation": asked.json()["confirmation"]})
    assert wrong.status_code == 428
    done = ended(client, client.post(path, json=sent, headers={"Confirmation": asked.json()["confirmation"]}))
    assert done["result"]["ok"] is True
    eventually(lambda: demo.ask("/status")["sources"]["llm:claude"] == "paused", "the source is paused")
    once_more = client.post(path, json=sent)
    again = ended(client, client.post(path, json=sent, headers={"Confirmation": once_more.json()["confirmation"]}))
    assert again["state"] == "failed"
    client.post("/api/v1/sources/llm:claude/resume")


def test_what_is_not_there_is_not_found_and_what_is_too_much_is_refused(client: httpx2.Client) -> None:
    session = begun(client)
    assert client.get("/api/v1/ai/chat/sessions/abcdef").status_code == 404
    assert client.post("/api/v1/ai/chat/sessions/abcdef/messages", json={"question": "x"}).status_code == 404
    assert client.post("/api/v1/ai/chat/sessions/abcdef/threads").status_code == 404
    for question in ("", "x" * 5_000):
        answer = client.post(f"/api/v1/ai/chat/sessions/{session}/messages", json={"question": question})
        assert answer.status_code == 422
    assert client.get(f"/api/v1/ai/chat/sessions/{session}/messages/stream", params={"job": "job-1-999999"}).status_code == 404


def test_a_reader_that_missed_progress_gets_every_word_that_is_left() -> None:
    words = Words()
    assert b'"at":0,"text":"Hello"' in words.more({"stage": "answering", "done": 5, "note": "Hello"})[0]
    assert words.more({"stage": "answering", "done": 5, "note": "Hello"}) == []
    assert b'"at":5,"text":" there"' in words.more({"stage": "answering", "done": 11, "note": "Hello there"})[0]
    assert b'"at":98,"text":"!!"' in words.more({"stage": "answering", "done": 100, "note": "!!"})[0]
