"""Every attack of the corpus, whole: through gate, archive, view and prompt to a model that obeys every word it is told.

The model is the simulator's, over its real protocol. What the gate drops never reaches it; what passes may talk it into
anything, and the veto sees to it that nothing is held for that which would not have been held without.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from bot.core.decision import Action, Decision, Tier
from simulators.llm.server import LlmSimulator
from sources.llm.answer import decision_schema
from sources.llm.asking import Ask, LlmError, Role
from sources.llm.models import Candidate
from sources.llm.opening import opened
from sources.llm.prompts.example import TERMS, example_sight
from sources.llm.prompts.files import shipped
from sources.llm.purse import FreePurse
from sources.llm.router import Router
from sources.llm.settings import AccessSettings
from sources.llm.snapshot import take
from sources.news.items import Item
from sources.news.lexicon import EVERY
from sources.news.veto import settle, target_exposure
from sources.news.view import NewsView, block, look
from tests.sources.news.news_world import HOUR, NOW, a_feed, a_raw, an_archive, an_item, attacks

ATTACKS = attacks()
SYMBOL = "BTC/USDT"
MODELS = ("demo-obedient", "demo-bold")


@dataclass(frozen=True)
class World:
    """A simulator and a router that asks it."""

    router: Router
    purse: FreePurse

    async def decides(self, news: Mapping[str, Any] | None, held: bool, model: str = "demo-obedient") -> Decision | None:
        """What a model decides about the example market with these news, None for what is no decision about it."""
        sight = example_sight(SYMBOL)
        if not held:
            sight = replace(sight, briefing=replace(sight.briefing, held=(), exposure=0.0), theses={})
        snapshot = take(sight if news is None else replace(sight, news=news))
        ask: Ask = shipped().render(snapshot, TERMS).ask(decision_schema((SYMBOL,)))
        assert ask.tools == ()
        [candidate] = [one for one in self.router.candidates(Role.DECISION) if one.model.name == model]
        return await self._asked(ask, candidate)

    async def _asked(self, ask: Ask, candidate: Candidate) -> Decision | None:
        try:
            reply = await self.router.ask(ask, self.purse, among=(candidate,))
        except LlmError as error:
            pytest.fail(f"nobody answered: {error}")
        told = reply.parsed
        if told is None or told["symbol"] != SYMBOL:
            return None
        size = min(max(float(told["size_fraction"]), 0.0), 1.0) or None
        return Decision(
            "d", "llm:a", Tier.LLM, SYMBOL, Action(told["action"]), float(told["confidence"]), NOW, NOW + HOUR, 50_000.0,
            size_fraction=size,
        )  # fmt: skip


@asynccontextmanager
async def a_world() -> AsyncIterator[World]:
    """All of it, closed at the end."""
    async with LlmSimulator() as simulator:
        settings = AccessSettings.model_validate(
            {
                "providers": {"sim": {"dialect": "responses", "base_url": simulator.url, "key": "DEMO_KEY"}},
                "roles": {
                    "decision": [{"provider": "sim", "model": model, "price": {"input": 1, "output": 1}} for model in MODELS]
                },
            }
        )
        async with opened(settings, {"DEMO_KEY": simulator.key}.get, lambda: NOW) as access:
            yield World(access.router, FreePurse())


def seen(titles: list[str], *, gate: bool = True) -> dict[str, Any]:
    """The news of these titles as a decision gets them; with `gate` False as if there were none."""
    items: list[Item] = []
    if gate:
        archive = an_archive()
        for number, title in enumerate(titles):
            archive.add([a_raw(title)], a_feed(f"feed-{number}"), NOW - 60_000)
        items = [about_all(item) for item in archive]
    else:
        return {"items": [{"id": f"n{number}", "title": title} for number, title in enumerate(titles, 1)]}
    view = look(items, SYMBOL, NOW, HOUR, 1, 1)
    assert isinstance(view, NewsView)
    told = block(view)
    assert told is not None
    return told


def about_all(item: Item) -> Item:
    """The item as if it were about the symbol: an attacker would see to that."""
    return replace(item, reading=replace(item.reading, symbols=(EVERY,)))


@pytest.mark.parametrize("held", [False, True], ids=["flat", "long"])
async def test_no_poisoned_item_raises_the_exposure_of_a_model_that_obeys_it(held: bool) -> None:
    exposure = 0.625 if held else 0.0
    async with a_world() as world:
        # The same news without the poisoned item, and no news at all: neither may be exceeded.
        calm = await world.decides(seen(["Conference opens in Lisbon"]), held)
        without = await world.decides(None, held)
        base = target_exposure(settle(without, calm, exposure).decision, exposure)
        for case in ATTACKS:
            news = seen(["Conference opens in Lisbon", case["title"]])
            poisoned = settle(without, await world.decides(news, held), exposure).decision
            assert target_exposure(poisoned, exposure) <= target_exposure(without, exposure) + 1e-9, case["id"]
            if case["must"] == "dropped":
                assert len(news["items"]) == 1, case["id"]
                assert target_exposure(poisoned, exposure) <= base + 1e-9, case["id"]


async def test_the_attacks_would_work_if_nothing_held_them_up() -> None:
    """Otherwise the test above would prove nothing."""
    async with a_world() as world:
        without = target_exposure(await world.decides(None, False), 0.0)
        raised = 0
        for case in ATTACKS:
            decision = await world.decides(seen([case["title"]], gate=False), False)
            raised += target_exposure(decision, 0.0) > without
        assert raised >= 25


async def test_a_lie_that_no_filter_knows_reaches_the_model_and_the_veto_holds() -> None:
    lies = [case["title"] for case in ATTACKS if case["class"] == "lies"]
    assert len(lies) >= 5
    async with a_world() as world:
        without = await world.decides(None, False)
        refused = lowered = 0
        for lie in lies:
            with_ = await world.decides(seen([lie]), False)
            settled = settle(without, with_, 0.0)
            assert target_exposure(settled.decision, 0.0) <= target_exposure(without, 0.0)
            refused += "refused" in settled.why
            lowered += settled.vetoed
        assert refused + lowered >= 1


async def test_numbers_alone_tell_the_model_nothing_to_obey() -> None:
    lies = [case["title"] for case in ATTACKS if case["class"] == "lies"]
    async with a_world() as world:
        for lie in lies:
            view = look([about_all(an_item(lie, at=NOW - 1))], SYMBOL, NOW, HOUR, 1, 1)
            told = block(view, titles=False)
            assert told is not None
            assert lie not in str(told)
            decision = await world.decides(told, False)
            assert decision is None or decision.confidence < 1.0, "it obeyed"


async def test_a_bold_model_with_bad_news_is_held_down_as_well() -> None:
    async with a_world() as world:
        without = await world.decides(None, False)
        with_ = await world.decides(seen(["Exchange hacked"]), False, "demo-bold")
        settled = settle(without, with_, 0.0)
        assert target_exposure(settled.decision, 0.0) <= target_exposure(without, 0.0)
