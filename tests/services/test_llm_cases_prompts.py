"""Prompt templates: nothing is saved that cannot be used, versions are compared, used and judged."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.services.use_case import UseCaseError
from simulators.llm.server import LlmSimulator
from sources.llm.prompts.files import shipped
from tests.services.llm_bot import a_port, with_bot
from tests.services.llm_ground import NOW, do, settled, standing

BODY = shipped().body
OTHER = BODY.replace("You trade one spot market", "You trade a single spot market")


async def test_a_version_is_saved_shown_activated_and_compared_with_the_file(tmp_path: Path) -> None:
    async with LlmSimulator() as simulator, standing(tmp_path, simulator) as ground:
        assert (await do(ground, "llm.prompts"))["prompts"] == [
            {"name": "decide", "newest": None, "active": None, "file": True, "own_file": False}
        ]
        saved = await do(ground, "llm.prompt-save", name="decide", body=OTHER, author="me", note="shorter")
        assert (saved["saved"], saved["version"], saved["active"]) == (True, 1, False)
        assert (await do(ground, "llm.prompt", name="decide"))["version"] == 0, "it is not used yet"
        await do(ground, "llm.prompt-activate", name="decide", version=1)
        shown = await do(ground, "llm.prompt", name="decide")
        assert (shown["version"], shown["author"], shown["note"], shown["body"]) == (1, "me", "shorter", OTHER)
        assert shown["activations"] == [{"version": 1, "at": NOW, "author": "operator"}]
        diff = (await do(ground, "llm.prompt-diff", name="decide", old=0, new=1))["diff"]
        assert "+You trade a single spot market" in diff
        assert (await do(ground, "llm.prompt-diff", name="decide", old=1, new=1))["diff"] == ""


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (BODY.replace("{{ untrusted }}", ""), "untrusted"),
        (BODY.replace("{{ limits }}", "{{ limits }} {{ made_up }}"), "made_up"),
        (BODY.replace("{{ limits }}", "{% for a in range(10**9) %}x{% endfor %}{{ limits }}"), "line"),
        (BODY + "sk-0123456789abcdefghij0123", ""),
    ],
)
async def test_what_cannot_be_used_is_not_saved_and_says_why(tmp_path: Path, body: str, fault: str) -> None:
    async with LlmSimulator() as simulator, standing(tmp_path, simulator) as ground:
        saved = await do(ground, "llm.prompt-save", name="decide", body=body)
        assert not saved["saved"]
        assert fault in " ".join(saved["faults"])
        assert saved["faults"]
        assert (await do(ground, "llm.prompt", name="decide"))["versions"] == []


async def test_a_preview_is_of_the_live_market_where_there_is_one_and_tells_the_cost(tmp_path: Path) -> None:
    async with LlmSimulator() as simulator, standing(tmp_path, simulator) as ground:
        made_up = await do(ground, "llm.prompt-preview", name="decide")
        assert not made_up["live"]
        with_bot(ground, a_port(NOW, symbols=("ETH/USDT",)))
        live = await do(ground, "llm.prompt-preview", name="decide", symbol="ETH/USDT")
        assert live["live"]
        assert "ETH/USDT" in live["user"]
        assert live["tokens"] > live["stable_tokens"] > 100
        assert {one["model"] for one in live["estimates"]} == {
            "openai/gpt-6-luna",
            "anthropic/claude-haiku-5-5",
            "gemini/gemini-3.5-flash-lite",
            "xai/grok-4.7",
        }
        assert all(float(one["usd"]) > 0 for one in live["estimates"])
        broken = await do(ground, "llm.prompt-preview", name="decide", body="nothing")
        assert broken["faults"]
        assert broken["system"] is None


async def test_a_version_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    async with LlmSimulator() as simulator, standing(tmp_path, simulator) as ground:
        for name, args in (
            ("llm.prompt", {"name": "decide", "version": 7}),
            ("llm.prompt", {"name": "never"}),
            ("llm.prompt-activate", {"name": "decide", "version": 7}),
            ("llm.prompt-diff", {"name": "decide", "old": 0, "new": 7}),
        ):
            with pytest.raises(UseCaseError, match=r"decide|never"):
                await do(ground, name, **args)


async def test_results_count_what_was_asked_with_each_version(tmp_path: Path) -> None:
    async with LlmSimulator() as simulator, standing(tmp_path, simulator) as ground:
        with_bot(ground, a_port(NOW))
        await do(ground, "llm.decide", symbol="BTC/USDT")
        await do(ground, "llm.prompt-save", name="decide", body=OTHER, activate=True)
        await do(ground, "llm.decide", symbol="BTC/USDT")
        await settled(ground)
        rows = (await do(ground, "llm.prompt-results", name="decide"))["results"]
        assert [(row["version"], row["asked"]) for row in rows] == [(1, 1), (0, 1)]
        assert all(row["outcomes"] == {"dry-run": 1} and float(row["usd"]) > 0 for row in rows)
