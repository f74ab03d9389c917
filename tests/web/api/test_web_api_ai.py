"""Language models over the API: providers and keys, prompts, questions, costs, learning, ideas, analysis."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from bot.journal.upgrade import upgrade
from bot.secrets import Secrets
from bot.settings import load
from bot.web.app import create_app
from bot.web.security.principal import Scope
from bot.web.server import open_room
from tests.app.bot_process import eventually
from tests.web.house import House, contents, house

SECRET = "sk-canary-4f1b7c9e2a8d6c35-Q9zX"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(tmp_path_factory.mktemp("ai"), ARBITER_LLM__BUDGET__CALLS_PER_MINUTE="5000") as running:
        running.decided(3)
        eventually(lambda: any(one["decision"] for one in running.ask("/ai/signals", limit=199)["items"]), "a model decided")
        yield running


@pytest.fixture
def client(demo: House) -> Iterator[httpx2.Client]:
    with demo.client() as one:
        yield one


def finished(client: httpx2.Client, answer: httpx2.Response) -> Any:
    """What the job of this answer came to."""
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"].endswith(answer.json()["job"])
    for _ in range(400):
        job = client.get(answer.headers["location"]).json()
        if job["state"] != "running":
            assert job["state"] == "done", job
            return job["result"]
        time.sleep(0.05)
    raise AssertionError(job)


def confirmed(client: httpx2.Client, method: str, path: str, sent: dict[str, Any] | None = None) -> tuple[str, httpx2.Response]:
    """Do it in two steps: what was asked, and the answer."""
    first = client.request(method, f"/api/v1{path}", json=sent)
    assert first.status_code == 428, first.text
    told = first.json()
    return told["text"], client.request(method, f"/api/v1{path}", json=sent, headers={"Confirmation": told["confirmation"]})


def test_a_key_goes_in_and_only_its_mask_comes_out(demo: House, client: httpx2.Client) -> None:
    before = {one["provider"]: one for one in demo.ask("/ai/llm/config")["providers"]}
    assert {"openai", "anthropic", "gemini", "xai"} <= before.keys()
    assert before["xai"]["secret"] == "XAI_API_KEY"
    done = client.put("/api/v1/ai/llm/providers/xai/key", json={"value": SECRET})
    assert done.status_code == 200, done.text
    assert done.json()["masked"].endswith(SECRET[-4:])
    shown = client.get("/api/v1/ai/llm/config")
    assert SECRET not in shown.text
    assert {one["provider"]: one for one in shown.json()["providers"]}["xai"]["key"]["masked"].endswith(SECRET[-4:])
    text, gone = confirmed(client, "DELETE", "/ai/llm/providers/xai/key")
    assert "XAI_API_KEY" in text
    assert gone.json()["masked"] is None
    for each in (done.text, gone.text, client.get("/api/v1/jobs").text, client.get("/api/v1/ai/llm/config").text):
        assert SECRET not in each
    assert SECRET.encode() not in b"".join(contents(demo.data).values())


def test_a_key_needs_an_admin_and_a_provider_that_is_there(demo: House, client: httpx2.Client) -> None:
    with demo.client(Scope.TRADE) as trader:
        assert trader.put("/api/v1/ai/llm/providers/xai/key", json={"value": SECRET}).status_code == 403
    assert client.put("/api/v1/ai/llm/providers/nobody/key", json={"value": SECRET}).status_code == 404
    refused = client.put("/api/v1/ai/llm/providers/xai/key", json={"value": f"{SECRET}\n"})
    assert refused.status_code == 422
    assert SECRET not in refused.text


def test_providers_are_told_with_how_they_do(demo: House) -> None:
    def rows() -> dict[str, Any]:
        return {one["provider"]: one for one in demo.ask("/ai/monitoring/providers")["providers"]}

    eventually(lambda: rows()["anthropic"]["calls"] > 0, "it was asked", 60.0)
    found = rows()
    assert {"decision"} <= set(found["anthropic"]["models"][0]["roles"])
    assert demo.ask("/ai/llm/models")["roles"]["decision"]
    assert demo.ask("/ai/llm/prices", model="haiku")["prices"]
    assert demo.ask("/ai/llm/status")["limits"]


def test_the_keys_are_checked_for_nothing_and_the_models_for_a_confirmation(client: httpx2.Client) -> None:
    found = finished(client, client.post("/api/v1/ai/llm/test", json={"provider": "anthropic"}))
    assert found["providers"][0]["state"] == "good"
    text, begun = confirmed(client, "POST", "/ai/llm/test/models", {"provider": "anthropic"})
    assert "paid for" in text
    assert finished(client, begun)["providers"][0]["calls"]


def test_a_prompt_is_saved_on_what_was_read_and_used_once_confirmed(demo: House, client: httpx2.Client) -> None:
    read = client.get("/api/v1/ai/llm/prompts/decide")
    body = read.json()["body"]
    seen = client.post("/api/v1/ai/llm/prompts/decide/preview", json={"body": body})
    assert seen.json()["tokens"] > 0
    assert seen.json()["estimates"]
    sent = {"body": body.replace("How to decide:", "Be brief.\nHow to decide:"), "note": "<img src=x onerror=alert(1)>"}
    kept = client.put("/api/v1/ai/llm/prompts/decide", json=sent, headers={"If-Match": read.headers["etag"]})
    assert kept.status_code == 200, kept.text
    assert (kept.json()["version"], kept.json()["active"]) == (1, False)
    stale = client.put("/api/v1/ai/llm/prompts/decide", json=sent, headers={"If-Match": read.headers["etag"]})
    assert stale.status_code == 412
    assert "+Be brief." in demo.ask("/ai/llm/prompts/decide/diff", old=0, new=1)["diff"]
    assert [one["version"] for one in demo.ask("/ai/llm/prompts/decide/history")["versions"]] == [1]
    text, used = confirmed(client, "POST", "/ai/llm/prompts/decide/activate", {"version": 1})
    assert "version 1" in text
    assert used.json()["active"] == 1
    assert demo.ask("/ai/llm/prompts/decide/results")["name"] == "decide"


def test_a_prompt_with_faults_is_not_kept_and_one_that_is_not_there_is_not_found(client: httpx2.Client) -> None:
    faulty = client.put("/api/v1/ai/llm/prompts/decide", json={"body": "{{ nowhere }}"})
    assert faulty.status_code == 422
    assert faulty.json()["faults"]
    for path in ("prompts/nowhere", "prompts/nowhere/history", "prompts/decide/diff?old=0&new=99", "prompts/decide?version=99"):
        assert client.get(f"/api/v1/ai/llm/{path}").status_code == 404, path
    assert client.get("/api/v1/ai/llm/prompts/..%2F..%2Fetc").status_code in {404, 422}


async def test_a_prompt_that_cannot_be_read_is_not_said_to_be_missing(tmp_path: Path) -> None:
    home = tmp_path / "config"
    (home / "prompts").mkdir(parents=True)
    (home / "prompts" / "decide.md").write_text("{{ broken")
    (home / "bot.yaml").write_text(f"bot: {{data_dir: {tmp_path / 'data'}}}\n")
    (home / "risk.yaml").write_text("max_drawdown: 0.3\n")
    (tmp_path / "data").mkdir()
    loaded = load(home, environ={})
    upgrade(loaded.settings.database_url)
    async with asyncio.timeout(30), open_room(loaded, Secrets(tmp_path / "data", {})) as room:
        key = (await room.access.new_token("test", Scope.TRADE, room.now() + 60_000)).value
        door, bearer = httpx2.ASGITransport(create_app(room)), {"Authorization": f"Bearer {key}"}
        async with httpx2.AsyncClient(transport=door, base_url="http://127.0.0.1", headers=bearer) as here:
            told = await here.get("/api/v1/ai/llm/prompts/decide")
            assert (told.status_code, "decide" in told.json()["detail"]) == (409, True)
            saved = await here.put("/api/v1/ai/llm/prompts/decide", json={"body": "x"}, headers={"If-Match": '"read-before"'})
            assert saved.status_code == 409, "nobody has changed it meanwhile"
            for path in ("prompts/nowhere", "prompts/nowhere?version=3", "prompts/decide/diff?old=1&new=2"):
                assert (await here.get(f"/api/v1/ai/llm/{path}")).status_code == 404, path


def test_a_dry_run_tells_what_was_seen_and_said_and_decides_nothing(client: httpx2.Client) -> None:
    found = finished(client, client.post("/api/v1/ai/signals", json={"symbol": "BTC/USDT"}))
    assert (found["dry_run"], found["sent"]) == (True, False)
    assert found["thoughts"][0]["prompt"]
    text, begun = confirmed(client, "POST", "/ai/signals/send", {"symbol": "BTC/USDT", "source": "llm:claude"})
    assert "llm:claude" in text
    assert finished(client, begun)["dry_run"] is False


def test_questions_are_listed_page_by_page_and_read_in_full(demo: House, client: httpx2.Client) -> None:
    first = demo.ask("/ai/signals", limit=2)
    assert len(first["items"]) == 2
    second = demo.ask("/ai/signals", limit=2, after=first["next"])
    assert not {one["id"] for one in first["items"]} & {one["id"] for one in second["items"]}
    asked = next(one for one in demo.ask("/ai/signals", limit=199)["items"] if one["decision"])
    assert demo.ask(f"/ai/signals/{asked['decision']}")["questions"][0]["prompt"]
    assert client.get("/api/v1/ai/signals/nothing").status_code == 404
    assert client.get("/api/v1/ai/signals", params={"after": "bm90aGluZw"}).status_code == 400


def test_costs_are_told_by_whatever_they_are_asked_by(demo: House, client: httpx2.Client) -> None:
    for name in ("daily", "monthly", "by-model", "by-provider", "by-source", "by-decision"):
        assert demo.ask(f"/ai/risk-cost/{name}")["lines"], name
    assert demo.ask("/ai/risk-cost/costs", by="role")["by"] == "role"
    assert demo.ask("/ai/risk-cost/budgets")["limits"]
    assert client.get("/api/v1/ai/risk-cost/costs", params={"by": "moon"}).status_code == 422


def test_learning_is_told_and_only_an_admin_begins_anew(demo: House, client: httpx2.Client) -> None:
    for name in ("calibration", "outcomes", "insights", "thresholds", "feedback"):
        assert demo.ask(f"/ai/learning/{name}")["as_of"]
    decision = demo.ask("/decisions", limit=1)["items"][0]["id"]
    said = client.post("/api/v1/ai/learning/feedback", json={"decision": decision, "opined": "useful", "note": "clear"})
    assert said.status_code == 200, said.text
    assert demo.ask("/ai/learning/feedback", decision=decision)["feedback"][0]["opined"] == "useful"
    eventually(lambda: bool(demo.ask("/ai/learning/calibration")["calibration"]), "something was closed", 60.0)
    source = demo.ask("/ai/learning/calibration")["calibration"][0]["source"]
    here = f"/ai/learning/sources/{source}"
    with demo.client(Scope.TRADE) as trader:
        assert trader.post(f"/api/v1{here}/reset", json={}).status_code == 403
    text, done = confirmed(client, "POST", f"{here}/reset", {"note": "new rule"})
    assert source in text
    assert done.status_code == 200, done.text
    assert client.post(f"/api/v1{here}/freeze", json={}).json()["frozen"] is True
    assert client.post(f"/api/v1{here}/unfreeze", json={}).json()["frozen"] is False


def test_one_symbol_and_several_are_analysed(client: httpx2.Client) -> None:
    quick = {"timeframes": ["1s"], "depth": 60, "fundamentals": False}
    found = finished(client, client.post("/api/v1/ai/analysis", json={"symbol": "BTC/USDT", **quick}))
    assert list(found["analyses"]) == ["BTC/USDT"]
    both = finished(client, client.post("/api/v1/ai/analysis/batch", json={"symbols": ["BTC/USDT", "ETH/USDT"], **quick}))
    assert list(both["analyses"]) == ["BTC/USDT", "ETH/USDT"]
    assert client.post("/api/v1/ai/analysis/batch", json={"symbols": []}).status_code == 422


def test_no_address_takes_a_path(demo: House, client: httpx2.Client) -> None:
    for sent in ({"files": ["/etc/passwd"]}, {"directory": "/tmp"}, {"out": "/tmp/x"}):
        assert client.post("/api/v1/ai/analysis", json={"symbol": "BTC/USDT", **sent}).status_code == 422
        assert client.post("/api/v1/ai/strategy/ideas", json={"specification": {}, **sent}).status_code == 422
    for name in ("../arbiter.db", "/etc/passwd", "..\\x", "nothing.csv", ".."):
        answer = client.post("/api/v1/ai/strategy/ideas/backtest", json={"specification": {}, "data": [name]})
        assert answer.status_code in {404, 422}, name
    candles = demo.data / "candles"
    candles.mkdir()
    (candles / "link.csv").symlink_to("/etc/passwd")
    (candles / "mine.csv").write_text("ts,open,high,low,close,volume\n")
    assert demo.ask("/ai/strategy/data")["files"] == ["mine.csv"]


def test_an_idea_is_proposed_and_the_shelf_is_told(demo: House, client: httpx2.Client) -> None:
    found = finished(client, client.post("/api/v1/ai/strategy/ideas/propose", json={"sentence": "Buy strength, sell weakness"}))
    assert found["specification"]["name"]
    assert "ideas" in demo.ask("/ai/strategy/ideas")
